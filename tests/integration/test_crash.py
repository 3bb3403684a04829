"""
The promise under SIGKILL: whatever process is killed, an event answered with
202 is stored exactly once and counted exactly once.

50,000 events with 0.5 % repeats go in through nginx, while the writer is
killed inside transactions, the statistics daemon and nginx's workers at any
moment.  Then everything is audited against the sender's log.
"""

import dataclasses
import random
import signal
import threading
import time

import pytest

from harness.audit import audit
from harness.killer import ABORTED, Killer
from harness.sender import Sender
from harness.waiting import wait_until
from harness.workload import Workload

EVENTS = 50_000
INSIDE = 5       # kills of the writer inside a transaction, at least
MOST = 25        # kills of the writer at most
LIFETIME = 4     # seconds that an orphaned transaction may hold its locks


class Flow:
    """Some threads that deliver events in batches, each until its 202."""

    def __init__(self, stack, log, batches, threads=4, pace=0.0):
        self.stack, self.log = stack, log
        self.batches = list(batches)
        self.pace = pace
        self.lock = threading.Lock()
        self.retries = 0
        self.in_flight = 0  # batches that wait for an answer
        self.errors = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run)
                        for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _run(self):
        try:
            with Sender(self.stack.url, self.log) as sender:
                while not self.stopping.is_set():
                    with self.lock:
                        if not self.batches:
                            return
                        batch = self.batches.pop(0)
                        self.in_flight += 1
                    attempts = sender.deliver(batch, seconds=120)
                    with self.lock:
                        self.in_flight -= 1
                        self.retries += attempts - 1
                    self.stopping.wait(self.pace)
        except BaseException as error:
            self.errors.append(error)

    @property
    def running(self):
        return any(thread.is_alive() for thread in self.threads)

    def finish(self):
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors


@pytest.fixture
def short_transactions(stack):
    """
    An orphaned transaction keeps its locks until mongod gives it up: 15 s as
    configured, here less, so that the test does not wait most of its time.
    """

    admin = stack.mongo.admin
    name = "transactionLifetimeLimitSeconds"
    before = admin.command("getParameter", 1, **{name: 1})[name]
    admin.command("setParameter", 1, **{name: LIFETIME})
    yield
    wait_until(lambda: admin.command("setParameter", 1, **{name: before}),
               30, "mongod taking a parameter")


def kill_at_random(stack, flow, rng, counts):
    """
    The statistics daemon at any moment, and nginx's workers while they owe an
    answer.
    """

    while flow.running:
        if flow.stopping.wait(rng.uniform(0.3, 1.5)):
            return
        if rng.random() < 0.5:
            stack.kill("stats")
            flow.stopping.wait(rng.uniform(0, 0.5))
            stack.start("stats")
            counts["stats"] += 1
        else:
            workers = stack.nginx_workers()
            while flow.running and not flow.in_flight:
                time.sleep(0.0002)
            for worker in workers:  # somebody waits for one of them
                stack.kill_nginx_worker(worker)
                counts["nginx"] += 1


def test_mongod_killed_in_the_middle(stack, log, name, seed, check_all):
    """Committed is committed: mongod comes back with all of it."""

    rng = random.Random(seed)
    events = Workload(seed, time.time() - 60, prefix=name,
                      users=5_000).events(10_000)
    killer = Killer(stack)

    with Flow(stack, log, Workload.batches(events), pace=1) as flow:
        for _ in range(3):
            wait_until(killer.open_transactions, 20, "a transaction",
                       interval=0)
            stack.kill("mongod")
            time.sleep(rng.uniform(0, 0.5))
            stack.start("mongod")
            flow.stopping.wait(rng.uniform(0.2, 1))
        assert flow.running, "the events were in before the last kill"
        flow.pace = 0.02
        flow.finish()

    assert flow.retries == 0, "no sender notices that MongoDB is away"
    check_all(120)


def test_kafka_killed_in_the_middle(stack, log, name, seed, check_all):
    """
    One broker has no replica, so only what reached its disk survives a power
    cut; SIGKILL leaves the page cache alone, and nothing may be missing.
    """

    rng = random.Random(seed)
    events = Workload(seed, time.time() - 60, prefix=name,
                      users=5_000).events(10_000)

    with Flow(stack, log, Workload.batches(events), pace=1) as flow:
        for _ in range(2):
            flow.stopping.wait(rng.uniform(0.3, 1))
            stack.kill("kafka")
            stack.start("kafka")
        assert flow.running, "the events were in before the last kill"
        flow.pace = 0.02
        flow.finish()

    check_all(120)


def test_killed_in_the_middle(stack, log, name, seed, check_all,
                              short_transactions):
    rng = random.Random(seed)
    events = Workload(seed, time.time() - 60, prefix=name,
                      users=20_000).events(EVENTS)
    assert EVENTS / 500 < len(events) - len(set(events)) < EVENTS / 100
    counts = {"stats": 0, "nginx": 0}
    outcomes = []
    killer = Killer(stack)

    with Flow(stack, log, Workload.batches(events), pace=0.5) as flow:
        other = threading.Thread(target=kill_at_random, args=(
            stack, flow, rng, counts))
        other.start()
        try:
            while flow.running and len(outcomes) < MOST:
                kill = killer.kill_inside(
                    lambda: flow.running, 40,
                    after=rng.choice([0, 0, 2000, 10_000]))
                if kill is None:
                    break
                stack.start("writer")
                outcomes.append(killer.verdict(kill))
                if outcomes.count(ABORTED) >= INSIDE:
                    flow.pace = 0.02  # the rest of the events
                flow.stopping.wait(rng.uniform(0, 0.5))
        finally:
            if not stack.running("writer"):
                stack.start("writer")
        flow.finish()
        other.join()

    if not stack.running("stats"):
        stack.start("stats")
    print(f"kills: {counts}, of the writer: {outcomes}, "
          f"retries: {flow.retries}")
    assert outcomes.count(ABORTED) >= INSIDE, outcomes
    assert counts["stats"] >= 3 and counts["nginx"] >= 3, counts
    assert flow.retries >= 1, "no request was ever left unanswered"

    sent = {e.raw for e in log.entries()}
    assert set(events) <= sent
    shot = check_all(120)

    # The audit that has just found nothing sees a single event that is lost,
    # stored twice or counted twice in this very data.
    i, first = EVENTS // 2, shot.partials[0]
    damages = {
        "sender": {"ascending": shot.ascending[:i] + shot.ascending[i + 1:]},
        "tiling": {"blocks": shot.blocks + shot.blocks[7:8]},
        "partials": {"partials": [{**first, "count": first["count"] + 1},
                                  *shot.partials[1:]]},
    }
    for check, damage in damages.items():
        assert audit(dataclasses.replace(shot, **damage), {check}), check


@pytest.mark.slow
def test_two_writers_one_killed_and_one_frozen(stack, log, name, seed,
                                               check_all):
    """
    Partitions move between two writers while one is killed and the other is
    stopped past its session: the zombie wakes and must not store anything.
    """

    rng = random.Random(seed)
    events = Workload(seed, time.time() - 60, prefix=name,
                      users=20_000).events(EVENTS)
    stack.start("writer-2")

    try:
        with Flow(stack, log, Workload.batches(events), pace=0.35) as flow:
            while flow.running:
                part = rng.choice(["writer", "writer-2"])
                if rng.random() < 0.5:
                    stack.kill(part)
                    flow.stopping.wait(rng.uniform(0, 2))
                    stack.start(part)
                else:
                    stack.signal(part, signal.SIGSTOP)
                    flow.stopping.wait(rng.uniform(1, 14))
                    stack.signal(part, signal.SIGCONT)
                flow.stopping.wait(rng.uniform(0, 3))
            flow.finish()
        check_all(180)
    finally:
        stack.stop("writer-2")
