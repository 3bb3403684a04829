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
from harness.pipeline import servers_alone
from harness.sketches import hyperloglog, hyperloglog_dense
from harness.statsdaemon import Stats
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with servers_alone(tmp_path_factory.mktemp("stats-bounds"), BUILD,
                       mongod_parameters={"enableTestCommands": "true"}) as stack:
        yield stack


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


@pytest.mark.skipif("san" in BUILD, reason="keeps what is freed")
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
    # some answers.
    assert grown < 5 * limit


@pytest.mark.slow
def test_a_backlog_of_closing_and_forgetting_is_worked_off(make, servers):
    """A round may take long, and what is due until then is no fixed number."""

    windows, minutes, interval = 24000, 4000, 20
    stats = make(interval=f"{interval}s", lease="40s")
    now = int(time.time())
    day, minute = now // 86400 * 86400, now // 60 * 60
    stats.database.windows.insert_many([
        {"_id": {"width": 86400, "event_type": f"type-{i % 1000}",
                 "start": date(day - (2 + i // 1000) * 86400)},
         "count": 1, "measures": {}, "revision": 1, "final": False,
         "published": 0, "dirty": False, "closes": date(now - i), "term": 0}
        for i in range(windows)])
    stats.database.partials.insert_many([
        partial(60, f"type-{i % 100}", minute - (70 + i // 100) * 60, 0,
                forget=date(now - 1),
                seconds={"7": {"flush": 1, "count": 1}})
        for i in range(minutes)])

    def left():
        return (stats.database.windows.count_documents({"final": False}),
                stats.database.partials.count_documents(
                    {"seconds": {"$exists": True}}))

    # It stops in the middle of it when it is asked to.
    servers.start("stats")
    wait_until(lambda: left()[0] < windows, 10, "the first to be closed")
    begun = time.monotonic()
    servers.stop("stats")
    took = time.monotonic() - begun
    assert took < 3, f"{took} s to stop"
    assert left()[0] > 16384

    servers.start("stats")
    begun = time.monotonic()
    wait_until(lambda: left() == (0, 0), interval, lambda: f"{left()} left")
    print(f"{time.monotonic() - begun:.1f} s for what was left")
    assert stats.metric("failures_total") == 0
    assert stats.metric("conflicts_total") == 0
    assert stats.metric("lease_term") == 2
    assert stats.database.windows.count_documents({"revision": 2}) == windows
    assert stats.database.partials.count_documents(
        {"count": 1, "forget": {"$exists": False}}) == minutes


@pytest.fixture
def slow_walks(servers):
    """A function: mongod waits again and again while it walks over partials."""

    admin = servers.mongo.admin
    iterations = "internalQueryExecYieldIterations"
    before = admin.command("getParameter", 1, **{iterations: 1})[iterations]

    def slow(database, every, ms):
        admin.command("setParameter", 1, **{iterations: every})
        admin.command(
            "configureFailPoint", "setYieldAllLocksWait", mode="alwaysOn",
            data={"namespace": f"{database.name}.partials",
                  "waitForMillis": ms})

    yield slow
    admin.command("configureFailPoint", "setYieldAllLocksWait", mode="off")
    admin.command("setParameter", 1, **{iterations: before})


def old_changes(stats, flushes):
    """300 windows of a day each, long ago, that these flushes changed."""

    today = int(time.time()) // 86400 * 86400
    users = hyperloglog(f"user-{i}" for i in range(50))
    for i in flushes:
        start = today - (100 + i) * 86400
        stats.database.partials.insert_many([
            partial(86400, f"old-{n}", start, 0,
                    sketches={"users": users}) | {"flush": i}
            for n in range(300)])
        stats.flushes.account.windows |= {
            (86400, f"old-{n}", start): [1, 0, 0.0, None, None]
            for n in range(300)}


@pytest.mark.slow
def test_recent_windows_that_take_too_long_to_find(make, servers, slow_walks):
    """
    mongod looks at every change to find the recent ones.  Where that takes
    longer than a command may, all are merged in their order, and what is
    merged already need not be again.
    """

    stats = make(lease="4s", merge_memory="1m")
    servers.options["mongodb"]["timeout"] = "2s"
    now = int(time.time())
    last = 17
    old_changes(stats, range(1, last))
    stats.database.ledger.insert_one(
        {"_id": "events/0", "flush": last - 1})
    stats.flushes.flushes[0] = last - 1
    stats.flushes.flush(0, [("new", now, 1.0), ("old", now - 700, 2.0)])

    # 4,800 documents: some 5 s to look at all, 0.3 s for one answer.
    slow_walks(stats.database, 50, 50)
    servers.start("stats")

    def merged():
        state = stats.database.state.find_one({"_id": "merge"}) or {}
        return state.get("partitions", [{"flush": 0}])[0]["flush"]

    wait_until(lambda: 0 < merged() < last, 40, "a part")
    assert not any(key[1] == "new" for key in stats.windows())

    # Killed there, it goes on from there.
    servers.kill("stats")
    before = merged()
    servers.start("stats")
    wait_until(lambda: merged() > before, 40, "another part")
    stats.settle()
    assert "too many changes" in servers.log_text("stats")
    assert stats.metric("failures_total") == 0
    assert stats.metric("conflicts_total") == 0

    # The recent ones are found alone again, and nothing was missed.
    assert stats.windows()[1, "new", now]["count"] == 1
    said = servers.log_text("stats").count("too many changes")
    for partition in (0, 1):
        stats.flushes.flush(partition, [
            ("new", now, 2.0), ("new", now - 1, None), ("old", now - 800, 1)])
        stats.settle()
    assert servers.log_text("stats").count("too many changes") == said
    stats.check()


@pytest.mark.slow
def test_the_lease_is_kept_in_a_long_pause(make, servers, slow_walks):
    """
    A long round is followed by as long a pause, in which the recent windows
    are merged, until that takes too long as well.
    """

    stats = make(lease="4s", merge_memory="1m")
    servers.options["mongodb"]["timeout"] = "2s"
    old_changes(stats, range(1, 21))
    stats.database.ledger.insert_one({"_id": "events/0", "flush": 20})
    stats.flushes.flushes[0] = 20
    slow_walks(stats.database, 50, 100)
    servers.start("stats")
    stats.settle()
    said = servers.log_text("stats").count("too many changes")

    old_changes(stats, range(21, 41))
    stats.database.ledger.update_one(
        {"_id": "events/0"}, {"$set": {"flush": 40}})
    stats.flushes.flushes[0] = 40
    wait_until(lambda: servers.log_text("stats").count(
        "too many changes") > said, 10, "a walk that takes too long")
    stats.settle()
    assert stats.metric("round_seconds") > 6
    assert stats.metric("lease_term") == 1
    assert stats.metric("conflicts_total") == 0
    stats.check()
