"""
Negative controls: programs that lack one safeguard (make fault-NAME).  What
the safeguard prevents must happen to them, and the audits must say exactly
that; else the tests of the promise prove nothing.
"""

import collections
import json
import os
import re
import signal
import subprocess

import pytest

from harness import storage
from harness.audit import audit
from harness.killer import Killer
from harness.pipeline import REPO, Pipeline
from harness.sender import Sender, SentLog
from harness.snapshot import take
from harness.waiting import Deadline, wait_until
from test_crash import Flow

pytestmark = pytest.mark.slow

USERS = 40


class Control:
    """A pipeline of which one program lacks a safeguard."""

    def __init__(self, directory, fault, parts, options):
        subprocess.run(["make", "-s", f"fault-{fault}"], cwd=REPO, check=True,
                       timeout=600)
        faulty = os.path.join(REPO, f"build-fault-{fault}")
        sound = os.path.join(REPO, "build")
        mixed = directory / "build"
        mixed.mkdir()
        for name in ("millrace-setup", "millrace-writer", "millrace-stats",
                     "millrace-query", "ngx_http_millrace_module.so"):
            source = faulty if name in parts else sound
            (mixed / name).symlink_to(os.path.join(source, name))
        self.stack = Pipeline(directory / "stack", build=str(mixed), options={
            **options,
            "kafka": {"session.timeout.ms": "3000",
                      "heartbeat.interval.ms": "500",
                      **options.get("kafka", {})}})
        self.log = SentLog()
        self.stack.start()

    def events(self, name, n=400):
        return [{"event_id": f"{name}-{i}", "user_id": f"user-{i % USERS}",
                 "event_type": "control", "timestamp": 1_764_000_000 + i}
                for i in range(n)]

    def send(self, events):
        with Sender(self.stack.url, self.log) as sender:
            sender.deliver(events)

    def violations(self):
        self.stack.settle()
        return audit(take(self.stack, self.log))

    def product_audit(self):
        """Exit status and report of millrace-audit."""
        done = subprocess.run(
            [os.path.join(REPO, "build", "millrace-audit"), "-c",
             self.stack.conf, "--settle", "--json"], stdout=subprocess.PIPE,
            text=True, timeout=120, check=False)
        return done.returncode, json.loads(done.stdout)

    def stored_offsets(self):
        """{offset: how many times it is in the blocks} of partition 0."""
        return collections.Counter(
            event["offset"] for block in self.stack.database.blocks.find()
            for event in storage.rows_of(block))


@pytest.fixture
def control(tmp_path):
    made = []

    def make(fault, parts, **options):
        made.append(Control(tmp_path, fault, parts, options))
        return made[-1]

    yield make
    for it in made:
        it.stack.close()


def checks(violations):
    return {text.partition(":")[0] for text in violations}


def test_without_dedup_a_repeat_is_stored_twice(control):
    it = control("no-dedup", ["millrace-writer"])
    events = it.events("a")
    it.send(events)
    assert it.violations() == []

    it.send(events[:7])
    violations = it.violations()
    twice = [v for v in violations
             if v.startswith("sender:") and "GET /events 2 times" in v]
    assert len(twice) == 5 and "sender: and 2 more" in violations
    assert {"ledger", "tiling", "partials", "stats"} <= checks(violations)
    # Each copy is a record that was stored and counted once.
    assert it.product_audit()[0] == 0


def test_without_the_ack_wait_an_answered_event_is_lost(control):
    it = control("no-ack-wait", ["ngx_http_millrace_module.so"])
    it.send(it.events("a"))
    wait_until(lambda: sum(it.stack.ends().values()) == 400, 30,
               "Kafka having what was answered before it had it")
    assert it.violations() == []

    it.stack.signal("kafka", signal.SIGSTOP)
    it.send(it.events("b"))  # has its 202
    it.stack.kill("nginx")
    it.stack.signal("kafka", signal.SIGCONT)
    it.stack.start("nginx")

    violations = it.violations()
    # The stopped broker's socket may have taken a request already.
    lost = 800 - sum(it.stack.ends().values())
    assert lost > 5
    assert f"sender: and {lost - 5} more" in violations
    assert f"log: and {lost - 5} more" in violations
    assert any("got a 202 and is not in GET /events" in v
               for v in violations)
    assert any("acknowledged 1 times, unanswered 0 times, 0 copies" in v
               for v in violations)
    # What Kafka has never seen, only the sender can miss.
    assert it.product_audit()[0] == 0


def test_without_the_ledger_guard_a_zombie_stores_twice(control):
    """Stopped inside a transaction, and woken when another one has stored."""

    it = control("no-ledger-guard", ["millrace-writer"],
                 kafka={"partitions": "1"})
    stack = it.stack
    killer = Killer(stack)
    stack.mongo.admin.command("setParameter", 1,
                              transactionLifetimeLimitSeconds=3)
    made = it.events("a", 100_000)
    batches = [made[i:i + 50] for i in range(0, len(made), 50)]

    def following():
        return (stack.database.ledger.find_one() or {"next": 0})["next"]

    def stop_inside():
        if not killer.open_transactions():
            return False
        stack.signal("writer", signal.SIGSTOP)
        if killer.open_transactions():
            return True
        stack.signal("writer", signal.SIGCONT)
        return False

    def zombie():
        """What the ledger said when it was stopped; None: it did no harm."""
        wait_until(stop_inside, 60, "a transaction", interval=0)
        stopped = following()
        stack.start("writer-2")
        wait_until(lambda: following() > stopped + 200, 60,
                   lambda: stack.log_text("writer-2")[-2000:])
        stack.signal("writer", signal.SIGCONT)
        try:
            wait_until(lambda: max(it.stored_offsets().values()) > 1, 10,
                       "a second copy")
            return stopped
        except Deadline:
            stack.stop("writer-2")
            return None

    with Flow(stack, it.log, batches, pace=0.5) as flow:
        # It may hear that its partition was taken before it tries again.
        for _ in range(6):
            stopped = zombie()
            if stopped is not None:
                break
        assert flow.running, flow.errors
        flow.stopping.set()
        flow.finish()

    assert stopped is not None, "a zombie never stored anything"
    violations = it.violations()
    offsets = it.stored_offsets()
    twice = sum(offsets.values()) - len(offsets)
    assert min(o for o, n in offsets.items() if n > 1) == stopped
    assert len(offsets) == max(offsets) + 1  # and nothing is lost
    assert {"sender", "ledger", "tiling"} <= checks(violations)

    # The report names exactly these, and by how much the accounts are off.
    status, report = it.product_audit()
    assert status == 1
    findings = report["findings"]
    named = [re.search(r"offset (\d+) is in the blocks twice", f["text"])
             for f in findings]
    named = {int(found[1]) for found in named if found}
    repeated = {o for o, n in offsets.items() if n == 2}
    # A report spells out so many; a writer that is behind makes large flushes.
    assert named <= repeated
    assert named == repeated or len(findings) == 1000
    assert set(offsets.values()) == {1, 2}
    assert sum(f["difference"] for f in findings
               if f["check"] == "accounts") == twice, findings
    assert {f["check"] for f in findings} == {"accounts", "blocks"}
