"""
POST while the queue is full: the request waits for room with its body unread
(millrace_queue_wait), and then goes on as if it had come just now.
"""

import asyncio
import concurrent.futures
import contextlib
import json
import re
import select
import signal
import socket
import time

import httpx
import pytest

from harness.answers import problem
from harness.ingest import (BUILD, alive, frozen, ingest,  # noqa: F401
                            nginx_alone, since)
from harness.posting import (JSON, NDJSON, Poster, answer, connection, event,
                             lines, many, request)
from harness.waiting import wait_until

# A batch is at most as much as is kept for what is on its way.
QUEUE = 40
BATCH = 5
MORE = ("millrace_queue_events %d; millrace_max_batch 40;"
        "millrace_queue_wait %s;")


@contextlib.contextmanager
def nginx(ingest, directory, wait, queue=QUEUE, **settings):
    """One worker, with such a queue."""

    with nginx_alone(directory, BUILD, ingest, MORE % (queue, wait),
                     single=True) as own:
        # what fills the queue is to outlast every wait
        template = own.nginx_template.replace("ack_timeout 3s",
                                              "ack_timeout 20s")
        for name, value in settings.items():
            template = re.sub(rf"\b{name} \w+;", f"{name} {value};", template)
        own.nginx_template = template
        own.start("nginx")
        own.await_ready()
        yield own


def value(own, name):
    [found] = re.findall(rf"^millrace_ingest_{re.escape(name)} (\d+)$",
                         httpx.get(own.url + "/metrics").text, re.M)
    return int(found)


def refused(own):
    return value(own, 'requests_total{outcome="unavailable",'
                      'reason="queue_full"}')


@contextlib.contextmanager
def full(ingest, own):
    """The broker is frozen within, and the queue full; all is well after."""

    with connection(own) as (sock, reader):
        with frozen(ingest):
            sock.sendall(request("/events", lines(many(QUEUE)), NDJSON))
            wait_until(lambda: value(own, "queue_events") == QUEUE, 5,
                       "a full queue")
            yield
        assert answer(reader)[0] == 202
    wait_until(lambda: value(own, "queue_events") == 0, 20, "all reports")
    assert httpx.post(own.url + "/events", headers=JSON,
                      json=event()).status_code == 202


def silent(sock, seconds=0.3):
    return not select.select([sock], [], [], seconds)[0]


def is_refusal(told):
    status, headers, body = told
    assert status == 503
    assert headers["retry-after"] == "5"
    assert headers["content-type"] == "application/problem+json"
    return json.loads(body)["status"] == 503


def workers(own):
    master = own.pid("nginx")
    with open(f"/proc/{master}/task/{master}/children") as f:
        return [int(pid) for pid in f.read().split()]


def test_there_is_room_in_time(ingest, tmp_path):
    """Each goes on as if it had come then, whatever it is like."""

    body = json.dumps(event(metadata={"pad": "x" * 60000})).encode()
    with nginx(ingest, tmp_path, "10s") as own, \
            contextlib.ExitStack() as stack:
        held = [stack.enter_context(connection(own)) for _ in range(8)]
        with full(ingest, own):
            for sock, _ in held:
                sock.sendall(request("/events", lines(many(BATCH)), NDJSON))
                assert silent(sock, 0.05)
            # a body that comes in pieces, one that is asked for, one in a
            # file, one that is empty
            pieces, piece_reader = stack.enter_context(connection(own))
            pieces.sendall(request("/events", body)[:-40000])
            asked, asked_reader = stack.enter_context(connection(own))
            asked.sendall(request("/events", b"12", JSON,
                                  b"Expect: 100-continue\r\n")[:-2])
            file, file_reader = stack.enter_context(connection(own))
            file.sendall(request("/file", lines(many(2, 100)), NDJSON))
            empty, empty_reader = stack.enter_context(connection(own))
            empty.sendall(request("/events", b""))
            for sock in (pieces, asked, file, empty):
                assert silent(sock, 0.05)
        assert [answer(reader)[0] for _, reader in held] == [202] * 8
        pieces.sendall(body[-40000:])
        assert answer(piece_reader)[0] == 202
        assert asked_reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert asked_reader.readline() == b"\r\n"
        asked.sendall(b"12")
        assert answer(asked_reader)[0] == 400
        assert answer(file_reader)[0] == 202
        assert answer(empty_reader)[0] == 400
        assert refused(own) == 0
        # the connections go on
        for sock, reader in held:
            sock.sendall(request("/events", json.dumps(event()).encode()))
            assert answer(reader)[0] == 202


def test_the_first_comes_first(ingest, tmp_path, since):
    batches = [[event(user_id="same") for _ in range(BATCH)]
               for _ in range(30)]
    with nginx(ingest, tmp_path, "10s") as own, \
            contextlib.ExitStack() as stack:
        held = [stack.enter_context(connection(own)) for _ in batches]
        with full(ingest, own):
            for batch, (sock, _) in zip(batches, held):
                sock.sendall(request("/events", lines(batch), NDJSON))
                assert silent(sock, 0.02)
        assert [answer(reader)[0] for _, reader in held] == [202] * 30
    stored = [json.loads(r.value())["event_id"] for r in ingest.records(since)
              if r.key() == b"same"]
    assert stored == [e["event_id"] for batch in batches for e in batch]


@pytest.mark.quiet
def test_there_is_no_room_in_time(ingest, tmp_path, since):
    """503, and the connection goes on, with what was sent ahead as well."""

    batch = many(3)
    with nginx(ingest, tmp_path, "1s") as own:
        with connection(own) as (sock, reader), \
                connection(own) as (large, large_reader):
            with full(ingest, own):
                start = time.monotonic()
                large.sendall(request("/events", lines(many(2, 40000)),
                                      NDJSON))
                sock.sendall(request("/events", lines(many(3)), NDJSON)
                             + request("/events", lines(many(3)), NDJSON))
                assert is_refusal(answer(reader))
                assert 0.95 < time.monotonic() - start < 3
                assert is_refusal(answer(large_reader))
                assert is_refusal(answer(reader))
                assert 1.95 < time.monotonic() - start < 5
                assert refused(own) == 3
                sock.sendall(request("/events", lines(batch), NDJSON))
                assert silent(sock, 0.1)
            assert answer(reader)[0] == 202
            large.sendall(request("/events", json.dumps(event()).encode()))
            assert answer(large_reader)[0] == 202
    # the queue, the batch, the large one's second, the one at the end
    assert len(ingest.records(since)) == QUEUE + 3 + 1 + 1


@pytest.mark.quiet
def test_nobody_waits(ingest, tmp_path):
    """0: refused at once."""

    with nginx(ingest, tmp_path, "0") as own:
        with full(ingest, own), httpx.Client(base_url=own.url) as client:
            start = time.monotonic()
            for _ in range(5):
                response = client.post("/events", headers=JSON, json=event())
                problem(response, 503)
                assert response.headers["retry-after"] == "5"
            assert time.monotonic() - start < 1


@pytest.mark.quiet
def test_other_faults_are_not_waited_for(ingest, tmp_path):
    with nginx(ingest, tmp_path, "10s") as own:
        wait_until(lambda: "topic" in httpx.get(
            own.url + "/readyz/missing").json()["detail"], 20,
            "the missing topic")
        with full(ingest, own), httpx.Client(base_url=own.url) as client:
            start = time.monotonic()
            problem(client.post("/events", content=b"{}"), 415)
            problem(client.post("/missing", headers=JSON, json=event()), 503)
            assert client.get("/healthz").status_code == 200
            assert time.monotonic() - start < 2


def test_only_so_many_wait(ingest, tmp_path):
    """Half of the connections; the others are refused, and can be served."""

    with nginx(ingest, tmp_path, "20s", worker_connections=100) as own, \
            contextlib.ExitStack() as stack:
        with full(ingest, own):
            held = [stack.enter_context(connection(own)) for _ in range(60)]
            for sock, _ in held:
                sock.sendall(request("/events", json.dumps(event()).encode()))
            wait_until(lambda: refused(own) == 10, 10, "refusals")
            waiting = [reader for sock, reader in held if silent(sock, 0)]
            assert len(waiting) == 50
            assert all(is_refusal(answer(reader)) for _, reader in held
                       if reader not in waiting)
            assert httpx.get(own.url + "/healthz").status_code == 200
        assert [answer(reader)[0] for reader in waiting] == [202] * 50
        assert refused(own) == 10


def test_a_client_that_goes_away(ingest, tmp_path, since):
    """Nothing of it is taken, and it is in the log at once."""

    aborted = 'requests_total{outcome="aborted"}'
    with nginx(ingest, tmp_path, "10s") as own:
        with contextlib.ExitStack() as stack:
            patient, reader = stack.enter_context(connection(own))
            with full(ingest, own):
                for _ in range(5):
                    with connection(own) as (sock, _):
                        sock.sendall(request("/events", lines(many(3)),
                                             NDJSON))
                        assert silent(sock, 0.1)
                with httpx.Client(base_url=own.http2_url, http1=False,
                                  http2=True, timeout=0.3) as client:
                    with pytest.raises(httpx.ReadTimeout):
                        client.post("/events", headers=JSON, json=event())
                wait_until(lambda: value(own, aborted) == 6, 5, "499s")
                # one that only closes its sending side is to be waited for
                patient.sendall(request("/patient", lines(many(3)), NDJSON))
                patient.shutdown(socket.SHUT_WR)
                assert silent(patient)
            assert answer(reader)[0] == 202
        assert value(own, aborted) == 6
        with open(own.path("access.log")) as f:
            assert f.read().count('" 499 ') == 6
    # the queue, the patient one, the one at the end
    assert len(ingest.records(since)) == QUEUE + 3 + 1


@pytest.mark.parametrize("number, events, size", [(5, 1, 0), (2, 2, 40000)])
def test_http2(ingest, tmp_path, number, events, size):
    """
    Streams of one connection, within a stream's first window and beyond it.
    In one thread: those of several may be given the same stream by httpcore.
    """

    def post(client):
        return asyncio.create_task(client.post(
            "/events", headers=NDJSON, content=lines(many(events, size))))

    async def held(own):
        async with httpx.AsyncClient(base_url=own.http2_url, http1=False,
                                     http2=True, timeout=30) as client:
            with full(ingest, own):
                first = [post(client) for _ in range(number)]
                for response in await asyncio.gather(*first):
                    problem(response, 503)
                again = [post(client) for _ in range(number)]
                done, _ = await asyncio.wait(again, timeout=0.2)
                assert [task.result() for task in done] == []
            return [response.status_code
                    for response in await asyncio.gather(*again)]

    with nginx(ingest, tmp_path, "2s") as own:
        assert asyncio.run(held(own)) == [202] * number


@pytest.mark.parametrize("how", ["SIGHUP", "SIGQUIT", "SIGTERM", "timeout"])
def test_the_end_of_the_worker(ingest, tmp_path, how):
    """A graceful one waits as for what is under way; others just end."""

    main = "worker_shutdown_timeout 500ms;" if how == "timeout" else ""
    with nginx_alone(tmp_path, BUILD, ingest, MORE % (QUEUE, "10s"),
                     single=True) as own:
        own.nginx_template = main + own.nginx_template.replace(
            "ack_timeout 3s", "ack_timeout 20s")
        own.start("nginx")
        own.await_ready()
        old = workers(own)
        with contextlib.ExitStack() as stack:
            with frozen(ingest):
                filler, filled = stack.enter_context(connection(own))
                filler.sendall(request("/events", lines(many(QUEUE)), NDJSON))
                wait_until(lambda: value(own, "queue_events") == QUEUE, 5,
                           "a full queue")
                held = [stack.enter_context(connection(own))
                        for _ in range(4)]
                for sock, _ in held:
                    sock.sendall(request("/events", lines(many(5)), NDJSON))
                    assert silent(sock, 0.05)
                start = time.monotonic()
                own.signal("nginx", signal.SIGHUP if how == "timeout"
                           else getattr(signal, how))
                if how in ("SIGTERM", "timeout"):
                    assert [reader.read() for _, reader in held] == [b""] * 4
                    assert time.monotonic() - start < 5
                else:
                    assert all(silent(sock) for sock, _ in held)
            if how in ("SIGHUP", "SIGQUIT"):
                assert answer(filled)[0] == 202
                assert [answer(reader)[0] for _, reader in held] == [202] * 4
        if how in ("SIGHUP", "timeout"):
            wait_until(lambda: not any(alive(pid) for pid in old), 20,
                       "the old worker's end")
            own.await_ready(40)
            assert httpx.post(own.url + "/events", headers=JSON,
                              json=event()).status_code == 202
        else:
            assert own.wait_exit("nginx", 15) == 0
    ingest.await_ready(40)


def test_many_senders_and_a_small_queue(ingest, tmp_path, since):
    """There are 210 events for 100 places: all get their turn in time."""

    accepted = []

    def send(own):
        with contextlib.closing(
                Poster(("127.0.0.1", own.ports["nginx"]))) as poster:
            for _ in range(20):
                batch = many(7)
                assert poster.post(lines(batch))[0] == 202
                accepted.extend(e["event_id"] for e in batch)

    with nginx(ingest, tmp_path, "20s", queue=100) as own, \
            concurrent.futures.ThreadPoolExecutor(30) as pool:
        for one in [pool.submit(send, own) for _ in range(30)]:
            one.result()
        assert value(own, "queue_events") == 0
    stored = [json.loads(r.value())["event_id"] for r in ingest.records(since)]
    assert sorted(stored) == sorted(accepted)
