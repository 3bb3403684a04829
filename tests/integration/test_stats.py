"""
millrace-stats on a real Kafka and mongod: merging, revisions, closing, the
lease.  The partials come from harness/flushes.py, so that every count is
known to the test from what it committed itself.
"""

import datetime
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import confluent_kafka
import pytest
from bson.codec_options import CodecOptions

from harness.flushes import NAMES, Flushes, Load, date
from harness.pipeline import REPO, Pipeline
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
TYPES = ["view", "click", "a|b", "päivä \U0001f389", 'quo"te\\']
numbers = itertools.count(1)


class Stats:
    """The daemon with a database and a topic of its own."""

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

    def messages(self):
        """[(key, value)] of the topic, in order."""

        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.pipeline.brokers, "group.id": "test"})
        try:
            where = confluent_kafka.TopicPartition(self.topic, 0, 0)
            _, end = consumer.get_watermark_offsets(where, timeout=20)
            consumer.assign([where])
            found = []
            deadline = time.monotonic() + 60
            while len(found) < end:
                assert time.monotonic() < deadline, f"{len(found)} of {end}"
                message = consumer.poll(1)
                if message is not None:
                    assert message.error() is None, message.error()
                    found.append((message.key(), message.value()))
            return found
        finally:
            consumer.close()

    def check(self):
        """
        The windows and the last revisions on the topic are what was
        committed; each key's revisions are 1, 2, 3, ... in order, or repeat
        the one before byte for byte.
        """

        right = self.flushes.account.windows
        windows = self.windows()
        assert windows.keys() == right.keys()
        for key, document in windows.items():
            assert scalars(document) == right[key], key
            assert document["dirty"] is False
            published = key[0] != 86400 and key[1] != ""
            assert document["published"] == (
                document["revision"] if published else 0), key

        latest = {}
        repeated = 0
        for key, value in self.messages():
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

        want = {f"{t}|{NAMES[w]}|{s}".encode(): (w, t, s)
                for w, t, s in right if w != 86400 and t != ""}
        assert latest.keys() == want.keys()
        for key, (message, _) in latest.items():
            assert_message(message, want[key], windows[want[key]],
                           right[want[key]])
        return repeated


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


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    pipeline = Pipeline(tmp_path_factory.mktemp("stats"), build=BUILD)
    try:
        pipeline.start("kafka", "mongod")
        yield pipeline
        assert pipeline.problems() == []
    finally:
        pipeline.close()


@pytest.fixture
def make(servers):
    """A function that makes a Stats; its daemons are stopped at the end."""

    servers.start("kafka", "mongod")
    yield lambda **options: Stats(servers, **options)
    status = servers.stop("stats", "stats-2")
    assert set(status.values()) <= {0, None}, status


def test_merged_is_what_was_committed(make, servers):
    stats = make()
    servers.start("stats")
    for i in range(60):
        stats.flushes.flush(i % 4, stats.flushes.events(50, TYPES, late=0.2))
    stats.settle()
    assert stats.check() == 0
    assert stats.metric("windows_merged_total") >= len(stats.windows())
    assert stats.metric("windows_dirty") == 0
    assert stats.metric("failures_total") == 0


def test_what_was_there_before_is_merged(make, servers):
    stats = make()
    for i in range(20):
        stats.flushes.flush(i % 4, stats.flushes.events(100, TYPES))
    servers.start("stats")
    stats.settle()
    stats.check()

    # All of it at once: no window needs more than one revision, and at most
    # another one where it became final.
    assert all(d["revision"] <= 2 for d in stats.windows().values())


def test_more_windows_than_fit_into_one_round(make, servers):
    stats = make()
    now = int(time.time())
    types = [f"type-{i}" for i in range(40)]
    for partition in range(2):
        stats.flushes.flush(partition, [
            (t, now - 10 - s, 0.25 * s) for t in types for s in range(500)])
    assert len(stats.flushes.account.windows) > 20000
    servers.start("stats")
    stats.settle()
    stats.check()


def test_an_unchanged_window_gets_no_revision(make, servers):
    stats = make()
    servers.start("stats")
    now = time.time()
    stats.flushes.flush(0, [("a", now, 1.0), ("b", now - 600, None)])
    stats.settle()
    before = stats.windows()
    stats.flushes.flush(1, [("a", now, 2.0)])
    stats.settle()
    after = stats.windows()

    for key, document in after.items():
        changed = key[1] == "a" or (key[1] == "" and scalars(document)
                                    != scalars(before[key]))
        assert document["revision"] == (2 if changed else 1), key
    stats.check()


def test_a_lost_state_merges_everything_again(make, servers):
    stats = make()
    servers.start("stats")
    for i in range(8):
        stats.flushes.flush(i % 4, stats.flushes.events(20, TYPES))
    stats.settle()
    before = stats.windows()
    n = len(stats.messages())

    for state in (None, {"partitions": "nonsense"},
                  {"partitions": [{"partition": 0, "flush": 10**6}]}):
        servers.stop("stats")
        stats.database.state.delete_one({"_id": "merge"})
        if state is not None:
            stats.database.state.insert_one({"_id": "merge"} | state)
        servers.start("stats")
        stats.settle()
        assert stats.windows() == before
        assert len(stats.messages()) == n
    stats.check()


def test_final_by_the_clock(make, servers):
    stats = make(grace="1s")
    servers.start("stats")
    now = time.time()
    old = [("a", now - 7200, 1.0), ("b", now - 7300, None)]
    stats.flushes.flush(0, old)
    stats.settle()
    # An hour whose grace is long over is final at once.
    assert all(d["final"] and d["revision"] == 1
               for key, d in stats.windows().items() if key[0] <= 3600)

    stats.flushes.flush(0, [("a", now, 2.0)])
    stats.settle()
    key = 1, "a", int(now)

    # Nothing more is written: the clock alone closes it.
    document = wait_until(
        lambda: (lambda d: d["final"] and not d["dirty"] and d)(
            stats.windows()[key]), 10, "the window being final")
    assert document["closes"] == date(int(now) + 2)
    assert document["revision"] == 2
    assert datetime.datetime.now(datetime.timezone.utc) >= document["closes"]
    assert stats.windows()[1, "", int(now)]["final"]
    stats.check()

    finals = [json.loads(v)["final"] for k, v in stats.messages()
              if k == f"a|1s|{int(now)}".encode()]
    assert finals == [False, True]

    # A correction is a higher revision, and final as well.
    stats.flushes.flush(1, [("a", now, 3.0)])
    stats.settle()
    document = stats.windows()[key]
    assert document["revision"] == 3 and document["final"]
    stats.check()


def test_an_expired_window_is_not_made_again(make, servers):
    stats = make()
    servers.start("stats")
    now = int(time.time())
    key = {"width": 1, "event_type": "old", "start": date(now - 3700)}
    stats.flushes.flush(0, [("new", now, None)])
    stats.settle()
    stats.database.partials.insert_one({
        "_id": key | {"partition": 0}, "flush": 2, "count": 1,
        "expire": date(now + 2)})
    stats.flushes.flush(0, [("new", now, None)])
    stats.settle()
    assert stats.database.windows.find_one({"_id": key}) is None
    assert stats.metric("windows_expired_total") == 1
    stats.check()


def test_windows_outlive_their_closing(make, servers):
    stats = make(grace="1h")
    servers.start("stats")
    now = int(time.time())
    stats.flushes.flush(0, [("a", now, None)])
    stats.settle()
    windows = stats.windows()
    second = windows[1, "a", now]
    assert second["closes"] == date(now + 1 + 3600)
    assert second["expire"] == date(now + 1 + 3600 + 300)
    minute = windows[60, "a", now // 60 * 60]
    assert minute["expire"] == date(now // 60 * 60 + 60 + 35 * 86400)
    assert "expire" not in windows[3600, "a", now // 3600 * 3600]


def test_as_of_is_what_the_ledgers_allow(make, servers):
    stats = make()
    servers.start("stats")
    for partition in range(3):
        stats.flushes.flush(partition, [("a", time.time(), None)])
    ledger = stats.database.ledger
    now = date(int(time.time()))
    second = datetime.timedelta(seconds=1)

    def as_of():
        stats.settle()
        return stats.database.state.find_one({"_id": "merge"}).get("as_of")

    def set_ledger(partition, last, caught_up):
        ledger.update_one({"_id": f"events/{partition}"}, {"$set": {
            "last.time": last, "caught_up": caught_up}})

    set_ledger(0, now, now - 5 * second)
    set_ledger(1, now - 9 * second, now + second)
    set_ledger(2, now - 7 * second, now - 3 * second)
    wait_until(lambda: as_of() == now - 3 * second, 10,
               lambda: f"as_of being the oldest of the newest: {as_of()}")

    # Another topic's ledger says nothing about this one.
    ledger.insert_one({"_id": "events-too/0", "flush": 5})
    set_ledger(2, now - 7 * second, now - 2 * second)
    wait_until(lambda: as_of() == now - 2 * second, 10,
               lambda: f"as_of following caught_up: {as_of()}")

    # A partition that has seen nothing yet: nothing can be said.
    ledger.insert_one({"_id": "events/3", "flush": 0})
    wait_until(lambda: as_of() is None, 10, lambda: f"no as_of: {as_of()}")
    ledger.update_one({"_id": "events/3"}, {"$set": {"caught_up": now}})
    wait_until(lambda: as_of() == now - 2 * second, 10,
               lambda: f"as_of coming back: {as_of()}")


def test_killed_again_and_again_under_load(make, servers, seed):
    stats = make(grace="2s")
    stats.flushes.random.seed(seed)
    load = Load(stats.flushes, TYPES)
    load.start()
    for _ in range(25):
        servers.start("stats")
        stats.flushes.random.random()
        time.sleep(stats.flushes.random.uniform(0, 0.6))
        servers.kill("stats")
    servers.start("stats")
    load.stop()
    stats.settle()
    repeated = stats.check()
    print(f"{len(stats.messages())} messages, {repeated} repeated")


def test_one_of_two_members_publishes(make, servers):
    stats = make(lease="2s")
    servers.start("stats")
    wait_until(lambda: stats.metric("lease_held") == 1, 10, "the lease")
    servers.start("stats-2")
    load = Load(stats.flushes, TYPES)
    load.start()

    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        assert stats.metric("lease_held") == 1
        assert stats.metric("lease_held", "stats-2") == 0
        time.sleep(0.05)
    assert stats.metric("windows_published_total") > 0
    assert stats.metric("windows_merged_total", "stats-2") == 0
    assert stats.metric("windows_published_total", "stats-2") == 0

    # The other takes over within the lease, and the first one stands by.
    servers.kill("stats")
    killed = time.monotonic()
    wait_until(lambda: stats.metric("lease_held", "stats-2") == 1, 10,
               "the take-over")
    took = time.monotonic() - killed
    assert took < 2 + 1, f"{took} s for a lease of 2 s"
    servers.start("stats")
    load.stop()
    stats.settle()
    assert stats.metric("lease_held") == 0
    assert stats.metric("lease_term", "stats-2") == 2

    # One that stops gives the lease up at once.
    servers.stop("stats-2")
    wait_until(lambda: stats.metric("lease_held") == 1, 1.0, "the hand-over")
    stats.flushes.flush(0, stats.flushes.events(20, TYPES))
    stats.settle()
    stats.check()


def test_a_member_that_was_suspended_changes_nothing(make, servers):
    stats = make(lease="1s", grace="2s")
    servers.start("stats")
    wait_until(lambda: stats.metric("lease_held") == 1, 10, "the lease")
    servers.start("stats-2")
    load = Load(stats.flushes, TYPES)
    load.start()
    pair = ["stats", "stats-2"]
    try:
        for _ in range(8):
            first = wait_until(
                lambda: [p for p in pair if stats.metric("lease_held", p)],
                10, "a publisher")[0]
            other = pair[1 - pair.index(first)]
            before = stats.metric("windows_published_total", other)
            time.sleep(stats.flushes.random.uniform(0, 0.3))
            servers.signal(first, signal.SIGSTOP)
            wait_until(lambda: stats.metric(
                "windows_published_total", other) > before, 10,
                f"{other} taking over")
            time.sleep(0.3)
            servers.signal(first, signal.SIGCONT)
            wait_until(lambda: stats.metric("lease_held", first) == 0, 10,
                       f"{first} noticing")
    finally:
        load.stop()
    stats.settle()
    stats.check()


def test_kafka_away(make, servers):
    stats = make(grace="1s")
    servers.start("stats")
    load = Load(stats.flushes, TYPES)
    load.start()
    wait_until(lambda: stats.metric("windows_published_total") > 10, 20,
               "windows being published")
    servers.stop("kafka")
    wait_until(lambda: stats.metric("failures_total") > 1, 30, "failures")
    assert "cannot publish" in servers.log_text("stats")

    # It can be stopped and started meanwhile.
    begun = time.monotonic()
    assert servers.stop("stats") == {"millrace-stats": 0}
    assert time.monotonic() - begun < 5
    servers.start("stats")
    servers.start("kafka")
    load.stop()
    stats.settle(90)
    stats.check()


def test_mongodb_away(make, servers):
    stats = make(grace="1s")
    servers.start("stats")
    load = Load(stats.flushes, TYPES)
    load.start()
    for how in (servers.stop, servers.kill):
        n = stats.metric("windows_published_total")
        wait_until(lambda: stats.metric("windows_published_total") > n, 20,
                   "windows being published")
        how("mongod")
        time.sleep(1)
        servers.start("mongod")
    load.stop()
    stats.settle(90)
    stats.check()


def test_it_stops_while_mongodb_is_away(make, servers):
    make()
    servers.start("stats")
    servers.stop("mongod")
    time.sleep(1)
    begun = time.monotonic()
    assert servers.stop("stats") == {"millrace-stats": 0}
    assert time.monotonic() - begun < 10
    servers.start("mongod")


def test_the_documents_subscriber_ends_with_the_truth(make, servers, tmp_path):
    stats = make(grace="1s")
    servers.start("stats")
    for i in range(40):
        stats.flushes.flush(i % 4, stats.flushes.events(50, TYPES, late=0.1))
        if i % 10 == 9:
            servers.kill("stats")
            servers.start("stats")
    stats.settle()

    with open(f"{REPO}/docs/event-stats.md", encoding="utf-8") as f:
        document = f.read()
    program = re.search(r"```python\n(.*?)```", document, re.S).group(1)
    assert "event-stats" in program
    script = tmp_path / "subscriber.py"
    script.write_text(program.replace('"event-stats"', repr(stats.topic)))

    def last(lines):
        found = {}
        for line in lines.splitlines():
            key, count, _ = line.rsplit(" ", 2)
            found[key] = int(count)
        return found

    right = {f"{t}|{NAMES[w]}|{s}": window[0]
             for (w, t, s), window in stats.flushes.account.windows.items()
             if w != 86400 and t != ""}
    done = subprocess.run(
        [sys.executable, script, servers.brokers], capture_output=True,
        text=True, timeout=120, check=True)
    assert last(done.stdout) == right

    command = re.search(r"^ +(kcat .* -e -q .*)$", document, re.M).group(1)
    command = command.replace("127.0.0.1:9092", servers.brokers)
    command = command.replace("-t event-stats", f"-t {stats.topic}")
    done = subprocess.run(command, shell=True, capture_output=True, text=True,
                          timeout=60, check=True)
    kcat = {}
    for line in done.stdout.splitlines():
        key, value = line.split("\t", 1)
        kcat[key] = json.loads(value)["count"]
    assert kcat == right
    stats.check()


def test_a_configuration_error_is_said(servers, tmp_path):
    bad = tmp_path / "bad.conf"
    bad.write_text("[stats]\ninterval = 250ms\nlease = soon\n")
    binary = os.path.join(servers.build, "millrace-stats")
    done = subprocess.run([binary, "-c", str(bad)], capture_output=True,
                          text=True, timeout=20)
    assert done.returncode != 0
    assert f"{bad}:3" in done.stderr and "lease" in done.stderr
