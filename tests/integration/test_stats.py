"""
millrace-stats on a real Kafka and mongod: merging, revisions, closing, the
lease.  The partials come from harness/flushes.py, so that every count is
known to the test from what it committed itself.
"""

import datetime
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from harness.flushes import NAMES, Load, date
from harness.holding import HoldingProxy
from harness.pipeline import REPO, UNWINDING, servers_alone
from harness.sketches import ddsketch, hyperloglog
from harness.statsdaemon import Stats, scalars
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
TYPES = ["view", "click", "a|b", "päivä \U0001f389", 'quo"te\\']


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with servers_alone(tmp_path_factory.mktemp("stats"), BUILD) as stack:
        yield stack


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


@pytest.mark.slow
def test_more_windows_than_fit_into_memory_at_once(make, servers):
    stats = make()
    now = int(time.time())
    for first in range(0, 80, 20):
        stats.flushes.flush(0, [
            (f"type-{t}", now - 10 - s, 0.25 * s)
            for t in range(first, first + 20) for s in range(500)])
    assert len(stats.flushes.account.windows) > 32768 + 5000
    servers.start("stats")

    # Killed half-way, it goes on from where it was.
    wait_until(lambda: stats.database.state.find_one(
        {"_id": "merge", "partitions.flush": {"$gt": 0}}), 60, "a part")
    servers.kill("stats")
    servers.start("stats")
    stats.settle()
    stats.check()


@pytest.mark.slow
def test_recent_windows_do_not_wait_for_the_others(make, servers):
    stats = make()
    now = int(time.time())
    stats.flushes.flush(0, [
        (f"type-{t}", now - 600 - s, 0.25 * s)
        for t in range(25) for s in range(800)])
    servers.start("stats")
    wait_until(lambda: stats.database.windows.estimated_document_count() > 0,
               60, "the first windows")
    stats.flushes.flush(1, [("new", time.time(), 1.0)])
    wait_until(lambda: stats.database.windows.count_documents(
        {"_id.event_type": "new", "dirty": False}) == 4, 60, "the new ones")
    # Published, and the round that they came in the middle of goes on.
    assert stats.database.windows.estimated_document_count() < 15000
    assert stats.database.state.find_one({"_id": "merge"}) is None

    # Killed there, nothing is taken for merged that is not.
    servers.kill("stats")
    stats.flushes.flush(1, [("new", time.time(), 2.0)])
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
    minute = (now - 3700) // 60 * 60
    key = {"width": 60, "event_type": "old", "start": date(minute)}
    stats.flushes.flush(0, [("new", now, None)])
    stats.settle()
    # Its last second is kept for more than the margin, the first two are not.
    stats.database.partials.insert_one({
        "_id": key | {"partition": 0}, "flush": 2, "count": 1,
        "expire": date(now + 2), "forget": date(now + 63), "seconds": {
            number: {"flush": 2, "count": 1} for number in ("0", "1", "59")}})
    stats.flushes.flush(0, [("new", now, None)])
    stats.settle()
    assert stats.metric("windows_expired_total") == 3
    old = list(stats.database.windows.find({"_id.event_type": "old"}))
    assert [(d["_id"]["width"], d["_id"]["start"], d["count"])
            for d in old] == [(1, date(minute + 59), 1)]
    stats.flushes.account.windows[1, "old", minute + 59] = [
        1, 0, 0.0, None, None]
    stats.check()


def test_seconds_are_forgotten_when_their_time_has_come(make, servers):
    stats = make()
    servers.start("stats")
    now = int(time.time())
    stats.flushes.flush(0, [("a", now - 120, 1.0), ("b", now - 60, None)])
    stats.flushes.flush(1, [("a", now - 120, 2.0)])
    stats.settle()
    before = stats.windows()
    partials = stats.database.partials
    assert partials.count_documents({"seconds": {"$exists": True}}) == 6

    partials.update_many(
        {"_id.start": {"$lte": date(now - 120)}, "_id.width": 60},
        {"$set": {"forget": date(now - 1)}})
    wait_until(lambda: stats.metric("partials_forgotten_total") == 4, 30,
               "four minutes without seconds")
    left = list(partials.find({"_id.width": 60}))
    assert len(left) == 6
    for document in left:
        kept = document["_id"]["start"] > date(now - 120)
        assert ("seconds" in document) == ("forget" in document) == kept
        assert document["count"] == 1 and document["expire"]

    # What comes for another second of theirs does not touch those before.
    stats.flushes.flush(0, [("a", now - 120 + (-1 if now % 60 else 1), None)])
    stats.settle()
    after = stats.windows()
    assert all(after[key]["count"] == document["count"]
               for key, document in before.items() if key[0] == 1)
    stats.check()


@pytest.mark.parametrize("order", [(True, False), (False, True),
                                   (True, False, True)])
def test_seconds_alone_and_inside_are_added(make, servers, order):
    """Version 0.1.0's and this version's, of one window and partition."""

    stats = make()
    servers.start("stats")
    now = int(time.time()) // 60 * 60 - 60
    for number, alone in enumerate(order):
        stats.flushes.alone = alone
        for partition in range(2):
            stats.flushes.flush(partition, [
                ("a", now, 1.0 + number), ("a", now + 7, None),
                ("b", now + 30 + number, 0.25)])
        stats.settle()
        stats.check()
    assert stats.windows()[1, "a", now]["count"] == 2 * len(order)


def test_a_second_is_merged_wherever_the_last_walk_ended(make, servers):
    """
    A walk that ended between two flushes has merged the documents of the
    first, but not a second of that flush in a document of the next.
    """

    stats = make()
    minute = int(time.time()) // 60 * 60 - 60
    stats.flushes.flush(0, [("a", minute + 1, None)])
    stats.flushes.flush(0, [("a", minute + 2, None)])
    stats.database.state.insert_one({
        "_id": "merge", "term": 0, "partitions": [
            {"partition": 0, "flush": 1}]})
    servers.start("stats")
    stats.settle()
    assert stats.windows()[1, "a", minute + 1]["count"] == 1
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
    for partition in (3, 4, 5, 6):
        ledger.insert_one({"_id": f"events/{partition}", "flush": 0,
                           "caught_up": now})
    stats.flushes.flush(0, [("a", time.time(), None)])
    set_ledger(0, now, now - 5 * second)

    # A partition without a ledger: records that nobody has read may be there.
    assert as_of() is None
    ledger.insert_one({"_id": "events/7", "flush": 0, "caught_up": now})
    wait_until(lambda: as_of() == now - 3 * second, 10,
               lambda: f"as_of being the oldest of the newest: {as_of()}")

    # Another topic's ledger says nothing about this one.
    ledger.insert_one({"_id": "events-too/0", "flush": 5})
    set_ledger(2, now - 7 * second, now - 2 * second)
    wait_until(lambda: as_of() == now - 2 * second, 10,
               lambda: f"as_of following caught_up: {as_of()}")

    # A partition that has seen nothing yet: nothing can be said.
    ledger.update_one({"_id": "events/3"}, {"$unset": {"caught_up": 1}})
    wait_until(lambda: as_of() is None, 10, lambda: f"no as_of: {as_of()}")
    ledger.update_one({"_id": "events/3"}, {"$set": {"caught_up": now}})
    wait_until(lambda: as_of() == now - 2 * second, 10,
               lambda: f"as_of coming back: {as_of()}")

    # Clocks that are ahead say nothing of what is to come.
    hour = datetime.timedelta(hours=1)
    for partition in range(8):
        set_ledger(partition, now + hour, now + hour)
    wait_until(lambda: as_of() > now, 10, lambda: f"as_of moving: {as_of()}")
    assert as_of() < date(time.time() + 1)


def test_killed_again_and_again_under_load(make, servers, seed):
    stats = make(grace="2s")
    stats.flushes.random.seed(seed)
    load = Load(stats.flushes, TYPES)
    load.start()
    for _ in range(25):
        servers.start("stats")
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


def test_publishers_fence_each_other(make, servers):
    stats = make()

    def publisher():
        found = Producer({
            "bootstrap.servers": servers.brokers,
            "transactional.id": f"millrace-stats-{stats.topic}"})
        found.init_transactions(30)
        return found

    # One that is in the middle of it when a member begins.
    before = publisher()
    before.begin_transaction()
    now = time.time()
    servers.start("stats")
    stats.flushes.flush(0, [("a", now, 1.0)])
    stats.settle()
    before.produce(stats.topic, key=b"a|1s|0", value=b"out of order")
    with pytest.raises(KafkaException):
        before.commit_transaction(30)

    # And one that wakes up and fences the member: it goes on all the same.
    after = publisher()
    stats.flushes.flush(1, [("a", now, 2.0)])
    stats.settle()
    assert stats.metric("conflicts_total") > 0
    assert "another member has begun to publish" in servers.log_text("stats")
    after.begin_transaction()
    after.produce(stats.topic, key=b"a|1s|0", value=b"out of order")
    with pytest.raises(KafkaException):
        after.commit_transaction(30)
    stats.check()


# The command's name and collection, as OP_MSG has them.
UPDATE_WINDOWS = b"\x02update\x00" + b"\x08\x00\x00\x00windows\x00"
UPDATE_STATE = b"\x02update\x00" + b"\x06\x00\x00\x00state\x00"


@pytest.mark.parametrize("message", [UPDATE_WINDOWS, UPDATE_STATE],
                         ids=["window", "state"])
def test_a_write_that_arrives_after_the_lease(make, servers, message):
    stats = make(lease="1s")
    now = time.time()
    with HoldingProxy(servers.ports["mongod"]) as proxy:
        servers.environment = UNWINDING | {
            "MILLRACE_MONGODB_URI": proxy.uri}
        try:
            servers.start("stats")
        finally:
            servers.environment = UNWINDING
        stats.flushes.flush(0, [("a", now, 1.0)])
        stats.settle()

        # The first member has decided on its next write, ...
        proxy.hold(message)
        stats.flushes.flush(1, [("a", now, 2.0)])
        assert proxy.held.wait(10)

        # ... and the other one goes further meanwhile.
        servers.start("stats-2")
        wait_until(lambda: stats.metric("lease_held", "stats-2") == 1, 10,
                   "the take-over")
        stats.flushes.flush(2, [("a", now, 3.0)])
        stats.settle()
        before = stats.windows(), stats.database.state.find_one("merge")
        proxy.release()

        wait_until(lambda: stats.metric("lease_held") == 0, 10,
                   "the first one noticing")
        assert "another member" in servers.log_text("stats")
        assert (stats.windows(),
                stats.database.state.find_one("merge")) == before
        stats.check()
        servers.stop("stats")


def test_what_another_member_has_stored_is_published_first(make, servers):
    stats = make()
    servers.start("stats")
    now = time.time()
    stats.flushes.flush(0, [("a", now, 1.0)])
    stats.settle()

    # As if by a member that died after storing a revision.
    stats.database.windows.update_many(
        {"_id.event_type": "a", "_id.width": {"$lt": 86400}},
        {"$inc": {"revision": 1}, "$set": {"dirty": True}})
    stats.flushes.flush(1, [("a", now, 2.0)])
    stats.settle()
    assert stats.windows()[1, "a", int(now)]["revision"] == 3
    stats.check()


def test_a_window_is_never_set_back(make, servers):
    stats = make()
    servers.start("stats")
    now = time.time()
    stats.flushes.flush(0, [("a", now, None)] * 5)
    stats.settle()
    before = stats.windows()

    # Partials that hold less than before are damage, not news.
    stats.database.partials.update_many(
        {}, {"$set": {"count": 1, "flush": 2}})
    stats.database.ledger.update_many({}, {"$set": {"flush": 2}})
    stats.flushes.flushes[0] = 2
    stats.settle()
    assert stats.windows() == before
    assert "fewer than the 5 that were merged" in servers.log_text("stats")


def test_a_damaged_sketch_is_left_out(make, servers):
    stats = make()
    servers.start("stats")
    now = time.time()
    for partition in range(2):
        stats.flushes.flush(partition, [("a", now, 1.0), ("a", now, 4.0)])
    stats.settle()

    # Of one partition they are damaged, and so is what was merged before.
    for partition, users, values in (
            (0, hyperloglog(["u1", "u2"]), ddsketch([1.0, 4.0])),
            (1, b"H\x01\x0e\x09", b"D\x01\x05\x07")):
        stats.database.partials.update_many(
            {"_id.partition": partition}, {"$set": {"sketches": {
                "users": users, "measures": {"value": values}}}})
    stats.database.windows.update_many(
        {"_id.width": {"$gte": 60}}, {"$set": {"sketches": {
            "users": b"no sketch", "measures": {"value": b"none"}}}})
    stats.flushes.flush(1, [("a", now, 2.0)])
    stats.settle()

    windows = stats.windows()
    right = stats.flushes.account.windows
    assert {key: scalars(d) for key, d in windows.items()} == right
    for key, document in windows.items():
        if key[0] > 1:
            assert document["unique_users"] == 2, key
            assert document["sketches"]["users"] == hyperloglog(["u1", "u2"])
            assert document["sketches"]["measures"]["value"] == ddsketch(
                [1.0, 4.0])
            assert document["measures"]["value"]["p50"] == pytest.approx(
                1.0, rel=0.01)

    # Six windows, two sketches of a partial and one of the window.
    assert stats.metric("sketches_damaged_total") == 18
    assert stats.metric("failures_total") == 0
    assert "damaged sketches are left out" in servers.log_text("stats")


@pytest.mark.parametrize("damage, mends", [
    ({"revision": "one"}, False), ({"frozen": {"revision": 1, "text": 7}}, False),
    ({"sketches": 7}, True), ({"sketches.users": "u1"}, True),
    ({"measures": [1]}, True)], ids=lambda v: "".join(v) if v != bool(v) else "")
def test_a_damaged_window_does_not_keep_the_others(make, servers, damage, mends):
    stats = make()
    servers.start("stats")
    now = time.time()
    stats.flushes.flush(0, [("a", now, 1.0), ("b", now, 1.0)])
    stats.settle()

    stats.database.windows.update_many(
        {"_id.event_type": "a", "_id.width": {"$gte": 60}}, {"$set": damage})
    stats.flushes.flush(1, [("a", now, 2.0), ("b", now, 2.0)])
    stats.settle(20)

    # Windows are made of the partials: only their history is their own.
    right = stats.flushes.account.windows
    for key, document in stats.windows().items():
        if key[1] != "a" or key[0] == 1 or mends:
            assert scalars(document) == right[key], key
        else:
            assert document["count"] == 1, key
    assert stats.metric("conflicts_total") == 0
    assert stats.metric("windows_unreadable_total") == (0 if mends else 3)


def test_a_topic_that_was_recreated_is_published_to(make, servers):
    stats = make()
    servers.start("stats")
    stats.flushes.flush(0, stats.flushes.events(20, TYPES))
    stats.settle()
    assert stats.messages()

    admin = AdminClient({"bootstrap.servers": servers.brokers})
    for future in admin.delete_topics([stats.topic]).values():
        future.result(30)
    wait_until(lambda: stats.topic not in admin.list_topics(
        timeout=10).topics, 30, "the topic being gone")
    stats.flushes.flush(1, stats.flushes.events(20, TYPES))
    wait_until(lambda: stats.metric("failures_total") > 0, 60, "a failure")
    servers.start("setup")
    stats.settle()

    windows = stats.windows()
    newest = {}
    for key, value in stats.messages():
        newest[key] = json.loads(value)
    assert newest
    for message in newest.values():
        key = next(w for w in NAMES if NAMES[w] == message["width"])
        document = windows[key, message["event_type"], message["start"]]
        assert message["revision"] == document["revision"]
        assert message["count"] == document["count"]


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

    # Merging goes on without it, for windows that it owes Kafka as well.
    def counted():
        return sum(d["count"] for key, d in stats.windows().items()
                   if key[0] == 86400 and key[1] == "")

    for _ in range(3):
        before = counted()
        wait_until(lambda: counted() > before, 20, "the counts going on")
    assert stats.database.windows.count_documents(
        {"frozen.revision": {"$gt": 0}}) > 0

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
