"""
POST to a Kafka that is too slow for what comes: the queue may not become so
long that events are acknowledged only after their senders got a 503.
"""

import contextlib
import re
import signal
import threading
import time

import httpx

from harness.ingest import BUILD, ingest, nginx_alone  # noqa: F401
from harness.posting import Poster, lines, many
from harness.waiting import wait_until

# An eighth of it is acknowledged in time, the whole is not.
QUEUE = 24000
MORE = (f"millrace_queue_events {QUEUE}; millrace_queue_wait 0;"
        "millrace_kafka batch.num.messages 50;"
        "millrace_kafka max.in.flight 1;")
SENDERS = 20


class Brake(threading.Thread):
    """Lets the broker work for a fifth of the time."""

    def __init__(self, ingest):
        super().__init__(daemon=True)
        self.ingest = ingest
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            self.ingest.signal("kafka", signal.SIGSTOP)
            self.done.wait(0.16)
            self.ingest.signal("kafka", signal.SIGCONT)
            self.done.wait(0.04)

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self.done.set()
        self.join()
        self.ingest.signal("kafka", signal.SIGCONT)


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
                   for _ in range(15 * SENDERS)]
        with Brake(ingest):
            for sender in senders:
                sender.start()
            wait_until(lambda: requests(own)["queue_full"] > 100, 20,
                       "a full queue")
            time.sleep(4)
            before = requests(own)
            time.sleep(6)
            after = requests(own)
            stop.set()
            for sender in senders:
                sender.join()
        changed = {key: n - before.get(key, 0) for key, n in after.items()}
        print(changed)
        assert changed["queue_full"] > 0
        assert changed["accepted"] > 20
        assert changed["not_acknowledged"] <= changed["accepted"] / 10
    ingest.await_ready(40)
