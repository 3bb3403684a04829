"""
Bytes that change on a broker's disk: nothing of such a batch is stored, what
lies before it is, its partition stops and the others go on.
"""

import os
import re
import signal
import struct
import time

import confluent_kafka
import pytest

from harness.pipeline import servers_alone
from harness.rig import Rig
from harness.waiting import wait_until
from test_writer import event

BUILD = os.environ.get("MILLRACE_BUILD", "build")

STOPPED = "millrace_writer_stopped_partitions"
STOPS = 'millrace_writer_stops_total{reason="corrupt"}'
HALTS = 'millrace_writer_halts_total{reason="%s"}'


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with servers_alone(tmp_path_factory.mktemp("corrupt"), BUILD) as stack:
        yield stack


@pytest.fixture
def rig(servers, request):
    made = []

    def make(compression="none", **options):
        name = re.sub(r"\W", "-", request.node.name[5:])[:30]
        one = Rig(servers, f"{name}-{time.time_ns() % 10**6}",
                  **options).setup()
        one.producer = confluent_kafka.Producer({
            "bootstrap.servers": servers.brokers, "linger.ms": 100,
            "enable.idempotence": True, "compression.type": compression})
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def batches(one, partition, start, n, size=50):
    """Produce `n` batches of `size` events, each of them one of Kafka's."""

    for batch in range(start, start + n):
        one.produce([event(f"{partition}-{i}") for i in
                     range(batch * size, (batch + 1) * size)],
                    partition=partition)


def flip(one, partition, offset):
    """Change the last byte of the batch that begins at `offset`, in Kafka's
    file; once more, and it is as it was."""

    path = one.stack.path(
        f"data/kafka/{one.topic}-{partition}/{0:020}.log")
    with open(path, "r+b", buffering=0) as f:
        at = 0
        while True:
            f.seek(at)
            base, length = struct.unpack(">qi", f.read(12))
            at += 12 + length
            if base == offset:
                break
        f.seek(at - 1)
        byte = f.read(1)[0]
        f.seek(at - 1)
        f.write(bytes([byte ^ 1]))


def await_stop(one, offset, next):
    wait_until(lambda: f"offset {offset} is corrupt" in one.log(), 30, one.log)
    wait_until(lambda: one.metrics()[STOPPED] == 1, 10, "the metric")
    assert one.next()[0] == next
    assert one.metrics()[STOPS] == 1
    # It is no matter of one bad read.
    assert one.metrics()[HALTS % "corrupt"] == 3


@pytest.mark.slow
def test_a_corrupt_batch_stops_its_partition_until_it_is_mended(rig):
    one = rig("lz4", partitions=2)
    batches(one, 0, 0, 3)
    flip(one, 0, 50)
    one.start()
    batches(one, 1, 0, 1)
    await_stop(one, offset=50, next=50)
    wait_until(lambda: one.next()[1] == 50, 30, "partition 1 goes on")
    batches(one, 1, 1, 1)
    wait_until(lambda: one.next()[1] == 100, 30, "partition 1 goes on")

    # It is read again by itself.
    flip(one, 0, 50)
    one.audit()
    assert one.ledger(0)["stored"] == 150
    wait_until(lambda: one.metrics()[STOPPED] == 0, 10, "the metric")
    one.stop()


@pytest.mark.slow
def test_trying_again_is_no_news(rig):
    one = rig(partitions=1)
    batches(one, 0, 0, 2)
    flip(one, 0, 0)
    one.start()
    await_stop(one, offset=0, next=0)
    for i in (4, 5):
        wait_until(lambda: one.metrics()[HALTS % "corrupt"] == i, 45, one.log)
        assert one.metrics()[STOPPED] == 1 and one.metrics()[STOPS] == 1
    assert one.log().count("STOPPED") == 1
    assert one.next()[0] == 0
    one.stop()


def test_what_is_corrupt_can_be_deleted(rig):
    one = rig(partitions=1)
    batches(one, 0, 0, 4)
    flip(one, 0, 100)
    one.start()
    await_stop(one, offset=100, next=100)

    one.delete_before(0, 150)
    wait_until(lambda: "--accept-gap 0" in one.log(), 45, one.log)
    status, said = one.run("--accept-gap", "0")
    assert status == 0, said
    one.settle()
    wait_until(lambda: one.metrics()[STOPPED] == 0, 10, "the metric")
    assert one.ledger(0)["stored"] == 150
    batches(one, 0, 4, 1)
    one.settle()
    assert one.ledger(0)["stored"] == 200
    one.stop()


def test_a_window_with_something_corrupt_is_not_trusted(rig):
    """It was stored, but repeats of it could not be told any more."""

    one = rig(partitions=1)
    batches(one, 0, 0, 3)
    one.start()
    one.settle()
    one.stop()

    flip(one, 0, 50)
    batches(one, 0, 3, 1)
    one.start()
    await_stop(one, offset=50, next=150)

    # There is nothing to accept: none of it is lost.
    one.delete_before(0, 100)
    one.settle()
    wait_until(lambda: one.metrics()[STOPPED] == 0, 10, "the metric")
    assert "--accept-gap" not in one.log()
    assert one.ledger(0)["stored"] == 200
    one.stop()


def test_what_lies_before_a_gap_is_stored(rig):
    """The log ran away from a writer that had records in its hands."""

    one = rig(partitions=1, flush_interval="10s")
    one.options["kafka"]["session.timeout.ms"] = 30_000
    one.start()
    wait_until(lambda: "reading from offset 0" in one.log(), 30, one.log)
    batches(one, 0, 0, 1)
    time.sleep(2)
    one.signal(signal.SIGSTOP)
    assert one.ledger(0)["next"] == 0
    time.sleep(2)  # what it has asked for is answered without these
    batches(one, 0, 1, 1)
    one.delete_before(0, 80)
    one.signal(signal.SIGCONT)

    wait_until(lambda: "--accept-gap 0" in one.log(), 30, one.log)
    assert one.metrics()[HALTS % "lost"] == 1
    assert one.ledger(0)["next"] == 50
    one.run("--accept-gap", "0")
    one.settle()
    assert one.ledger(0)["stored"] == 70
    one.stop()
