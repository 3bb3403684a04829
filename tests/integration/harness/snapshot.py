"""
Everything that can be known of a pipeline at rest, as plain data: what the
sender sent, what Kafka holds, what MongoDB holds and what HTTP answers.
audit.py judges it; keeping the two apart is what lets the tests damage a copy
and see that the audit notices.
"""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

import confluent_kafka
import httpx

from . import bsondoc, values

MINUTE, HOUR, DAY = 60, 3600, 86400
MAX_POINTS = 11_000
KEEP_MINUTES = 35 * DAY


class Record(NamedTuple):
    partition: int
    offset: int
    key: bytes
    value: bytes
    time: int       # ms, given by the broker
    headers: dict


class Series(NamedTuple):
    """One answer of GET /stats and what was asked."""

    params: dict
    answer: dict


@dataclass
class Snapshot:
    window: int = 0                       # W of dedup
    partitions: int = 0                   # of the topic of events
    taken: int = 0                        # ms, when it was begun
    merged: int = 0                       # ms, when `windows` had been read
    sent: list = field(default_factory=list)
    foreign: list = field(default_factory=list)
    records: list = field(default_factory=list)
    ends: dict = field(default_factory=dict)      # partition -> high watermark
    dead: list = field(default_factory=list)
    published: list = field(default_factory=list)
    ledger: dict = field(default_factory=dict)    # partition -> document
    blocks: list = field(default_factory=list)    # (document, bytes of BSON)
    partials: list = field(default_factory=list)
    windows: list = field(default_factory=list)
    registry: dict = None                 # state's "types"; None: not looked at
    types: list = field(default_factory=list)
    ascending: list = field(default_factory=list)
    descending: list = field(default_factory=list)
    stats: list = field(default_factory=list)


def read_topic(brokers, topic, seconds=60):
    """
    Every record of a topic as it is now, through librdkafka's own Python
    client: ([Record], {partition: end}).
    """

    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": brokers, "group.id": "audit",
        "enable.auto.commit": False, "auto.offset.reset": "error",
        "enable.partition.eof": True, "fetch.wait.max.ms": 20,
    })

    try:
        about = consumer.list_topics(topic, timeout=10).topics[topic]
        ends, waiting, start = {}, set(), []

        for p in about.partitions:
            low, high = consumer.get_watermark_offsets(
                confluent_kafka.TopicPartition(topic, p), timeout=10)
            ends[p] = high
            if low < high:
                waiting.add(p)
                start.append(confluent_kafka.TopicPartition(topic, p, low))

        consumer.assign(start)
        records = []
        deadline = time.monotonic() + seconds

        while waiting:
            assert time.monotonic() < deadline, (
                f"{topic}: partitions {sorted(waiting)} were not read to "
                f"their ends {ends}")

            for message in consumer.consume(2000, timeout=0.2):
                p, offset = message.partition(), message.offset()
                if message.error() is not None:
                    assert (message.error().code()
                            == confluent_kafka.KafkaError._PARTITION_EOF
                            ), message.error()
                    # What comes last need not be a record.
                    waiting.discard(p)
                    continue
                if offset >= ends[p]:
                    continue
                records.append(Record(
                    p, offset, message.key(), message.value(),
                    message.timestamp()[1], dict(message.headers() or [])))
                if offset + 1 >= ends[p]:
                    waiting.discard(p)

        return sorted(records), ends
    finally:
        consumer.close()


def read_collection(database, name):
    """Every document of a collection: [(document, bytes of BSON)]."""

    documents = []

    for batch in database[name].find_raw_batches({}, sort=[("_id", 1)]):
        pos = 0
        while pos < len(batch):
            size = int.from_bytes(batch[pos:pos + 4], "little")
            documents.append((bsondoc.decode(batch[pos:pos + size]), size))
            pos += size

    return documents


def read_partials(database):
    """
    Every partial, those of seconds as if they were documents of their own.
    """

    partials = []

    for doc, _ in read_collection(database, "partials"):
        for number, second in doc.pop("seconds", {}).items():
            start = bsondoc.Date(doc["_id"]["start"] + 1000 * int(number))
            partials.append(
                {"_id": {**doc["_id"], "width": 1, "start": start}, **second})
        partials.append(doc)

    return partials


def read_pages(client, **params):
    """GET /events paged through to the end, each event as it was answered."""

    params.setdefault("limit", 1000)
    events, cursors = [], set()

    while True:
        response = client.get("/events", params=params)
        assert response.status_code == 200, response.text[:500]
        answer = values.parse(response.content)
        events.extend(answer["events"])
        cursor = answer["next_cursor"]
        if cursor is None:
            return events
        assert cursor not in cursors, f"the cursor {cursor} came twice"
        cursors.add(cursor)
        params["cursor"] = cursor


def read_series(client, **params):
    response = client.get("/stats", params=params)
    assert response.status_code == 200, (
        f"GET /stats {params}: {response.status_code} {response.text[:500]}")
    return Series(params, values.parse(response.content))


def read_stats(client, events, now):
    """
    GET /stats over every occupied minute (as far as minutes are kept), every
    occupied day, by type, and over all of time.  `events` say where to look
    only: the audit checks that nothing was overlooked by the last of them.
    """

    answers = []
    types = {e["event_type"] for e in events}
    times = [e["timestamp"] // 1000 for e in events]

    def ask(starts, width, name):
        most = max(1, MAX_POINTS // max(1, len(types)))
        for first, last in _runs(sorted(starts), width, most):
            answers.append(read_series(
                client, group_by="event_type", time_interval=name,
                **{"from": first, "to": last + width}))

    oldest = now // 1000 - KEEP_MINUTES + HOUR
    ask({t - t % MINUTE for t in times if t >= oldest}, MINUTE, "1m")
    ask({t - t % DAY for t in times}, DAY, "1d")

    end = max([now // 1000, *times]) + DAY
    for first in range(0, end, 10_000 * DAY):
        answers.append(read_series(
            client, time_interval="1d",
            **{"from": first, "to": min(first + 10_000 * DAY, end)}))

    return answers


def _runs(starts, width, most):
    """Cut sorted starts into ranges of at most `most` buckets, gaps skipped."""

    first = last = None

    for start in starts:
        if first is not None and (start - last > 60 * width
                                  or start - first >= most * width):
            yield first, last
            first = None
        if first is None:
            first = start
        last = start

    if first is not None:
        yield first, last


def take(stack, log):
    """
    The snapshot of a stack that is at rest (stack.settle() has returned and
    nobody sends).
    """

    shot = Snapshot(window=stack.dedup_window, taken=int(time.time() * 1000))
    shot.sent = log.entries()
    shot.foreign = list(log.foreign)
    shot.records, shot.ends = read_topic(stack.brokers, stack.topic)
    shot.partitions = len(shot.ends)
    shot.dead = read_topic(stack.brokers, stack.dead_topic)[0]
    shot.published = read_topic(stack.brokers, stack.stats_topic)[0]

    database = stack.database
    shot.ledger = {int(doc["_id"].rsplit("/", 1)[1]): doc
                   for doc, _ in read_collection(database, "ledger")}
    shot.blocks = read_collection(database, "blocks")
    shot.partials = read_partials(database)
    shot.windows = [d for d, _ in read_collection(database, "windows")]
    shot.merged = int(time.time() * 1000)
    shot.registry = database.state.find_one({"_id": "types"})
    shot.types = [d for d, _ in read_collection(database, "types")]

    # What is so now, not what nginx has kept of GET /stats.
    with httpx.Client(base_url=stack.url, timeout=30,
                      headers={"Cache-Control": "no-cache"}) as client:
        shot.ascending = [values.normal(e)
                          for e in read_pages(client, order="asc")]
        shot.descending = [values.normal(e)
                           for e in read_pages(client, order="desc")]
        shot.stats = read_stats(client, shot.ascending, shot.taken)

    return shot
