"""The statistics daemon with a database and a topic of its own."""

import itertools
import json
import re
import time
import urllib.request

import confluent_kafka
from confluent_kafka import KafkaError
from bson.codec_options import CodecOptions

from .flushes import NAMES, Flushes
from .waiting import wait_until

numbers = itertools.count(1)


class Stats:
    """`options` are those of [stats]; Flushes is its writer."""

    def __init__(self, pipeline, **options):
        name = f"stats-test-{next(numbers)}"
        self.pipeline = pipeline
        self.topic = name
        self.database = pipeline.mongo.get_database(
            name, CodecOptions(tz_aware=True))
        pipeline.options = {
            "kafka": {"stats_topic": name},
            "mongodb": {"database": name},
            "stats": {"interval": "50ms", "lease": "2s", **options},
        }
        pipeline.start("setup")
        self.flushes = Flushes(self.database)

    def metric(self, name, part="stats"):
        suffix = "_2" if part.endswith("-2") else ""
        port = self.pipeline.ports[f"stats_metrics{suffix}"]
        with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = re.search(rf"^millrace_stats_{name} (\S+)$", text, re.M)
        assert found, f"no metric {name} in\n{text}"
        return float(found.group(1))

    def settle(self, seconds=60):
        """Wait until all that was committed is merged and acknowledged."""

        def settled():
            merge = self.database.state.find_one({"_id": "merge"}) or {}
            merged = {p["partition"]: p["flush"]
                      for p in merge.get("partitions", [])}
            return (all(merged.get(p) == flush
                        for p, flush in self.flushes.flushes.items())
                    and not self.database.windows.count_documents(
                        {"dirty": True}))

        wait_until(settled, seconds, lambda: (
            "merged, of the flushes " + str(dict(self.flushes.flushes)) + ": "
            + str(self.database.state.find_one({"_id": "merge"}))))

    def windows(self):
        """(width, type, start) -> the window's document."""

        return {(d["_id"]["width"], d["_id"]["event_type"],
                 int(d["_id"]["start"].timestamp())): d
                for d in self.database.windows.find()}

    def messages(self, isolation="read_committed"):
        """[(key, value)] of the topic, in order."""

        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.pipeline.brokers, "group.id": "test",
            "enable.partition.eof": True, "isolation.level": isolation})
        try:
            consumer.assign([confluent_kafka.TopicPartition(self.topic, 0, 0)])
            found = []
            deadline = time.monotonic() + 60
            while True:
                assert time.monotonic() < deadline, f"{len(found)} and no end"
                message = consumer.poll(1)
                if message is None:
                    continue
                if message.error() is None:
                    found.append((message.key(), message.value()))
                    continue
                if message.error().code() == KafkaError._PARTITION_EOF:
                    return found
                raise AssertionError(message.error())
        finally:
            consumer.close()

    def moment(self):
        """Windows and messages of one moment: windows close by the clock."""

        deadline = time.monotonic() + 60
        windows = self.windows()
        while True:
            messages = self.messages()
            before, windows = windows, self.windows()
            if windows == before and not any(
                    d["dirty"] for d in windows.values()):
                return windows, messages
            assert time.monotonic() < deadline, "windows that change no more"

    def check(self):
        """
        The windows and the last revisions on the topic are what was
        committed; each key's revisions are 1, 2, 3, ... in order, or repeat
        the one before byte for byte, whether or not aborted ones are read.
        """

        right = self.flushes.account.windows
        windows, messages = self.moment()
        assert windows.keys() == right.keys()
        for key, document in windows.items():
            assert scalars(document) == right[key], key
            published = key[0] != 86400 and key[1] != ""
            assert document["published"] == (
                document["revision"] if published else 0), key

        latest, repeated = in_order(messages)
        in_order(self.messages("read_uncommitted"))

        want = {f"{t}|{NAMES[w]}|{s}".encode(): (w, t, s)
                for w, t, s in right if w != 86400 and t != ""}
        assert latest.keys() == want.keys()
        for key, (message, _) in latest.items():
            assert_message(message, want[key], windows[want[key]],
                           right[want[key]])
        return repeated


def in_order(messages):
    """({key: (message, value)} of the last ones, how many were repeated)"""

    latest = {}
    repeated = 0
    for key, value in messages:
        message = json.loads(value)
        name = "{event_type}|{width}|{start}".format(**message)
        assert key == name.encode()
        before, bytes_before = latest.get(key, (None, None))
        if before and message["revision"] == before["revision"]:
            assert value == bytes_before, f"{name} was repeated otherwise"
            repeated += 1
        else:
            assert message["revision"] == (
                before["revision"] if before else 0) + 1, name
        latest[key] = message, value
    return latest, repeated


def scalars(document):
    m = document["measures"].get("value")
    if m is None:
        return [document["count"], 0, 0.0, None, None]
    return [document["count"], m["count"], m["sum"], m["min"], m["max"]]


def assert_message(message, key, document, right):
    width, event_type, start = key
    count, n, total, low, high = right
    measures = {} if n == 0 else {"value": {
        "count": n, "sum": total, "average": total / n, "min": low,
        "max": high}}
    assert message == {
        "schema": 1, "event_type": event_type, "width": NAMES[width],
        "start": start, "end": start + width, "count": count,
        "rate": count / width, "measures": measures,
        "revision": document["revision"], "final": document["final"]}
    assert list(message) == [
        "schema", "event_type", "width", "start", "end", "count", "rate",
        "measures", "revision", "final"]
