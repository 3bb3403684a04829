"""
A short seeded mix of faults on the shared pipeline, audited in full.  Longer
ones, with three servers of each kind: `make chaos`.
"""

import os
import random
import sys
import time

from harness.pipeline import REPO
from harness.workload import Workload
from test_crash import Flow

sys.path.insert(0, os.path.join(REPO, "tests", "chaos"))

import faults  # noqa: E402
import verdict  # noqa: E402

EVENTS = 6_000
SECONDS = 25  # in which faults begin

MIX = ["kill_writer", "kill_stats", "kill_query", "kill_nginx",
       "kill_nginx_worker", "terminate", "freeze_writer", "freeze_stats",
       "freeze_nginx_workers", "reload_storm", "no_descriptors"]


class SharedArena:
    """What a fault needs of the pipeline that all tests share."""

    several = clock = network = disks = False
    brokers, mongods = ["kafka"], ["mongod"]

    def __init__(self, stack):
        self.stack = stack

    def start(self, *parts):
        self.stack.start(*(part for part in parts
                           if not self.stack.running(part)))


def test_a_mix_of_faults(stack, log, name, seed, check_all):
    rng = random.Random(seed)
    events = Workload(seed, time.time() - 60, prefix=name,
                      users=5_000).events(EVENTS)
    arena = SharedArena(stack)
    done = []

    with Flow(stack, log, Workload.batches(events), pace=1.5) as flow:
        end = time.monotonic() + SECONDS
        queue = []
        while time.monotonic() < end:
            queue = queue or rng.sample(MIX, len(MIX))
            fault = queue.pop()
            done.append((fault, faults.FAULTS[fault](arena, rng)))
            flow.stopping.wait(rng.uniform(0, 0.5))
        print("faults:", *done, sep="\n  ")
        flow.pace = 0
        flow.finish()

    stack.excuse(verdict.expected)
    assert len(done) >= 3, done
    sent = {e.raw for e in log.entries()}
    assert set(events) <= sent
    check_all(120)
