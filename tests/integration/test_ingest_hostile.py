"""
Requests that no client of good will sends, against the real nginx: each gets
an answer that a client understands or none, nothing but valid events reaches
Kafka, what was answered with 202 is there, and other requests go on.
"""

import concurrent.futures
import contextlib
import gzip
import itertools
import json
import random
import socket
import string
import threading
import time

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from harness.ingest import BUILD, ingest, nginx_alone, since  # noqa: F401
from harness.posting import (JSON, NDJSON, Poster, answer, connection, event,
                             lines, many, request)
from harness.waiting import wait_until

CONNECTIONS = 400
THREADS = 16

# What may be answered: never a 5xx that says the server has failed.
STATUSES = {100, 202, 204, 400, 404, 405, 408, 411, 413, 414, 415, 501, 505}


class Maker:
    """Seeded: the bytes of one connection, in the pieces they are sent in."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.kinds = [getattr(self, name) for name in sorted(dir(self))
                      if name.startswith("make_")]

    def make(self, number):
        kind = self.kinds[number % len(self.kinds)]
        made = kind()
        return kind.__name__, made if isinstance(made, list) else [made]

    def good(self, headers=JSON, extra=b""):
        return request("/events", json.dumps(event()).encode(), headers,
                       extra)

    def head(self, *fields, path="/events", start=None):
        start = start or f"POST {path} HTTP/1.1"
        return "\r\n".join((start, "Host: x", "Content-Type: application/json",
                            *fields, "", "")).encode("latin-1")

    def body(self):
        return json.dumps(event()).encode()

    def make_truncated(self):
        whole = self.good()
        return whole[:self.rng.randrange(1, len(whole))]

    def make_in_pieces(self):
        whole = self.good() + self.good()
        cuts = sorted(self.rng.sample(range(1, len(whole)), 8))
        return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)])]

    def make_wrong_length(self):
        body = self.body()
        length = self.rng.choice([
            len(body) + 1, len(body) - 1, 1, 0, -1, 1 << 40, 1 << 62, 1 << 64,
            "", "x", "+5", "0x10", "5 5", f"{len(body)},{len(body)}", "1e3"])
        return self.head(f"Content-Length: {length}") + body + b"\r\n"

    def make_two_lengths(self):
        body = self.body()
        second = self.rng.choice([
            f"Content-Length: {len(body)}", "Content-Length: 3",
            "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip, chunked", "Transfer-Encoding:chunked ",
            "Transfer-Encoding: \x0bchunked"])
        return self.head(f"Content-Length: {len(body)}", second) + body

    def make_bad_chunks(self):
        body = self.body()
        size = f"{len(body):x}".encode()
        chunks = self.rng.choice([
            b"zz\r\n" + body, size + body, size + b"\n" + body + b"\n0\n\n",
            b"-5\r\n" + body, b"f" * 17 + b"\r\n" + body, b"\r\n" + body,
            size + b"\r\n" + body + b"xx0\r\n\r\n",
            size + b";" + b"e" * 20000 + b"\r\n" + body + b"\r\n0\r\n\r\n",
            size + b"\r\n" + body + b"\r\n", size + b"\r\n" + body[:9],
            b"7fffffffffffffff\r\n" + body, b"0\r\n" + b"T: x\r\n" * 3000,
            b"0\r\n\r\n", size + b"\r\n" + body + b"\r\n0\r\nT: x\r\n\r\n",
            b"1\r\nx\r\n" * 500 + b"0\r\n\r\n"])
        return self.head("Transfer-Encoding: chunked") + chunks

    def make_headers(self):
        n = self.rng.choice([1, 100, 1000, 5000])
        field = self.rng.choice([
            "X-{}: y", "X{}", ": y", "X {}: y", "X-{}: " + "y" * 300,
            "X-{}:", " folded {}", "Content-Type: text/plain",
            "Content-Encoding: gzip", "Prefer: handling=lenient",
            "X-\x00{}: y", "X-{}: \x00", "X-{}: \xff\xfe", "Expect: {}",
            'Prefer: handling="' + "x" * 200])
        body = self.body()
        return self.head(f"Content-Length: {len(body)}",
                         *(field.replace("{}", str(i)) for i in range(n))) \
            + body

    def make_first_line(self):
        body = self.body()
        line = self.rng.choice([
            "POST /events", "POST  /events HTTP/1.1", "POST /events HTTP/1.9",
            "POST /events HTTP/2.0", "POST /events HTTP/11",
            "post /events HTTP/1.1", "\x16\x03\x01\x02\x00\x01", "\r\n\r\n",
            "POST http://x/events HTTP/1.1", "POST /%00 HTTP/1.1",
            "POST /../../events HTTP/1.1", "POST /events#x HTTP/1.1",
            "POST /" + "e" * 40000 + " HTTP/1.1", "POST * HTTP/1.1",
            "POST /%65vents?" + "a&" * 500 + " HTTP/1.1", "CONNECT x:1 "
            "HTTP/1.1", "TRACE /events HTTP/1.1", "PRI * HTTP/2.0", "\x00"])
        return self.head(f"Content-Length: {len(body)}", start=line) + body

    def make_pipelined(self):
        made = [self.good() for _ in range(self.rng.randrange(2, 9))]
        at = self.rng.randrange(len(made))
        made[at] = self.rng.choice([
            self.make_bad_chunks, self.make_wrong_length, self.make_truncated,
            self.make_first_line])()
        return b"".join(made)

    def make_mutated(self):
        whole = bytearray(self.good())
        for _ in range(self.rng.randrange(1, 5)):
            at = self.rng.randrange(len(whole))
            act = self.rng.randrange(4)
            if act == 0:
                whole[at] = self.rng.randrange(256)
            elif act == 1:
                del whole[at:at + self.rng.randrange(1, 9)]
            elif act == 2:
                whole[at:at] = whole[at:at + 30]
            else:
                whole[at:at] = self.rng.randbytes(3)
            if not whole:
                whole = bytearray(b"\r")
        return bytes(whole)

    def make_bad_inflation(self):
        body = bytearray(gzip.compress(lines(many(20))))
        for _ in range(self.rng.randrange(3)):
            body[self.rng.randrange(len(body))] = self.rng.randrange(256)
        cut = self.rng.choice([len(body), len(body) // 2, 1, 0])
        coding = self.rng.choice(["gzip", "deflate", "zstd", "GZIP,gzip"])
        return request("/events", bytes(body[:cut]),
                       NDJSON | {"Content-Encoding": coding})

    def make_noise(self):
        return self.rng.randbytes(self.rng.randrange(1, 3000))

    def make_expect(self):
        body = self.body()
        return [self.head(f"Content-Length: {len(body)}",
                          "Expect: 100-continue"), body[:5], body[5:]]


class Attack:
    """Opens the connections, and keeps what it was answered."""

    def __init__(self, own, maker):
        self.own = own
        self.work = [maker.make(number) for number in range(CONNECTIONS)]
        self.accepted = 0
        self.unread = 0
        self.statuses = {}
        self.lock = threading.Lock()

    def run(self, number):
        name, pieces = self.work[number]
        sent = 0
        with connection(self.own) as (sock, reader):
            sock.settimeout(0.4)
            try:
                for piece in pieces:
                    sock.sendall(piece)
                    sent += piece.count(b'"event_id"')
            except (ConnectionError, TimeoutError):
                pass
            self.read(name, reader, sent)

    def read(self, name, reader, sent):
        """Until it closes, or nothing more comes; each must make sense."""

        got = 0
        with contextlib.suppress(TimeoutError, ConnectionError):
            while start := reader.peek(5):
                if not start.startswith(b"HTTP/"):
                    # HTTP/0.9, which has no headers
                    assert json.loads(reader.read())["status"] == 400, name
                    break
                got += self.check(name, *answer(reader))
        with self.lock:
            self.accepted += got
            # a batch counts with its events
            self.unread += max(sent, 20) - got

    def check(self, name, status, headers, body):
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
        assert status in STATUSES, (name, status, body)
        if status == 202:
            assert "millrace-receipt" in headers
            return json.loads(body)["accepted"]
        if status >= 400:
            assert headers["content-type"] == "application/problem+json", \
                (name, status, body)
            details = json.loads(body)
            assert details["status"] == status and details["detail"]
            assert len(details["detail"]) < 300
        return 0


def test_broken_http(ingest, tmp_path, since, seed):
    with nginx_alone(tmp_path, BUILD, ingest, "millrace_problems on;") as own:
        own.start("nginx")
        own.await_ready()
        attack = Attack(own, Maker(seed))
        good = []
        stop = threading.Event()

        def others():
            poster = Poster(("127.0.0.1", own.ports["nginx"]))
            slowest = 0
            with contextlib.closing(poster):
                while not stop.is_set():
                    batch = many(3)
                    start = time.monotonic()
                    assert poster.post(lines(batch))[0] == 202
                    slowest = max(slowest, time.monotonic() - start)
                    good.extend(e["event_id"] for e in batch)
            return slowest

        with concurrent.futures.ThreadPoolExecutor(THREADS + 1) as pool:
            other = pool.submit(others)
            try:
                for done in [pool.submit(attack.run, n)
                             for n in range(CONNECTIONS)]:
                    done.result()
            finally:
                stop.set()
            assert other.result() < 5
        print(dict(sorted(attack.statuses.items())))
        assert {202, 400} <= set(attack.statuses)
        wait_until(lambda: "\nmillrace_ingest_queue_events 0\n"
                   in httpx.get(own.url + "/metrics").text, 20, "all reports")
        stored = [json.loads(r.value()) for r in ingest.records(since)]
    for one in stored:
        assert {"event_id", "user_id", "event_type", "timestamp"} <= set(one)
    assert set(good) <= {one["event_id"] for one in stored}
    bad = len(stored) - len(good)
    assert attack.accepted <= bad <= attack.accepted + attack.unread


def slowest_other(own, act):
    """How long another POST takes at most while `act` runs, in s."""

    slowest = [0.0]
    done = threading.Event()

    def others():
        with httpx.Client(base_url=own.url, timeout=30) as client:
            while not done.is_set():
                start = time.monotonic()
                assert client.post("/events", headers=JSON,
                                   json=event()).status_code == 202
                slowest[0] = max(slowest[0], time.monotonic() - start)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        other = pool.submit(others)
        try:
            act()
        finally:
            done.set()
        other.result()
    return slowest[0]


@pytest.mark.quiet
@pytest.mark.parametrize("last, code", [("", 202), (',"000":1', 400)])
def test_an_object_of_8000_keys(ingest, since, last, code):
    """Repeated keys are found without comparing each with each."""

    names = itertools.product(string.digits + string.ascii_lowercase, repeat=3)
    keys = {"".join(name): 0 for name in itertools.islice(names, 8000)}
    one = json.dumps(event(metadata=keys), separators=(",", ":"))
    body = b"\n".join([(one[:-2] + last + "}}").encode()] * 100)
    with httpx.Client(base_url=ingest.url, timeout=30) as client:

        def act():
            start = time.monotonic()
            response = client.post("/events", headers=NDJSON, content=body)
            assert response.status_code == code, response.text[:300]
            if code == 400:
                assert "000" in response.json()["errors"][0]["message"]
            if "asan" not in BUILD:
                # comparing all pairs has taken 379 ms an event
                assert time.monotonic() - start < 10

        assert slowest_other(ingest, act) < 2


@pytest.mark.quiet
def test_a_byte_now_and_then(ingest, since):
    """Fifty of them at once take nothing from the others."""

    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connection(ingest)) for _ in range(50)]
        whole = request("/slow", json.dumps(event()).encode())

        def act():
            for sock, _ in slow:
                sock.sendall(whole[:-20])
            for at in range(len(whole) - 20, len(whole) - 12):
                for sock, _ in slow:
                    sock.sendall(whole[at:at + 1])
                time.sleep(0.1)
            for _, reader in slow:
                assert answer(reader)[0] == 408

        assert slowest_other(ingest, act) < 2


@pytest.mark.quiet
@pytest.mark.parametrize("kind, status", [("application/json", b"408"),
                                          ("application/xml", b"415")])
def test_http2_bodies_that_drip(ingest, kind, status):
    """Also where they are refused anyhow, their time is bounded."""

    body = json.dumps(event()).encode()
    config = h2.config.H2Configuration(header_encoding=None)
    http2 = h2.connection.H2Connection(config)
    http2.initiate_connection()
    http2.send_headers(1, [
        (":method", "POST"), (":path", "/slow"), (":scheme", "http"),
        (":authority", "x"), ("content-type", kind),
        ("content-length", str(len(body)))])
    start = time.monotonic()
    found = None
    with socket.create_connection(("127.0.0.1", ingest.http2_port)) as sock:
        sock.settimeout(0.2)
        for i in range(len(body) - 1):
            http2.send_data(1, body[i:i + 1])
            sock.sendall(http2.data_to_send())
            with contextlib.suppress(TimeoutError):
                for got in http2.receive_data(sock.recv(65536)):
                    if isinstance(got, h2.events.ResponseReceived):
                        found = dict(got.headers)[b":status"]
            if found or time.monotonic() - start > 5:
                break
    assert found == status
    assert 0.9 < time.monotonic() - start < 3
