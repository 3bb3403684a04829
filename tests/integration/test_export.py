"""GET /events as NDJSON: long answers, as slowly or as fast as they are read."""

import json
import os
import random
import re
import socket
import time

import httpx
import pytest

from harness import storage, values
from harness.answers import problem
from harness.pipeline import query_alone
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
NOW = 1_760_000_000_000
N = 80_000  # several pieces
LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """mongod and the query daemon with N events; nothing else runs."""

    with query_alone(tmp_path_factory.mktemp("export"), BUILD,
                     {"query": {"threads": "1", "exports": "1"}}) as stack:
        storage.create(stack.database)
        yield stack


@pytest.fixture(scope="module")
def events(alone):
    rng = random.Random(42)
    made = [{"event_id": f"{i * 7919 % N:06}", "user_id": f"u{i % 997}",
             "event_type": "abc"[i % 3],
             "timestamp": NOW - rng.randint(0, rng.choice((900, 10**8))),
             "metadata": {"text": "x" * 100}}
            for i in range(N)]
    storage.store(alone.database, rng, made, partitions=2, largest=1000)
    alone.restart("query")
    return sorted(made, key=values.order)


@pytest.fixture
def daemon(alone, events):
    alone.start("mongod", "query")
    yield alone
    deaths = alone.deaths()
    assert not deaths, "\n".join(deaths)


@pytest.fixture
def client(daemon):
    with httpx.Client(base_url=daemon.query_url, timeout=60) as client:
        yield client


def export(client, **params):
    """The ids of the events, and next_cursor."""

    with client.stream("GET", "/events", params=params,
                       headers=LINES) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "application/x-ndjson"
        found = [json.loads(line) for line in answer.iter_lines()]
    assert list(found[-1]) == ["next_cursor"]
    # A short one is no stream: nginx may take it all at once.
    streamed = len(found) > 1001
    assert ("content-length" not in answer.headers) == streamed
    assert ("no" if streamed else None) == answer.headers.get(
        "x-accel-buffering")
    assert all(list(e) == ["event_id", "user_id", "event_type", "timestamp",
                           "metadata"] for e in found[:-1:100])
    return [e["event_id"] for e in found[:-1]], found[-1]["next_cursor"]


def ids(events, order="asc"):
    return [e["event_id"] for e in events][::1 if order == "asc" else -1]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_all_events_in_their_order(client, events, order):
    found, cursor = export(client, order=order, limit=1_000_000)
    assert cursor is None
    assert found == ids(events, order)


def test_filters_and_ranges(client, events):
    start, end = NOW - 60_000_000, NOW - 300
    found, cursor = export(client, limit=1_000_000, event_type=["a", "c"],
                           **{"from": start / 1000, "to": end / 1000})
    want = [e for e in events if e["event_type"] in "ac"
            and start <= e["timestamp"] < end]
    assert len(want) > 20_000
    assert found == ids(want, "desc") and cursor is None
    found, cursor = export(client, limit=1_000_000, user_id="u5", order="asc")
    assert found == ids([e for e in events if e["user_id"] == "u5"])


def test_the_cursor_leads_from_one_form_to_the_other(client, events):
    want = ids(events, "desc")
    found, cursor = export(client, limit=67_000)
    assert found == want[:67_000]
    page = client.get("/events", params={"limit": 500,
                                         "cursor": cursor}).json()
    assert ids(page["events"]) == want[67_000:67_500]
    found, cursor = export(client, limit=1, cursor=page["next_cursor"])
    assert found == [want[67_500]]
    found, cursor = export(client, limit=1_000_000, cursor=cursor)
    assert found == want[67_501:] and cursor is None


def test_the_form_that_is_asked_for(client):
    for accept, kind in (
            (None, "application/json"), ("*/*", "application/json"),
            ("text/html, */*;q=0.1", "application/json"),
            ("application/x-ndjson;q=0.4, application/json;q=0.5",
             "application/json"),
            ("application/x-ndjson;q=0.6, application/json;q=0.5",
             "application/x-ndjson")):
        headers = {} if accept is None else {"Accept": accept}
        answer = client.get("/events?limit=2", headers=headers)
        assert answer.headers["content-type"] == kind
        assert answer.headers["vary"] == "Accept"
    two = httpx.Headers([("Accept", "text/html"),
                         ("Accept", "application/x-ndjson")])
    answer = client.get("/events?limit=2", headers=two)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert len(answer.text.splitlines()) == 3


def test_limits_and_problems(client):
    problem(client.get("/events?limit=1001"), 400)
    for text, where in (("limit=1000001", "limit"), ("limit=0", "limit"),
                        ("cursor=x", "cursor"), ("x=1", None)):
        details = problem(client.get("/events?" + text, headers=LINES), 400)
        assert details.get("parameter") == where
    empty = client.get("/events?event_type=never&limit=5000", headers=LINES)
    assert empty.json() == {"next_cursor": None}
    head = client.head("/events?limit=5000", headers=LINES)
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-type"] == "application/x-ndjson"
    assert len(export(client, limit=5000)[0]) == 5000


@pytest.mark.skipif(BUILD.endswith(("asan", "tsan")),
                    reason="that is not the C library's malloc")
def test_memory_is_given_back_at_the_end(client, daemon):
    """Without another request, by one of the threads that queries have."""

    def memory(what):
        with open(f"/proc/{daemon.pid('query')}/status") as f:
            return int(re.search(rf"{what}:\s+(\d+)", f.read())[1]) * 1024

    daemon.restart("query")
    before = memory("VmRSS")
    assert len(export(client, limit=1_000_000)[0]) == N
    most = memory("VmHWM")
    assert most - before > 20 * 2**20
    # What libmongoc has for its connections stays.
    wait_until(lambda: memory("VmRSS") - before < (most - before) * 0.65, 5,
               "memory to be given back")


def begin(stack, query="limit=1000000"):
    """A client that has sent its request and reads nothing yet."""

    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", stack.ports["query"]))
    sock.sendall(f"GET /events?{query} HTTP/1.1\r\nHost: x\r\n"
                 f"Accept: application/x-ndjson\r\n\r\n".encode())
    assert sock.recv(15) == b"HTTP/1.1 200 OK"
    return sock


def test_a_slow_client_holds_no_thread(client, daemon, events):
    """There is one query thread, and others are answered by it."""

    with begin(daemon) as slow:
        for _ in range(30):
            assert client.get("/events?limit=100").status_code == 200
            assert slow.recv(1000)
        # A second one finds no room, a short one does.
        answer = client.get("/events?limit=1001", headers=LINES)
        assert "exports" in problem(answer, 503)["detail"]
        assert int(answer.headers["retry-after"]) > 0
        assert len(export(client, limit=1000)[0]) == 1000
        # And it is complete, however slow.
        data = bytearray()
        while not data.endswith(b"0\r\n\r\n"):
            data += slow.recv(1 << 20)
        assert data.count(b'{"event_id"') > N - 1000
        assert b'{"next_cursor":null}\n' in data[-60:]


def test_a_client_that_leaves_makes_room(client, daemon):
    for size in (0, 100_000):
        with begin(daemon) as sock:
            while size > 0:
                size -= len(sock.recv(65536))

        def room():
            return client.get("/events?limit=1001", headers=LINES
                              ).status_code == 200

        wait_until(room, 10, "room for another export")


def test_a_stream_that_was_cut_has_no_last_line(client, daemon):
    with begin(daemon) as sock:
        daemon.kill("mongod")
        data = bytearray()
        while piece := sock.recv(1 << 20):
            data += piece
    assert data.count(b'{"event_id"') < N
    assert b"next_cursor" not in data and not data.endswith(b"0\r\n\r\n")
    daemon.start("mongod")
    wait_until(lambda: client.get("/events?limit=1").status_code == 200, 30,
               "events after mongod came back")


@pytest.mark.quiet
@pytest.mark.slow
def test_a_client_that_is_too_slow_is_cut_off(client, daemon, events):
    """It takes a little now and then, and so is never idle."""

    daemon.options["query"]["export_patience"] = "1s"
    daemon.restart("query")
    try:
        with begin(daemon) as sock:
            data, start = bytearray(), time.monotonic()
            while piece := sock.recv(4096):
                data += piece
                # Less than a piece in its time.
                if time.monotonic() - start < 3:
                    time.sleep(0.02)
        assert b"next_cursor" not in data
        assert not data.endswith(b"0\r\n\r\n")
        wait_until(lambda: client.get("/events?limit=1001", headers=LINES
                                      ).status_code == 200, 5,
                   "room for another export")
    finally:
        del daemon.options["query"]["export_patience"]
        daemon.restart("query")


def test_an_end_with_a_client_that_does_not_read(client, daemon):
    with begin(daemon):
        start = time.monotonic()
        assert daemon.stop("query")["millrace-query"] == 0
        assert time.monotonic() - start < 10
