"""
The storing side under everything at once: two writers, the query daemon and
mongod are killed at random while events flow in through nginx, writers are
killed inside transactions and stopped past their sessions.  What was sent
once must be stored once and counted once.

The same ordeal is put to writers without the ledger's guard, and the same
audit must find what they do.
"""

import os
import random
import signal
import time

import pytest

from harness import faults
from harness.audit import audit
from harness.killer import ABORTED, Killer
from harness.sender import SentLog
from harness.snapshot import take
from harness.waiting import wait_until
from harness.workload import Workload
from test_crash import LIFETIME, Flow

from conftest import BUILD

WRITERS = ["writer", "writer-2"]
SESSION = 3      # seconds until a stopped writer's partitions are given away


class Ordeal:

    def __init__(self, stack, log, seed, prefix):
        self.stack, self.log, self.prefix = stack, log, prefix
        self.rng = random.Random(seed)
        self.kills = {}
        self.inside = 0
        self.stopped = 0

    def flow(self, events, pace):
        made = Workload(self.rng.getrandbits(32), time.time() - 60,
                        prefix=self.prefix, users=20_000).events(events)
        return Flow(self.stack, self.log, Workload.batches(made), pace=pace)

    def count(self, what):
        self.kills[what] = self.kills.get(what, 0) + 1

    def pause(self, most):
        time.sleep(self.rng.uniform(0, most))

    def kill_at_random(self):
        part = self.rng.choice(["writer", "writer-2", "query", "mongod"])
        self.pause(1.5)
        self.stack.kill(part)
        self.count(part)
        self.pause(0.5)
        self.stack.start(part)
        if part == "mongod":
            self.short_transactions()

    def kill_inside(self, flow):
        """Both writers, since mongod cannot tell whose transaction it is."""

        killer = Killer(self.stack)
        old = killer.open_transactions().keys()
        wait_until(lambda: not old & killer.open_transactions().keys(), 60,
                   "the end of what earlier kills have left")

        seen, before = {}, killer.aborted_in_total()
        least = self.rng.choice([0, 0, 2000, 10_000])
        pids = [self.stack.pid(part) for part in WRITERS]

        def inside():
            assert flow.running, "the events ran out"
            seen.clear()
            seen.update(killer.open_transactions())
            return any(age >= least for age in seen.values())

        wait_until(inside, 60, "a transaction", interval=0)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for part in WRITERS:
            self.stack.kill(part)  # waits for its end, and notes it
            self.count(part)
        self.inside += killer.verdict((set(seen), before)) == ABORTED
        self.stack.start(*WRITERS)

    def stop_past_the_session(self):
        part = self.rng.choice(WRITERS)
        self.pause(1)
        self.stack.signal(part, signal.SIGSTOP)
        time.sleep(SESSION + self.rng.uniform(1, 3))
        self.stack.signal(part, signal.SIGCONT)
        self.stopped += 1

    def short_transactions(self):
        """What a dead writer left is given up sooner than by default."""

        wait_until(lambda: self.stack.mongo.admin.command(
            "setParameter", 1, transactionLifetimeLimitSeconds=LIFETIME),
            30, "mongod taking a parameter")

    def violations(self, seconds=180):
        for part in WRITERS:
            self.stack.signal(part, signal.SIGCONT)
        self.stack.settle(seconds)
        return audit(take(self.stack, self.log))


@pytest.fixture
def ordeal(tmp_path_factory, seed, name):
    """A function that starts a pipeline of its own with two writers."""

    started = []

    def start(programs=None):
        stack = faults.Faulty(
            tmp_path_factory.mktemp("ordeal"), build=BUILD, options={
                "kafka": {"session.timeout.ms": str(SESSION * 1000),
                          "heartbeat.interval.ms": "500"},
                "stats": {"lease": "2s"}})
        started.append(stack)
        stack.faults = programs or {}
        stack.start()
        stack.start("writer-2")
        one = Ordeal(stack, SentLog(), seed, name)
        one.short_transactions()
        return one

    yield start
    for stack in started:
        stack.close()


KILLS, INSIDE, STOPS = 50, 10, 3


@pytest.mark.slow
def test_fifty_kills_ten_of_them_inside(ordeal):
    one = ordeal()

    # More than will be sent: it ends when all that is to happen has.
    with one.flow(200_000, pace=1) as flow:
        while sum(one.kills.values()) < KILLS or one.inside < INSIDE:
            assert flow.running, (one.kills, one.inside, flow.errors)
            if one.inside < INSIDE and one.rng.random() < 0.4:
                one.kill_inside(flow)
            else:
                one.kill_at_random()
            if one.stopped < STOPS and one.rng.random() < 0.15:
                one.stop_past_the_session()
        while one.stopped < STOPS:
            one.stop_past_the_session()
        flow.stopping.set()
        flow.finish()

    print(f"kills: {one.kills}, {one.inside} inside a transaction, "
          f"{one.stopped} stops")
    violations = one.violations()
    assert not violations, "\n".join(violations)
    assert one.stack.problems() == []


@pytest.mark.slow
def test_without_the_ledgers_guard_it_fails(ordeal):
    """The negative control: an audit that is passed by these means nothing."""

    one = ordeal({"millrace-writer": faults.build("no-ledger-guard",
                                                  "millrace-writer")})

    with one.flow(60_000, pace=0.2) as flow:
        for _ in range(6):
            assert flow.running, flow.errors
            one.stop_past_the_session()
        flow.stopping.set()
        flow.finish()

    violations = one.violations()
    print("\n".join(violations))
    assert any("too many: [" in text and "too many: []" not in text
               for text in violations), violations
    assert any(text.startswith("sender") for text in violations), violations
    assert any(text.startswith("partials") for text in violations), violations
