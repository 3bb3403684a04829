"""
What the writer says of its partitions, in the ledgers, its metrics and its
log: how far each is stored, and why one of them is not read.
"""

import os
import re
import subprocess
import time

import confluent_kafka
import pytest

from harness.clock import Clock
from harness.pipeline import REPO, Pipeline, servers_alone
from harness.rig import Rig, rig  # noqa: F401
from harness.waiting import wait_until
from test_writer import event

BUILD = os.environ.get("MILLRACE_BUILD", "build")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with servers_alone(tmp_path_factory.mktemp("claims"), BUILD) as stack:
        yield stack


def claimed(one, partition=0):
    """The ledger's caught_up, in seconds; 0: there is none."""

    when = (one.ledger(partition) or {}).get("caught_up")
    return when.timestamp() if when else 0


# How far a partition is stored.

def test_what_a_clock_that_was_ahead_has_claimed_is_set_right(rig, tmp_path):
    one = rig(partitions=2)
    clock = Clock(tmp_path)
    one.start(**clock.environment)
    one.produce([event("a")], partition=0)
    one.settle()
    clock.set(3600)
    wait_until(lambda: all(claimed(one, p) > time.time() + 3000
                           for p in range(2)), 15, "claims that are lies")
    clock.set(0)
    wait_until(lambda: all(0 < claimed(one, p) <= time.time()
                           for p in range(2)), 5,
               lambda: f"claims {claimed(one)} {claimed(one, 1)}")
    one.stop()


def test_where_it_never_ends_such_a_claim_is_taken_back(rig, tmp_path):
    one = rig(partitions=1, flush_interval="60s")
    clock = Clock(tmp_path)
    one.start(MILLRACE_WRITER_FLUSH_INTERVAL="100ms")
    one.produce([event("a")])
    one.settle()
    one.stop()
    one.start(**clock.environment)
    clock.set(3600)
    wait_until(lambda: claimed(one) > time.time() + 3000, 15, "a lie")
    assert one.ledger()["next"] == 1

    # From here on there is something to be stored, for a minute.
    one.produce([event("b")])
    clock.set(0)
    wait_until(lambda: 0 < claimed(one) <= time.time(), 5,
               lambda: f"a claim {claimed(one)}")
    assert one.ledger()["next"] == 1
    one.stop()


def lags(one, part="writer"):
    """The metric of partitions 0 and 1."""

    metrics = one.metrics(part)
    return [metrics.get(f'millrace_writer_lag_records{{partition="{p}"}}')
            for p in range(2)]


def test_the_lag_of_a_stopped_partition_is_shown(rig):
    """Of a gap, and of another log; and by the one writer that has it."""

    one = rig(partitions=2)
    one.start()
    for partition in range(2):
        one.produce([event(f"a{i}") for i in range(50)], partition=partition)
    one.settle()
    one.stop()
    for partition in range(2):
        one.produce([event(f"b{i}") for i in range(50)], partition=partition)
        one.delete_before(partition, 80)
    one.start()
    wait_until(lambda: lags(one) == [50, 50], 30, lambda: lags(one))
    one.produce([event("c")], partition=0)
    wait_until(lambda: lags(one) == [51, 50], 10, lambda: lags(one))

    one.start("writer-2")
    wait_until(lambda: sorted([lags(one), lags(one, "writer-2")], key=str)
               in ([[0, 50], [51, None]], [[51, 0], [None, 50]]), 20,
               lambda: f"{lags(one)} {lags(one, 'writer-2')}")
    one.stop("writer-2")
    wait_until(lambda: lags(one) == [51, 50], 20, lambda: lags(one))

    one.recreate(partitions=2)
    one.produce([event(f"d{i}") for i in range(7)], partition=0)
    wait_until(lambda: lags(one) == [7, 0], 30, lambda: lags(one))
    one.stop()


def test_the_lag_stands_while_a_partition_cannot_be_begun(rig, servers):
    one = rig(partitions=2)
    one.start("writer-2")
    wait_until(lambda: lags(one, "writer-2") == [0, 0], 20, "all by one")
    one.start()
    wait_until(lambda: sorted(lags(one), key=str) == [0, None], 20,
               lambda: lags(one))
    servers.kill("mongod")
    try:
        for partition in range(2):
            one.produce([event(f"a{i}") for i in range(20)],
                        partition=partition)
        wait_until(lambda: 20 in lags(one), 20, lambda: lags(one))

        # The group gives it anew.
        one.kill("writer-2")
        wait_until(lambda: "cannot begin" in one.log(), 20, one.log)
        assert 20 in lags(one)
    finally:
        servers.start("mongod")
    one.settle()
    wait_until(lambda: lags(one) == [0, 0], 10, lambda: lags(one))


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "abort"])
def test_an_open_transaction_is_not_caught_up_with(rig, commit):
    one = rig(partitions=2)
    one.produce([event("before")], partition=0)
    one.start()
    one.settle()
    producer = confluent_kafka.Producer({
        "bootstrap.servers": one.stack.brokers, "transactional.id": one.name})
    producer.init_transactions(20)
    producer.begin_transaction()
    for i in range(10):
        producer.produce(one.topic, value=event(f"inside{i}"), partition=0)
    producer.flush()
    opened = time.time()
    one.produce([event("behind")], partition=0)
    one.produce([event("elsewhere")], partition=1)

    wait_until(lambda: lags(one) == [11, 0], 10, lambda: lags(one))
    wait_until(lambda: claimed(one, 1) > opened + 3, 15, "the other one")
    assert claimed(one, 0) <= opened and one.next()[0] == 1
    wait_until(lambda: "somebody has had a transaction open" in one.log(), 15,
               one.log)
    assert ("partition=0 somebody has had a transaction open for 10 s: what "
            "Kafka holds from offset 1 on, 11 records" in one.log())

    # What was aborted is no record, and its marker holds up nothing.
    if commit:
        producer.commit_transaction()
    else:
        producer.abort_transaction()
    ended = time.time()
    wait_until(lambda: one.next()[0] == 12, 20, one.log)
    wait_until(lambda: claimed(one, 0) > ended, 10, lambda: one.ledger())
    assert one.ledger()["stored"] == (12 if commit else 2)
    assert one.log().count("somebody has had") == 1
    one.stop()


# What is to be known of a partition.

def test_what_was_deleted_before_the_first_ledger_is_said(rig):
    one = rig(partitions=2)
    for partition in range(2):
        one.produce([event(f"a{i}") for i in range(50)], partition=partition)
    one.delete_before(1, 30)
    one.start()
    wait_until(lambda: one.next() == {0: 50, 1: 50}, 20, one.log)
    assert re.search("partition=1 its first ledger begins at offset 30: Kafka "
                     "has deleted the 30 records before it", one.log())
    assert "partition=0 its first ledger" not in one.log()

    # It is so of the first one alone.
    one.stop()
    one.start()
    wait_until(lambda: one.log().count("reading from offset") == 4, 20,
               one.log)
    assert one.log().count("its first ledger") == 1
    one.stop()


def test_an_order_that_is_not_needed_is_forgotten(rig):
    one = rig(partitions=1)
    one.start()
    one.produce([event("a")])
    one.settle()
    one.stop()
    assert one.run("--new-epoch", "0")[0] == 0
    one.start()
    wait_until(lambda: "resume" not in one.ledger(), 20, one.ledger)
    wait_until(lambda: "partition=0 next=1 is read: what the operator said"
               in one.log(), 20, one.log)
    one.stop()

    # It would have been obeyed.
    one.recreate(partitions=1)
    one.produce([event(f"b{i}") for i in range(9)])
    one.start()
    wait_until(lambda: "--new-epoch 0" in one.log(), 30, one.log)
    one.stop()

    # This one is needed, as reading alone can tell.
    assert one.run("--new-epoch", "0")[0] == 0
    one.start()
    wait_until(lambda: one.next() == {0: 9}, 20, one.log)
    assert one.ledger()["epoch"] == 2 and "resume" not in one.ledger()
    assert one.log().count("what the operator said") == 1
    one.stop()


def test_an_order_to_a_partition_that_is_read_is_forgotten(rig):
    """It would be obeyed one day, when the log has lost its end."""

    one = rig(partitions=1)
    one.start()
    one.produce([event("a")])
    one.settle()
    for order in "--new-epoch", "--accept-gap":
        assert one.run(order, "0")[0] == 0
        wait_until(lambda: "resume" not in one.ledger(), 20, one.ledger)
    one.produce([event("b")])
    one.settle()
    assert one.ledger()["epoch"] == 1
    one.stop()


def test_another_topics_database_is_refused(rig):
    """Its blocks and windows do not say of which topic they are."""

    one = rig(partitions=1)
    status, said = one.run(options={"kafka": {"topic": "others"}})
    assert status == 1
    assert (f'holds the events of topic "{one.topic}", the configuration says '
            "[kafka] topic = others") in said


# A partition that cannot be begun.

@pytest.fixture
def brokers(tmp_path_factory):
    """Three of them."""

    stack = Pipeline(tmp_path_factory.mktemp("brokers"), build=BUILD,
                     members=3)
    try:
        stack.start("kafka", "kafka-2", "kafka-3")
        yield stack
    finally:
        for part in "kafka", "kafka-2", "kafka-3":
            stack.kill(part)
        stack.close()


@pytest.mark.slow
def test_a_partition_without_a_leader_keeps_no_other_waiting(
        brokers, servers, tmp_path):
    stack = Pipeline(tmp_path, build=BUILD, ports={
        "kafka": brokers.ports["kafka"], "mongod": servers.ports["mongod"]})
    one = Rig(stack, f"leader-{time.time_ns() % 10**6}", partitions=6).setup()
    try:
        about = one.admin().list_topics(one.topic, timeout=10)
        leaders = {p: at.leader
                   for p, at in about.topics[one.topic].partitions.items()}
        away = {p for p, leader in leaders.items() if leader == 3}
        others = set(leaders) - away
        assert away and others, leaders

        def produce(partitions):
            for partition in partitions:
                one.produce([event(f"{time.time_ns()}")], partition=partition)

        def stored(partitions, n):
            wait_until(lambda: all(one.next().get(p) == n for p in partitions),
                       20, lambda: f"{one.next()}\n{one.log()}")

        def followed(partitions):
            now = time.time()
            wait_until(lambda: all(claimed(one, p) > now for p in partitions),
                       10, lambda: [claimed(one, p) for p in partitions])

        produce(leaders)
        brokers.kill("kafka-3")
        one.start()
        stored(others, 1)
        followed(others)
        assert all(f"partition={p} waits: " in one.log() for p in away)

        brokers.start("kafka-3")
        stored(leaders, 1)
        followed(leaders)

        # And while they are read.
        brokers.kill("kafka-3")
        produce(others)
        stored(others, 2)
        followed(others)
        # Said once, if the group gave them once, which it does unless the
        # machine is so busy that the session ends.
        log = one.log()
        assert len(away) <= log.count(" waits: ") \
            <= len(away) * log.count("the group gave us")
        one.stop()
    finally:
        one.close()
        stack.close()


# How reading begins anew.

def test_reading_begins_anew_twice_at_once(rig):
    """librdkafka ends the process where an assignment overtakes the end of
    the one before (its issue 5573)."""

    one = rig(partitions=4)
    one.produce([event(f"r{n}") for n in range(400)])
    done = subprocess.run(
        [os.path.join(BUILD, "restarts"), one.configuration(),
         f"restarts-{one.name}", "25"],
        cwd=REPO, env=one.stack._environment(), capture_output=True,
        text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
