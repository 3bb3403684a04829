"""
The life of nginx under load: no request gets an error because of it, and
every event that was answered with 202 is in Kafka, once.
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import threading
import time

import httpx
import pytest

from harness.ingest import BUILD, frozen, ingest, nginx_alone, since  # noqa: F401
from harness.posting import JSON, Poster, connection, event, lines, many, request
from harness.waiting import wait_until

SENDERS = 50


class Load:
    """So many connections that post all the time."""

    def __init__(self, own, senders=SENDERS):
        self.own = own
        self.senders = senders
        self.stop = threading.Event()
        self.accepted = []
        self.statuses = collections.Counter()
        self.again = 0

    def _send(self):
        poster = Poster(("127.0.0.1", self.own.ports["nginx"]))
        with contextlib.closing(poster):
            while not self.stop.is_set():
                batch = many(5)
                status, _, text = poster.post(lines(batch))
                self.statuses[status] += 1
                assert status == 202, text
                self.accepted.extend(e["event_id"] for e in batch)
                time.sleep(0.01)
        self.again += poster.again

    @contextlib.contextmanager
    def running(self):
        with concurrent.futures.ThreadPoolExecutor(self.senders) as pool:
            senders = [pool.submit(self._send) for _ in range(self.senders)]
            try:
                wait_until(lambda: len(self.accepted) > 5 * self.senders, 60,
                           "the load")
                yield
            finally:
                self.stop.set()
            for sender in senders:
                sender.result()

    def check(self, ingest, since):
        stored = collections.Counter(json.loads(r.value())["event_id"]
                                     for r in ingest.records(since))
        assert len(self.accepted) > 1000
        assert set(self.accepted) <= set(stored)
        # what was sent again may be there twice, and nothing else
        twice = sum(n - 1 for n in stored.values())
        assert twice <= 5 * self.again
        print(self.statuses, self.again, "sent again,", twice, "twice")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return {int(child) for child in f.read().split()}


def master(own):
    """Its pid by nginx's own account."""

    with open(own.path("data/nginx/nginx.pid")) as f:
        return int(f.read())


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


@pytest.mark.slow
def test_a_storm_of_reloads(ingest, tmp_path, since):
    """200 connections, a minute, a reload every two seconds."""

    with nginx_alone(tmp_path, BUILD, ingest) as own:
        own.start("nginx")
        own.await_ready()
        load = Load(own, 200)
        with load.running():
            for _ in range(30):
                own.signal("nginx", signal.SIGHUP)
                time.sleep(2)
        wait_until(lambda: len(children(own.pid("nginx"))) == 2, 20,
                   "the old workers' end")
    load.check(ingest, since)


def test_a_binary_upgrade(ingest, tmp_path, since):
    """USR2, then WINCH and QUIT to the old master, as nginx's docs have it."""

    with nginx_alone(tmp_path, BUILD, ingest) as own:
        # nginx hands a new binary those variables alone that it is told to
        own.nginx_template = ("env ASAN_OPTIONS; env LSAN_OPTIONS;"
                              " env UBSAN_OPTIONS;" + own.nginx_template)
        # as a daemon: nginx takes no USR2 while its first parent lives
        own.configure()
        command = own._command("nginx")[0]
        subprocess.run([arg.replace("daemon off", "daemon on")
                        for arg in command], check=True, cwd=own.directory,
                       env=own._environment(), stdin=subprocess.DEVNULL)
        own.await_ready()
        old = master(own)
        workers = children(old)
        load = Load(own)
        with load.running():
            os.kill(old, signal.SIGUSR2)
            new = wait_until(lambda: master(own) != old and master(own), 20,
                             "the new master")
            wait_until(lambda: len(children(new)) == 2, 20, "its workers")
            os.kill(old, signal.SIGWINCH)
            wait_until(lambda: not any(alive(pid) for pid in workers), 20,
                       "the old workers' end")
            os.kill(old, signal.SIGQUIT)
            wait_until(lambda: not alive(old), 20, "the old master's end")
            before = len(load.accepted)
            wait_until(lambda: len(load.accepted) > before + 500, 20,
                       "the new master's share")
        assert master(own) == new
        text = httpx.get(own.url + "/metrics").text
        assert 'requests_total{outcome="accepted"}' in text
        assert "\nmillrace_ingest_workers 2\n" in text
        assert "\nmillrace_ingest_queue_events 0\n" in text
        # nobody's child: the stack would not wait for it
        os.kill(new, signal.SIGQUIT)
        wait_until(lambda: not alive(new), 20, "the new master's end")
    load.check(ingest, since)


def value(own, name):
    text = httpx.get(own.url + "/metrics").text
    [line] = [line for line in text.splitlines()
              if line.startswith(f"millrace_ingest_{name} ")]
    return int(line.split()[1])


def test_worker_shutdown_timeout(ingest, tmp_path):
    """Connections are closed; then workers end, and lose no count."""

    with nginx_alone(tmp_path, BUILD, ingest) as own:
        own.nginx_template = ("worker_shutdown_timeout 500ms;"
                              + own.nginx_template)
        own.start("nginx")
        own.await_ready()
        old = children(own.pid("nginx"))
        with frozen(ingest), contextlib.ExitStack() as stack:
            readers = []
            for _ in range(4):
                sock, reader = stack.enter_context(connection(own))
                sock.sendall(request("/events",
                                     json.dumps(event()).encode()))
                readers.append(reader)
            wait_until(lambda: value(own, "queue_events") == 4, 3,
                       "the requests")
            start = time.monotonic()
            own.signal("nginx", signal.SIGHUP)
            assert [reader.read() for reader in readers] == [b""] * 4
            wait_until(lambda: not old & children(own.pid("nginx")), 10,
                       "the old workers' end")
            assert time.monotonic() - start < 2.9, "not by the ack timeout"
            assert value(own, 'requests_total{outcome="aborted"}') == 4
            assert value(own, "queue_events") == 0
        own.await_ready(40)
        assert httpx.post(own.url + "/events", headers=JSON,
                          json=event()).status_code == 202
    ingest.await_ready(40)


def test_the_end_while_the_broker_is_lost(ingest, tmp_path):
    """Nothing hangs: the requests get 503 and nginx ends."""

    with nginx_alone(tmp_path, BUILD, ingest) as own:
        own.start("nginx")
        own.await_ready()
        with frozen(ingest), \
                concurrent.futures.ThreadPoolExecutor() as pool:
            posters = [Poster(("127.0.0.1", own.ports["nginx"]))
                       for _ in range(4)]
            pending = [pool.submit(poster.post, lines(many(3)))
                       for poster in posters]
            wait_until(lambda: value(own, "queue_events") == 12, 3,
                       "the requests")
            own.signal("nginx", signal.SIGQUIT)
            ingest.kill("kafka")
            for one in pending:
                status, headers, text = one.result()
                assert status == 503
                assert headers["retry-after"] == "5"
                assert json.loads(text)["status"] == 503
            assert own.wait_exit("nginx", 10) == 0
            ingest.start("kafka")
    ingest.await_ready(60)
