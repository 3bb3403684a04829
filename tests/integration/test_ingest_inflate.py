"""POST with a Content-Encoding: what is taken, and what must do no harm."""

import concurrent.futures
import gzip
import json
import subprocess
import threading
import time
import zlib

import httpx
import pytest

from harness.answers import problem
from harness.ingest import (BUILD, client, ingest, nginx_alone,  # noqa: F401
                            since)
from harness.posting import (JSON, NDJSON, answer, connection, event, lines,
                             many, request, values)


def zstd(body):
    return subprocess.run(["zstd", "-q", "-c"], input=body, check=True,
                          capture_output=True).stdout


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


CODINGS = {"gzip": gzip.compress, "X-GZip": gzip.compress,
           "deflate": zlib.compress, "Deflate": raw_deflate, "zstd": zstd,
           "gzip, identity": gzip.compress,
           "identity": bytes, "": bytes}


def post(client, body, coding="gzip", path="/events", headers=NDJSON):
    return client.post(path, content=body,
                       headers=headers | {"Content-Encoding": coding})


@pytest.mark.some(11)
@pytest.mark.parametrize("path", ["/events", "/pieces", "/file"])
@pytest.mark.parametrize("coding", CODINGS)
def test_codings(ingest, client, since, coding, path):
    events = many(1) + many(300, 500)
    for part in (events[:1], events[1:]):
        response = post(client, CODINGS[coding](lines(part)), coding, path)
        assert response.status_code == 202, response.text
        assert response.json() == {"accepted": len(part)}
    assert values(ingest.records(since)) == sorted(
        json.dumps(e).encode() for e in events)


def test_ways_a_body_comes(ingest, client, since):
    events = many(2000, 600)
    body = gzip.compress(lines(events), 1)
    pieces = (body[i:i + 997] for i in range(0, len(body), 997))
    assert post(client, pieces, path="/pieces").status_code == 202
    with httpx.Client(base_url=ingest.http2_url, http1=False, http2=True,
                      timeout=30) as two:
        assert post(two, body).status_code == 202
        problem(post(two, body[:-20]), 400)
        problem(post(two, body, "br"), 415)
        assert post(two, body).status_code == 202
    with connection(ingest) as (sock, reader):
        small = zlib.compress(json.dumps(event()).encode())
        encoded = JSON | {"Content-Encoding": "deflate"}
        sock.sendall(request("/events", small, encoded) * 3
                     + request("/events", small)
                     + request("/events", small[1:], encoded)
                     + request("/events", small, encoded))
        codes = [answer(reader)[0] for _ in range(6)]
        assert codes == [202, 202, 202, 400, 400, 202]
    assert len(ingest.records(since)) == 3 * 2000 + 4


GOOD = lines(many(50, 100))
PACKED = gzip.compress(GOOD)


@pytest.mark.parametrize("coding, body", [
    ("gzip", b""),
    ("gzip", GOOD),
    ("gzip", PACKED[:1]),
    ("gzip", PACKED[:-1]),
    ("gzip", PACKED + b"x"),
    ("gzip", PACKED[:200] + b"\0\0\0\0" + PACKED[204:]),
    ("gzip", zlib.compress(GOOD)),
    ("deflate", PACKED),
    ("deflate", zlib.compress(GOOD)[:-2]),
    ("deflate", raw_deflate(GOOD)[:-2]),
    ("zstd", PACKED),
    ("zstd", zstd(GOOD)[:-1]),
    ("zstd", zstd(GOOD) + b"x"),
    ("gzip", gzip.compress(b"")),
    ("gzip", gzip.compress(b"nothing of JSON")),
])
def test_a_corrupt_body(ingest, client, since, coding, body):
    for path in ("/events", "/file"):
        details = problem(post(client, body, coding, path), 400)
        assert len(details["detail"]) > 10
    assert ingest.records(since) == []


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip", "zstd2",
                                    "gzip, br", "x" * 500])
def test_an_unknown_coding(ingest, client, since, coding):
    response = post(client, PACKED, coding)
    details = problem(response, 415)
    assert len(details["detail"]) < 250
    assert response.headers["accept-encoding"] == \
        "gzip, deflate, zstd, identity"
    assert ingest.records(since) == []


def test_the_limit(ingest, client, since):
    """What is inflated counts, to the byte; a plain body has another."""

    body = lines(many(20, 200))
    exact = body + b"\n" * (100 * 1024 - len(body))
    for coding in ("gzip", "deflate", "zstd"):
        pack = CODINGS[coding]
        assert post(client, pack(exact), coding,
                    "/inflated").status_code == 202
        details = problem(post(client, pack(exact + b"\n"), coding,
                               "/inflated"), 413)
        assert "millrace_max_inflated_size" in details["detail"]
    assert post(client, exact + b"\n", "identity",
                "/inflated").status_code == 202
    assert len(ingest.records(since)) == 4 * 20


def test_no_more_than_the_queue_is_inflated(ingest, tmp_path):
    with nginx_alone(tmp_path, BUILD, ingest, "millrace_queue_size 8m;",
                     single=True) as own, \
            httpx.Client(base_url=own.url, timeout=30) as client:
        own.start("nginx")
        own.await_ready()
        for coding in ("gzip", "deflate", "zstd"):
            pack = CODINGS[coding]
            details = problem(post(client, pack(b"\n" * 9_000_000), coding),
                              413)
            assert "millrace_queue_size" in details["detail"]
            assert post(client, pack(GOOD), coding).status_code == 202
        # all of it was given back
        assert "\nmillrace_ingest_queue_bytes 0\n" in client.get(
            "/metrics").text


def peak(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f
                    if line.startswith("VmHWM"))


def slowest_other(ingest, act):
    """How long another request takes at most while `act` runs, in s."""

    slowest = [0.0]
    done = threading.Event()

    def others():
        with httpx.Client(base_url=ingest.url, timeout=30) as own:
            while not done.is_set():
                start = time.monotonic()
                assert own.get("/healthz").status_code == 200
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
def test_a_hundred_to_one(ingest, client, since):
    pad = {"pad": "x" * 900}
    body = lines(event(event_id=f"{i:05}", metadata=pad)
                 for i in range(10_000))
    assert len(body) > 10_000_000
    packed = gzip.compress(body, 9)
    assert len(packed) * 50 < len(body)

    def act():
        response = post(client, packed)
        assert response.status_code == 202, response.text
        assert response.json() == {"accepted": 10_000}

    assert slowest_other(ingest, act) < 1
    assert len(ingest.records(since)) == 10_000


@pytest.mark.quiet
def test_a_gigabyte_in_a_megabyte(ingest, tmp_path):
    member = gzip.compress(b"\n" * (64 << 20), 9)
    bombs = {"gzip": member * 16,
             "zstd": zstd(b"\n" * (64 << 20)) * 16,
             "deflate": zlib.compress(b"\n" * (64 << 20), 9)}
    with nginx_alone(tmp_path, BUILD, ingest, single=True) as own, \
            httpx.Client(base_url=own.url, timeout=60) as client:
        own.start("nginx")
        own.await_ready()
        master = own.pid("nginx")
        with open(f"/proc/{master}/task/{master}/children") as f:
            [pid] = f.read().split()
        assert post(client, PACKED).status_code == 202
        before = peak(pid)

        def act():
            for coding, bomb in bombs.items():
                details = problem(post(client, bomb, coding), 413)
                assert "millrace_max_inflated_size" in details["detail"]

        assert slowest_other(own, act) < 1
        assert post(client, PACKED).status_code == 202
        if "asan" not in BUILD:
            # one body of 32 MiB at a time, and a decoder
            assert peak(pid) - before < 32 + 10 + 6
