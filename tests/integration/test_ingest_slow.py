"""
POST to a Kafka that is too slow for what comes: the queue may not become so
long that events are acknowledged only after their senders got a 503.
"""

import contextlib
import multiprocessing
import os
import re
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from harness.ingest import BUILD, ingest, nginx_alone  # noqa: F401
from harness.posting import Poster, lines, many
from harness.waiting import wait_until

pytestmark = pytest.mark.quiet

# Of these, an eighth waits 0.6 s for a broker that takes RATE events a second
# (three times that where most of it is for one partition), and all wait 5 s,
# of which three are given.
QUEUE = 10000
RATE = 2000
MORE = (f"millrace_queue_events {QUEUE}; millrace_queue_wait 0;"
        "millrace_kafka compression.type none;"
        "millrace_kafka batch.num.messages 50;"
        "millrace_kafka max.in.flight 1;")
SENDERS = 300
SLOT = 0.1  # s


def brake(pid, logs, size):
    """
    Lets the broker write RATE events a second of `size` bytes each, or some
    more, whatever the machine is capable of: once it has written what a slot
    of time may bring, it has to wait for the next one.
    """

    def written():
        return sum(log.stat().st_size for log in logs.glob("events-*/*.log"))

    parent = os.getppid()
    slot = time.monotonic()
    while os.getppid() == parent:
        allowed = written() + RATE * SLOT * size
        os.kill(pid, signal.SIGCONT)
        while written() < allowed and os.getppid() == parent:
            time.sleep(0.002)
        os.kill(pid, signal.SIGSTOP)
        now = time.monotonic()
        slot = max(slot + SLOT, now)
        time.sleep(slot - now)


@contextlib.contextmanager
def braked(ingest, size):
    """A process of its own: the senders leave this one no time for it."""

    logs = Path(ingest.directory, "data/kafka")
    process = multiprocessing.get_context("fork").Process(
        target=brake, args=[ingest.pid("kafka"), logs, size], daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()
        ingest.signal("kafka", signal.SIGCONT)


def requests(own):
    """{reason or outcome: number}"""

    text = httpx.get(own.url + "/metrics", timeout=30).text
    found = re.findall(r'^millrace_ingest_requests_total{outcome="(\w+)"'
                       r'(?:,reason="(\w+)")?} (\d+)$', text, re.M)
    return {reason or outcome: int(n) for outcome, reason, n in found}


def test_a_queue_that_is_too_long(ingest, tmp_path):
    stop = threading.Event()
    batch = lines(many(100))

    def send(own):
        address = "127.0.0.1", own.ports["nginx"]
        with contextlib.closing(Poster(address)) as poster:
            while not stop.is_set():
                if poster.post(batch)[0] == 503:
                    stop.wait(0.05)

    with nginx_alone(tmp_path, BUILD, ingest, MORE, single=True) as own:
        own.start("nginx")
        own.await_ready()
        senders = [threading.Thread(target=send, args=[own], daemon=True)
                   for _ in range(SENDERS)]
        with braked(ingest, len(batch) / 100):
            for sender in senders:
                sender.start()
            wait_until(lambda: requests(own)["queue_full"] > 100, 20,
                       "a full queue")
            time.sleep(4)  # what came before that was seen is answered
            before = requests(own)
            time.sleep(6)
            after = requests(own)
            stop.set()
            for sender in senders:
                sender.join()
        changed = {key: n - before.get(key, 0) for key, n in after.items()}
        print(changed)
        assert changed["queue_full"] > 0
        assert changed["accepted"] > 6 * RATE / 100 / 2
        assert changed["not_acknowledged"] <= changed["accepted"] / 10
    ingest.await_ready(40)
