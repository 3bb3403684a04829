"""
The writer alone, against real Kafka and mongod: what it stores is compared
with the log by the auditor, whatever happens to it meanwhile.
"""

import datetime
import json
import os
import random
import re
import signal
import threading
import time

import confluent_kafka
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from harness import faults, storage
from harness.killer import ABORTED, Killer
from harness.pipeline import servers_alone
from harness.rig import Rig, rig  # noqa: F401
from harness.waiting import wait_until
from harness.workload import Workload

BUILD = os.environ.get("MILLRACE_BUILD", "build")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    # It takes effect after the pause that has begun.
    with servers_alone(tmp_path_factory.mktemp("writer"), BUILD,
                       ttlMonitorSleepSecs=1) as stack:
        yield stack


def events(n, seed=1, **settings):
    settings.setdefault("users", 3000)
    return Workload(seed, time.time() - 30, **settings).events(n)


def event(event_id, user="u", event_type="t", **metadata):
    return json.dumps({
        "event_id": event_id, "user_id": user, "event_type": event_type,
        "timestamp": round(time.time(), 3), "metadata": metadata}).encode()


class Stream(threading.Thread):
    """Produces events in small batches until it is stopped."""

    def __init__(self, rig, made, size=200, pause=0.02):
        super().__init__(daemon=True)
        self.rig, self.made, self.size, self.pause = rig, made, size, pause
        self.ended = threading.Event()
        self.error = None

    def run(self):
        try:
            for i in range(0, len(self.made), self.size):
                if self.ended.wait(self.pause):
                    break
                self.rig.produce(self.made[i:i + self.size])
        except BaseException as error:
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.ended.set()
        self.join(120)
        assert self.error is None and not self.is_alive(), self.error


# What is stored.

def test_everything_agrees_with_the_log(rig):
    one = rig()
    made = events(20_000)
    one.produce(made[:5000])
    one.start()
    one.produce(made[5000:])
    shot = one.audit()

    assert sum(d["stored"] for d in shot.ledger.values()) == len(set(made))
    assert sum(d["repeated"] for d in shot.ledger.values()) > 0
    # The late events, one in a hundred, make few blocks wide.
    wide = sum(doc["n"] for doc, _ in shot.blocks if doc["span"] in (2, 3, 4))
    assert wide < len(set(made)) / 10
    one.stop()


def test_awkward_events_are_stored_equal(rig):
    one = rig(partitions=1)
    one.produce([
        event("1", **{"": 1, "a.b": {"$set": [None, True, -0.0, 1e300]}}),
        event("2", user="J\u00fcrgen \U0001f600", text="a\u0000b"),
        event("3", integers=[2**31, -2**63, 2**63 - 1, 0], doubles=[1.0]),
        event("4", deep=json.loads("[" * 30 + "]" * 30)),
        b'{"event_id":"5","user_id":"u","event_type":"t","timestamp":0}',
    ])
    one.start()
    shot = one.audit()
    assert sum(doc["n"] for doc, _ in shot.blocks) == 5


def test_large_events_and_many_types(rig):
    one = rig(partitions=1)
    one.produce([event(f"large-{i}", blob="x" * 900_000) for i in range(12)])
    one.produce([event(f"list-{i}", numbers=[7] * 100_000) for i in range(3)])
    one.produce([event(f"type-{i}", event_type=f"type-{i}")
                 for i in range(3000)])
    one.start()
    shot = one.audit()
    assert len(shot.blocks) >= 6


def test_a_lone_event_is_stored_within_a_second(rig):
    one = rig()
    one.start()
    one.produce([event("first")])
    one.settle()

    times = []
    for i in range(5):
        one.produce([event(f"lone-{i}", f"lone-{i}")])
        acked = time.monotonic()
        wait_until(lambda: one.database.blocks.find_one(
            {"who.u": f"lone-{i}"}), 10, "the event", 0.01)
        times.append(time.monotonic() - acked)

    assert sorted(times)[2] < 1, times


def test_dead_letters_are_the_records_as_they_were(rig):
    one = rig(partitions=1)
    bad = [(b"k", b"no JSON at all"), (None, b'{"event_id":'), (b"k", None),
           (None, None), (b"", b""), (b"\xff\x00", b"\xff\x00\xfe"),
           (b"k", b'{"event_id":"x"}'), (b"k", b"[]")]

    one.produce([event("before")])
    for key, value in bad:
        one.producer.produce(one.topic, key=key, value=value,
                             headers={"theirs": b"1"})
    one.producer.flush()
    one.produce([event("after")])
    one.foreign = [(0, i + 1, key, value, False)
                   for i, (key, value) in enumerate(bad)]

    one.start()
    shot = one.audit()

    assert [(r.key, r.value) for r in shot.dead] == bad
    for i, letter in enumerate(shot.dead):
        assert letter.headers["millrace-topic"].decode() == one.topic
        assert letter.headers["millrace-partition"] == b"0"
        assert letter.headers["millrace-offset"] == b"%d" % (i + 1)
        assert len(letter.headers["millrace-error"]) > 10
    ledger = one.ledger()
    assert (ledger["stored"], ledger["dead"]) == (2, len(bad))


def test_repeats_are_told_by_the_window(rig):
    """Decisions over many flushes and restarts, by the auditor's own rule."""

    one = rig(dedup_window=300, partitions=2, flush_events=70)
    r = random.Random(7)
    made = [event(f"e{r.randrange(400)}", user=f"u{i % 3}")
            for i in range(6000)]
    one.start()

    for i in range(0, len(made), 1000):
        one.produce(made[i:i + 1000])
        one.settle()
        one.kill() if i % 2000 else one.stop()
        one.start()

    shot = one.audit()
    repeated = sum(d["repeated"] for d in shot.ledger.values())
    assert 500 < repeated < 5500  # neither all nor none


def test_windows_past_their_retention_are_not_made(rig):
    one = rig(partitions=1)
    now = time.time()
    one.produce([json.dumps({
        "event_id": f"e{age}", "user_id": "u", "event_type": "t",
        "timestamp": int(now - age)}).encode()
        for age in (0, 3000, 2 * 3600, 34 * 86400, 40 * 86400)])
    one.start()
    one.settle()

    widths = {width: one.database.partials.count_documents(
        {"_id.width": width, "_id.event_type": ""})
        for width in (1, 60, 3600, 86400)}
    assert widths[1] == 0 and widths[60] == 4 and widths[3600] >= 4
    assert widths[86400] >= 3
    seconds = {
        int(doc["_id"]["start"].replace(tzinfo=datetime.timezone.utc)
            .timestamp()) + int(number): doc["forget"] - doc["_id"]["start"]
        for doc in one.database.partials.find({"_id.event_type": ""})
        for number in doc.get("seconds", {})}
    assert seconds == {int(now - age): datetime.timedelta(seconds=3660)
                       for age in (0, 3000)}
    total = one.database.partials.aggregate([
        {"$match": {"_id.width": 86400, "_id.event_type": "t"}},
        {"$group": {"_id": None, "count": {"$sum": "$count"}}}]).next()
    assert total["count"] == 5


# Ends of the log, holes in it.

def test_events_end_with_their_retention(rig):
    """Whole blocks, by the time of receipt; what was counted stays."""

    one = rig(retention="1h")  # the least; made less here
    assert one.database.command("collMod", "blocks", index={
        "name": "received", "expireAfterSeconds": 3})["ok"]
    one.start()
    one.produce(events(2000))
    one.settle()
    assert one.database.blocks.find_one()
    wait_until(lambda: one.database.blocks.count_documents({}) == 0, 90,
               "the end of the blocks")

    # A repeat of an event that has ended is one all the same, and what is
    # new is stored until its own time has come.
    one.produce(events(2000))
    one.produce([event("newer")])
    one.settle()
    wait_until(lambda: one.database.blocks.count_documents({}) == 0, 90,
               "the end of a block")
    violations, _ = one.violations(only=["ledger", "partials"])
    assert not violations, violations


def test_caught_up_follows_an_idle_log_and_never_runs_ahead(rig):
    one = rig(partitions=2)
    one.start()
    one.produce(events(500))
    one.settle()

    def caught_up():
        return [d.get("caught_up") for d in one.database.ledger.find()]

    asked = time.time()
    wait_until(lambda: all(t and t.timestamp() > asked for t in caught_up()),
               15, lambda: f"caught_up {caught_up()} beyond {asked}")
    assert all(t.timestamp() <= time.time() for t in caught_up())

    # With the writer stopped in its tracks nothing new may be claimed.
    one.signal(signal.SIGSTOP)
    claimed = caught_up()
    one.produce([event("late")])
    assert caught_up() == claimed
    one.signal(signal.SIGCONT)
    one.settle()


def test_aborted_transactions_leave_holes_and_nothing_else(rig):
    one = rig(partitions=1)
    transact = one.transactions()
    one.start()

    for i in range(12):
        transact([event(f"{i}-{k}") for k in range(20)], commit=i % 3)
        if i == 6:
            one.kill()
            one.start()

    wait_until(lambda: (one.ledger() or {}).get("stored") == 8 * 20, 60,
               lambda: f"{one.ledger()}")
    stored = {e["event_id"] for doc in one.database.blocks.find()
              for e in storage.rows_of(doc)}
    assert stored == {f"{i}-{k}" for i in range(12) if i % 3
                      for k in range(20)}

    # The log ends with a marker, and the end is recognised all the same.
    asked = time.time()
    wait_until(lambda: one.ledger()["caught_up"].timestamp() > asked, 15,
               "caught_up behind the last marker")
    assert one.metrics()["millrace_writer_holes_total"] > 0


def test_transactions_that_go_on_being_aborted_keep_nothing_back(rig):
    """Each new hole has the partition read anew, but others are stored."""

    one = rig(partitions=1)
    transact = one.transactions()
    one.start()
    committed, until = 0, time.monotonic() + 20
    while (one.ledger() or {}).get("stored", 0) < 100:
        assert time.monotonic() < until, one.ledger()
        for commit, what in (False, "abort"), (True, "commit"):
            transact([event(f"{what}{committed + k}") for k in range(5)],
                     commit)
        committed += 5
        time.sleep(0.1)
    wait_until(lambda: one.ledger()["stored"] == committed, 30, one.log)
    assert not one.database.blocks.count_documents(
        {"events.u.0.event_id": {"$regex": "abort"}})


def test_a_gap_stops_the_partition_until_it_is_accepted(rig):
    one = rig(partitions=2)
    one.start()
    one.produce([event(f"a{i}") for i in range(50)], partition=0)
    one.produce([event(f"b{i}") for i in range(50)], partition=1)
    one.settle()
    one.stop()

    one.produce([event(f"a{i}") for i in range(50, 100)], partition=0)
    one.delete_before(0, 80)
    one.start()
    one.produce([event(f"b{i}") for i in range(50, 100)], partition=1)

    wait_until(lambda: one.next()[1] == 100, 30, "partition 1 goes on")
    wait_until(lambda: "--accept-gap 0" in one.log(), 30, "a clear error")
    assert one.metrics()["millrace_writer_stopped_partitions"] == 1
    assert one.next()[0] == 50

    status, said = one.run("--accept-gap", "0")
    assert status == 0, said
    wait_until(lambda: one.next()[0] == 100, 30, "partition 0 goes on")
    wait_until(lambda: one.metrics()[
        "millrace_writer_stopped_partitions"] == 0, 10, "nothing stopped")
    assert one.ledger(0)["stored"] == 70
    assert "resume" not in one.ledger(0)
    one.produce([event(f"c{i}") for i in range(50)])
    one.settle()
    one.stop()


@pytest.mark.parametrize("again", [5, 200])
def test_a_recreated_topic_stops_until_a_new_epoch(rig, again):
    """With fewer records than before, and with more."""

    one = rig(partitions=1)
    one.start()
    one.produce([event(f"old{i}") for i in range(50)])
    one.settle()
    one.stop()

    one.recreate(partitions=1)
    new = [event(f"new{i}") for i in range(again)]
    one.produce(new)
    one.start()

    wait_until(lambda: "--new-epoch 0" in one.log(), 30, one.log)
    time.sleep(1)
    assert one.ledger()["next"] == 50 and one.ledger()["epoch"] == 1
    one.check_alive()

    # The decision outlives the process.
    one.kill()
    one.start()
    wait_until(lambda: one.log().count("--new-epoch 0") == 2, 30, one.log)

    status, said = one.run("--new-epoch", "0")
    assert status == 0, said
    wait_until(lambda: one.ledger()["epoch"] == 2
               and one.ledger()["next"] == again, 30, one.ledger)
    assert one.ledger()["stored"] == 50 + again
    assert one.database.blocks.count_documents({"_id.epoch": 2}) >= 1
    stored = sum(d["n"] for d in one.database.blocks.find())
    assert stored == 50 + again
    one.stop()


def test_a_topic_recreated_under_a_running_writer(rig):
    one = rig(partitions=1)
    one.start()
    one.produce([event(f"old{i}") for i in range(50)])
    one.settle()

    one.recreate(partitions=1)
    one.produce([event("new")])
    wait_until(lambda: "--new-epoch 0" in one.log(), 60, one.log)
    assert one.ledger()["next"] == 50
    one.run("--new-epoch", "0")
    wait_until(lambda: one.ledger()["epoch"] == 2
               and one.ledger()["next"] == 1, 30, one.ledger)
    one.stop()


@pytest.mark.parametrize("idle", [False, True], ids=["busy", "idle"])
@pytest.mark.parametrize("times", ["LogAppendTime", "CreateTime"])
def test_a_recreated_topic_that_is_longer_at_once(rig, times, idle):
    """Before anybody could see that it was shorter for a moment."""

    one = rig(partitions=1)
    one.start()
    for i in range(10):  # with times that differ
        one.produce([event(f"old{i}-{k}") for k in range(10)])
        time.sleep(0.01)
    one.settle()
    if idle:
        one.stop()
        one.start()
        asked = time.time()
        wait_until(lambda: one.ledger()["caught_up"].timestamp() > asked, 15,
                   "a writer that has nothing to store")

    # While the writer cannot look, the log changes and outgrows the old one.
    one.signal(signal.SIGSTOP)
    one.recreate(partitions=1, **{"message.timestamp.type": times})
    one.produce([event(f"new{i}") for i in range(500)])
    one.signal(signal.SIGCONT)

    wait_until(lambda: "--new-epoch 0" in one.log(), 60, one.log)
    assert one.ledger()["next"] == 100 and one.ledger()["stored"] == 100
    one.run("--new-epoch", "0")
    wait_until(lambda: one.ledger()["epoch"] == 2
               and one.ledger()["next"] == 500, 30, one.ledger)
    assert one.ledger()["stored"] == 600
    one.stop()


def test_a_broker_clock_that_is_behind_is_asked_about_once(rig):
    """As after another broker has become the leader."""

    one = rig(partitions=1)
    admin = one.admin()

    def stamp(how):
        resource = ConfigResource(
            ConfigResource.Type.TOPIC, one.topic, incremental_configs=[
                ConfigEntry("message.timestamp.type", how,
                            incremental_operation=AlterConfigOpType.SET)])
        admin.incremental_alter_configs([resource])[resource].result()

    stamp("CreateTime")
    one.produce([event("first")])
    ahead = confluent_kafka.Producer({"bootstrap.servers": one.stack.brokers})
    for i in range(5):
        ahead.produce(one.topic, key="u", value=event(f"ahead{i}"),
                      timestamp=int((time.time() + 600) * 1000))
        ahead.flush()
    stamp("LogAppendTime")
    one.start()
    for i in range(8):
        one.produce([event(f"behind{i}")])
        one.settle()
    assert one.metrics()['millrace_writer_halts_total{reason="changed"}'] == 1

    # And it is seen all the same where the topic is another one.
    one.signal(signal.SIGSTOP)
    one.recreate(partitions=1)
    one.produce([event(f"new{i}") for i in range(50)])
    one.signal(signal.SIGCONT)
    wait_until(lambda: "--new-epoch 0" in one.log(), 60, one.log)
    assert one.ledger()["next"] == 14


def test_a_gap_in_a_new_epoch_is_one(rig):
    """What had been reached of the old log says nothing of the new one."""

    one = rig(partitions=1, flush_events=1000)
    one.start()
    one.produce([event(f"old{i}") for i in range(1000)])
    one.settle()
    wait_until(lambda: one.ledger().get("reached") == 1000, 20, one.ledger)
    one.stop()
    one.recreate(partitions=1)
    one.produce([event(f"new{i}") for i in range(200)])
    one.start()
    wait_until(lambda: "--new-epoch 0" in one.log(), 30, one.log)
    one.stop()
    one.run("--new-epoch", "0")
    one.start()
    wait_until(lambda: one.ledger()["epoch"] == 2
               and one.ledger()["next"] == 200, 20, one.ledger)
    assert one.ledger().get("reached", 0) <= 200
    one.kill()
    one.produce([event(f"lost{i}") for i in range(200)])
    one.delete_before(0, 300)
    one.start()
    wait_until(lambda: "--accept-gap 0" in one.log(), 30, one.log)
    assert one.ledger()["next"] == 200


# What is refused.

def test_another_dedup_window_is_refused(rig):
    one = rig(dedup_window=1000)
    status, said = one.run(options={"writer": {"dedup_window": 2000}})
    assert status == 1
    assert "dedup_window" in said and "1000" in said and "2000" in said


def test_a_database_that_was_not_set_up_is_refused(servers):
    one = Rig(servers, "bare")
    status, said = one.run()
    assert status == 1 and "millrace-setup" in said
    one.close()


def test_orders_are_checked(rig):
    one = rig()
    assert one.run("--accept-gap")[0] == 2
    assert one.run("--accept-gap", "x")[0] == 2
    status, said = one.run("--new-epoch", "77")
    assert status == 1 and "/77" in said


# Life and death.

def test_stopping_stores_what_is_there(rig):
    one = rig(flush_interval="60s")
    one.produce(events(1000))
    one.start()
    wait_until(lambda: one.metrics().get(
        "millrace_writer_assigned_partitions") == 4, 30, "an assignment")
    time.sleep(1)
    assert sum(one.next().values()) == 0
    one.stop()
    one.audit()


@pytest.mark.slow
def test_stopping_is_bounded_when_all_servers_are_away(rig, servers):
    one = rig()
    one.produce(events(3000))
    one.start()
    one.settle()
    servers.kill("mongod")
    one.produce(events(3000, seed=2) + [b"bad"], key="k")
    try:
        wait_until(lambda: "attempt 1" in one.log(), 30, one.log)
        servers.kill("kafka")
        began = time.monotonic()
        one.stop()
        assert time.monotonic() - began < 20
    finally:
        servers.start("kafka", "mongod")

    one.start()
    one.audit(90)


def test_kill_at_random_and_inside_transactions(rig, seed):
    one = rig(partitions=4)
    r = random.Random(seed)
    inside = kills = 0

    # The server aborts what a dead client left only after a while.
    one.mongo.admin.command(
        "setParameter", transactionLifetimeLimitSeconds=4)
    try:
        with Stream(one, events(200_000, seed), size=200,
                    pause=0.1) as stream:
            while inside < 5 or kills < 8:
                one.start()
                kills += 1
                if kills % 4 == 0:
                    time.sleep(r.uniform(0.1, 5))
                    one.kill()
                    continue
                killer = Killer(one)
                kill = killer.kill_inside(stream.is_alive, 40)
                assert kill is not None, (
                    f"only {inside} kills were inside a transaction")
                inside += killer.verdict(kill) == ABORTED
            stream.ended.set()
        one.start()
        one.audit(120)
    finally:
        one.mongo.admin.command(
            "setParameter", transactionLifetimeLimitSeconds=15)


def test_writers_join_and_leave(rig, seed):
    one = rig(partitions=6)
    r = random.Random(seed)

    with Stream(one, events(40_000, seed), size=400, pause=0.1) as stream:
        one.start("writer")
        while stream.is_alive():
            part = r.choice(["writer-2", "writer-3"])
            if part not in one.processes:
                one.start(part)
            elif r.random() < 0.7:
                one.stop(part)
            else:
                one.kill(part)
            time.sleep(r.uniform(0.5, 1.5))

    one.audit(90)
    assert "STOPPED" not in one.log()


def wake_zombies(one, seed, stops=(0.5, 4.5)):
    """SIGSTOP past the session, so that another writer takes over."""

    r = random.Random(seed)

    with Stream(one, events(30_000, seed), size=300, pause=0.1) as stream:
        one.start("writer")
        one.start("writer-2")
        while stream.is_alive():
            part = r.choice(["writer", "writer-2"])
            time.sleep(r.uniform(0.2, 1))
            one.signal(signal.SIGSTOP, part)
            time.sleep(r.choice(stops))
            one.signal(signal.SIGCONT, part)


def test_a_zombie_does_no_harm(rig, seed):
    one = rig(partitions=4)
    wake_zombies(one, seed)
    one.audit(90)


@pytest.mark.slow
def test_without_the_ledgers_guard_a_zombie_stores_twice(rig, seed):
    """The negative control: the same, and the same audit must notice."""

    one = rig(partitions=4)
    one.writer = faults.build("no-ledger-guard", "millrace-writer")

    # One that held nothing when it was stopped has done no harm.
    for attempt in range(4):
        wake_zombies(one, seed + attempt, stops=(4.5,))
        violations, _ = one.violations(90)
        if any(re.search(r"too many: \[\d", text) for text in violations):
            break
        for part in list(one.processes):
            one.kill(part)
    else:
        pytest.fail(f"stored twice by no audit: {violations}")

    for check in "ledger", "partials":
        assert any(text.startswith(check) for text in violations), violations


def test_a_zombie_inside_a_transaction_is_fenced(rig):
    """Stopped with its transaction open, woken after another has stored."""

    one = rig(partitions=1)
    made = events(40_000)
    killer = Killer(one)
    one.start("writer")
    one.produce(made[:2000])
    one.settle()

    with Stream(one, made[2000:], size=500, pause=0.02):
        wait_until(killer.open_transactions, 30, "a transaction", 0)
        one.signal(signal.SIGSTOP, "writer")
        stopped_at = one.next()[0]
        one.start("writer-2")
        wait_until(lambda: one.next()[0] > stopped_at + 1000, 60,
                   lambda: one.log("writer-2")[-2000:])
        one.signal(signal.SIGCONT, "writer")

    one.audit(90)


@pytest.mark.slow
def test_two_groups_on_one_ledger_fence_each_other(rig):
    """Each begins anew again and again, with records read ahead."""

    one = rig(partitions=4)
    made = events(40_000)
    one.produce(made[:20_000])
    one.start("writer")
    one.start("writer-2", MILLRACE_WRITER_GROUP="another")

    with Stream(one, made[20_000:], size=500, pause=0.1):
        pass

    one.audit(120)
    fenced = 'millrace_writer_halts_total{reason="fenced"}'
    assert one.metrics("writer")[fenced] + one.metrics("writer-2")[fenced] > 2
    assert "STOPPED" not in one.log("writer") + one.log("writer-2")


def test_mongod_dies_and_comes_back(rig, servers):
    one = rig()
    one.start()
    with Stream(one, events(20_000), size=300, pause=0.1):
        time.sleep(2)
        servers.kill("mongod")
        time.sleep(2)
        servers.start("mongod")
    one.audit(90)
    assert "attempt" in one.log()


def test_kafka_dies_and_comes_back(rig, servers):
    one = rig()
    one.produce(events(5000))
    one.start()
    one.settle()
    servers.kill("kafka")
    time.sleep(3)
    servers.start("kafka")
    one.produce(events(5000, seed=2))
    one.audit(90)


def test_the_dead_letter_topic_is_away(rig):
    """No commit before the dead letters are acknowledged."""

    one = rig(partitions=1)
    admin = one.admin()
    admin.delete_topics([one.dead_topic])[one.dead_topic].result(20)
    one.start()
    one.produce([event("good"), b'{"user_id":"u"}'])
    wait_until(lambda: "dead letters, attempt" in one.log(), 60, one.log)
    assert one.ledger()["next"] == 0

    new = confluent_kafka.admin.NewTopic(one.dead_topic, 1, 1)
    admin.create_topics([new])[one.dead_topic].result(20)
    one.audit(90)


def test_a_damaged_sketch_is_begun_anew(rig):
    one = rig(partitions=1)
    one.produce([event(f"a{i}", user=f"a{i}", value=i) for i in range(300)])
    one.start()
    one.settle()
    one.stop()
    one.database.partials.update_many({}, {"$set": {"sketches": {
        "flush": 1, "users": b"H\x01\x0e\x09", "tail": b"",
        "measures": {"value": b"no sketch"}}}})
    one.produce([event(f"b{i}", user=f"b{i}", value=7) for i in range(10)])
    one.start()
    one.settle()

    days = list(one.database.partials.find({"_id.width": 86400}))
    assert {d["_id"]["event_type"]: d["count"] for d in days} == {
        "": 310, "t": 310}
    for document in days:
        sketches = document["sketches"]
        # Ten hashes, and one bucket with ten numbers.
        assert sketches["users"][:5] == b"H\x01\x0e\x00\x0a"
        assert sketches["measures"]["value"][:4] == b"D\x01\x05\x01"
        assert sketches["measures"]["value"][-1] == 10
        assert "tail" not in sketches
    assert one.metrics()["millrace_writer_sketches_damaged_total"] >= 6
    assert "is damaged and begun anew" in one.log()
    one.stop()


def test_metrics_tell_what_was_done(rig):
    one = rig(partitions=2)
    one.produce([event("a"), event("a"), event("b"), b'{"user_id":"u"}'])
    one.start()
    one.settle()
    metrics = one.metrics()

    records = "millrace_writer_records_total"
    assert metrics[records + '{outcome="stored"}'] == 2
    assert metrics[records + '{outcome="repeated"}'] == 1
    assert metrics[records + '{outcome="dead"}'] == 1
    assert metrics["millrace_writer_flushes_total"] >= 1
    assert metrics["millrace_writer_assigned_partitions"] == 2
    wait_until(lambda: one.metrics().get(
        'millrace_writer_lag_records{partition="0"}') == 0, 10, "a lag of 0")
