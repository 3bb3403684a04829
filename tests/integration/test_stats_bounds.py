"""
millrace-stats where there is far more to do than usual: what it takes of
memory, and that nothing waits for ever because something else is large.
The partials are made by the test, in a database of its own.
"""

import os
import time

import pytest
from pymongo import UpdateOne

from harness.flushes import date
from harness.pipeline import Pipeline
from harness.sketches import hyperloglog_dense
from harness.statsdaemon import Stats
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")

# A sanitized daemon then shows whose leak it is, however deep in a library.
ENVIRONMENT = {"ASAN_OPTIONS": "fast_unwind_on_malloc=0"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    pipeline = Pipeline(tmp_path_factory.mktemp("stats-bounds"), build=BUILD)
    pipeline.mongod_parameters = {"enableTestCommands": "true"}
    pipeline.environment = ENVIRONMENT
    try:
        pipeline.start("kafka", "mongod")
        yield pipeline
        assert pipeline.problems() == []
    finally:
        pipeline.close()


@pytest.fixture
def make(servers):
    """A function that makes a Stats; its daemons are stopped at the end."""

    yield lambda **options: Stats(servers, **options)
    status = servers.stop("stats")
    assert set(status.values()) <= {0, None}, status


def peak(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) / 1024 for line in f
                    if line.startswith("VmHWM"))


def partial(width, name, start, partition, **fields):
    return {"_id": {"width": width, "event_type": name, "start": date(start),
                    "partition": partition}, "flush": 1, "count": 1} | fields


def test_memory_is_not_multiplied_by_the_partitions(make, servers):
    """Only one partition's part of a window comes with the walk."""

    limit, partitions, windows = 16, 8, 1500
    stats = make(merge_memory=f"{limit}m")
    servers.start("stats")
    stats.flushes.flush(0, [("before", time.time(), 1.0)])
    stats.settle()
    before = peak(servers.pid("stats"))

    users = hyperloglog_dense(f"user-{i}" for i in range(20000))
    assert windows * len(users) > limit * 2**20
    day = int(time.time()) // 86400 * 86400
    for partition in range(partitions):
        stats.database.partials.insert_many([
            partial(86400, f"type-{i % 100}", day - i // 100 * 86400,
                    partition, sketches={"users": users}) | {"flush": 2}
            for i in range(windows)])
    stats.database.ledger.bulk_write([
        UpdateOne({"_id": f"events/{p}"}, {"$set": {"flush": 2}}, upsert=True)
        for p in range(partitions)])
    stats.flushes.flushes |= {p: 2 for p in range(partitions)}
    stats.settle()

    days = {"_id.width": 86400, "_id.event_type": {"$regex": "^type-"}}
    assert stats.database.windows.count_documents(
        days | {"count": partitions}) == windows
    grown = peak(servers.pid("stats")) - before
    print(f"{grown:.0f} MiB more than before, with a limit of {limit}")

    # What was walked over, what is read beside, and the driver's copies of
    # some answers; a sanitized daemon keeps far more of what it has freed.
    assert grown < 5 * limit or "san" in BUILD
