"""
Negative controls: programs that lack one safeguard (make fault-NAME).  What
the safeguard prevents must happen to them, and the audits must say exactly
that; else the tests of the promise prove nothing.
"""

import os
import signal
import subprocess

import pytest

from harness.audit import audit
from harness.pipeline import REPO, Pipeline
from harness.sender import Sender, SentLog
from harness.snapshot import take

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
            "kafka": {"session.timeout.ms": "3000",
                      "heartbeat.interval.ms": "500"}, **options})
        self.log = SentLog()
        self.stack.start()

    def events(self, name):
        return [{"event_id": f"{name}-{i}", "user_id": f"user-{i % USERS}",
                 "event_type": "control", "timestamp": 1_764_000_000 + i}
                for i in range(400)]

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
             self.stack.conf, "--settle"], stdout=subprocess.PIPE, text=True,
            timeout=120, check=False)
        return done.returncode, done.stdout


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
    assert it.violations() == []

    it.stack.signal("kafka", signal.SIGSTOP)
    it.send(it.events("b"))  # has its 202
    it.stack.kill("nginx")
    it.stack.signal("kafka", signal.SIGCONT)
    it.stack.start("nginx")

    violations = it.violations()
    assert "sender: and 395 more" in violations
    assert "log: and 395 more" in violations
    assert any("got a 202 and is not in GET /events" in v
               for v in violations)
    assert any("acknowledged 1 times, unanswered 0 times, 0 copies" in v
               for v in violations)
    # What Kafka has never seen, only the sender can miss.
    assert it.product_audit()[0] == 0
