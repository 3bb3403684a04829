"""
POST while the broker is away or slow, while clients leave, and while nginx is
reloaded, killed or stopped.
"""

import concurrent.futures
import json
import os
import re
import signal
import socket
import threading
import time

import httpx
import pytest

from harness.answers import problem
from harness.ingest import (BUILD, alive, client, fatal, frozen,  # noqa: F401
                            ingest, nginx_alone, since)
from harness.posting import (JSON, NDJSON, answer, connection, event, lines,
                             many, request)
from harness.waiting import wait_until

ACK_TIMEOUT = 3


# The broker, away or slow.


def ready(client, path="/readyz/ingest"):
    return client.get(path).status_code


def recovered(ingest, client):
    """Each worker finds out by itself; a connection is of either."""

    def accepted():
        with connection(ingest) as (sock, reader):
            sock.sendall(request("/events", json.dumps(event()).encode()))
            return answer(reader)[0] == 202

    ingest.await_ready(40)
    wait_until(lambda: all(accepted() for _ in range(8)), 30,
               "only 202 again")
    wait_until(lambda: waiting(ingest) == 0, 20, "all reports")


def waiting(ingest):
    """How many events wait for Kafka in all workers."""

    found = re.search(r"^millrace_ingest_queue_events (\d+)$",
                      httpx.get(ingest.url + "/metrics").text, re.M)
    return int(found[1])


def test_ready(client):
    response = client.get("/readyz/ingest")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert client.head("/readyz/ingest").status_code == 200
    assert client.get("/variable").text == "ok"
    wait_until(lambda: "topic" in problem(
        client.get("/readyz/missing"), 503)["detail"], 20,
        "the missing topic")
    response = client.post("/readyz/ingest")
    problem(response, 405)
    assert response.headers["allow"] == "GET, HEAD"


def test_a_missing_topic_that_is_created_later(ingest, client, tmp_path):
    response = client.post("/missing", headers=JSON, json=event())
    problem(response, 503)
    assert response.headers["retry-after"] == "5"
    name = "later"
    with nginx_alone(tmp_path, BUILD, ingest,
                     f"millrace_topic {name};") as own:
        own.start("nginx")
        with httpx.Client(base_url=own.url, timeout=30) as late:
            wait_until(lambda: late.get("/variable").text
                       == "the topic is missing", 20, "the missing topic")
            response = late.post("/events", headers=JSON, json=event())
            problem(response, 503)
            assert "topic" in response.json()["detail"]
            ingest.create_topics(name)
            wait_until(lambda: late.post("/events", headers=JSON,
                                         json=event()).status_code == 202,
                       20, "a 202 from the new topic")


def test_no_acknowledgement_in_time(ingest, client):
    with frozen(ingest):
        start = time.monotonic()
        response = client.post("/events", headers=JSON, json=event())
        took = time.monotonic() - start
    problem(response, 503)
    assert response.headers["retry-after"] == "5"
    assert ACK_TIMEOUT - 0.5 < took < ACK_TIMEOUT + 2
    recovered(ingest, client)


def test_who_only_asks_keeps_nothing_waiting(ingest, client, tmp_path):
    """A location for readiness alone, with a timeout that is nobody's."""

    with nginx_alone(tmp_path, BUILD, ingest, single=True) as own:
        own.nginx_template = own.nginx_template.replace(
            "millrace_ready;", "millrace_ready; millrace_ack_timeout 60s;", 1)
        own.start("nginx")
        own.await_ready()
        with frozen(ingest):
            problem(httpx.post(own.url + "/events", headers=JSON, json=event(),
                               timeout=30), 503)
            wait_until(lambda: waiting(own) == 0, 3, "an empty queue")
    recovered(ingest, client)


def test_a_late_acknowledgement_is_waited_for(ingest, client, since):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with frozen(ingest):
            pending = pool.submit(client.post, "/events", headers=JSON,
                                  json=event())
            wait_until(lambda: waiting(ingest) == 1, ACK_TIMEOUT,
                       "the request")
            time.sleep(0.5)
            assert not pending.done()
        assert pending.result().status_code == 202
    assert len(ingest.records(since)) == 1


def test_the_broker_stopped_and_started(ingest, client):
    ingest.stop("kafka")
    start = time.monotonic()
    problem(client.post("/events", headers=JSON, json=event()), 503)
    assert time.monotonic() - start < ACK_TIMEOUT + 2
    wait_until(lambda: ready(client) == 503, 20, "readiness noticing")
    assert client.get("/variable").text != "ok"

    # known to be away: refused at once, body unread
    def at_once():
        begin = time.monotonic()
        response = client.post("/events", headers=JSON, json=event())
        problem(response, 503)
        assert response.headers["retry-after"] == "5"
        return time.monotonic() - begin < 0.2

    wait_until(at_once, 20, "an early refusal")
    ingest.start("kafka")
    recovered(ingest, client)


def test_nginx_is_started_before_the_broker(ingest, tmp_path, since):
    ingest.stop("kafka")
    try:
        with nginx_alone(tmp_path, BUILD, ingest) as own:
            own.start("nginx")
            with httpx.Client(base_url=own.url, timeout=30) as early:
                start = time.monotonic()
                problem(early.post("/events", headers=JSON, json=event()),
                        503)
                assert time.monotonic() - start < ACK_TIMEOUT + 2
                wait_until(lambda: early.get("/variable").text
                           == "no broker answers", 20, "readiness noticing")
            ingest.start("kafka")
            recovered(own, None)
    finally:
        if not ingest.running("kafka"):
            ingest.start("kafka")
        ingest.await_ready(40)
    assert ingest.records(since)


def access_log(ingest, text):
    with open(ingest.path("access.log")) as f:
        return [line for line in f if text in line]


def test_a_client_that_goes_away(ingest, client, since):
    """499 in the log, the events may be there, and nothing else happens."""

    body = json.dumps(event()).encode()
    before = len(access_log(ingest, '" 499 '))
    with frozen(ingest):
        for _ in range(5):
            with connection(ingest) as (sock, _):
                sock.sendall(request("/events", body))
                time.sleep(0.1)
        wait_until(lambda: len(access_log(ingest, '" 499 ')) >= before + 5,
                   5, "five times 499")
    recovered(ingest, client)


def test_an_http2_client_that_goes_away(ingest, client):
    before = len(access_log(ingest, '" 499 '))
    with frozen(ingest):
        with httpx.Client(base_url=ingest.http2_url, http1=False, http2=True,
                          timeout=0.5) as own:
            for _ in range(3):
                with pytest.raises(httpx.ReadTimeout):
                    own.post("/events", headers=JSON, json=event())
        wait_until(lambda: len(access_log(ingest, '" 499 ')) >= before + 3,
                   5, "three times 499")
    recovered(ingest, client)


@pytest.mark.parametrize("path, waits", [("/events", False),
                                         ("/patient", True)])
def test_a_client_that_half_closes(ingest, client, path, waits):
    body = json.dumps(event()).encode()
    with connection(ingest) as (sock, reader):
        with frozen(ingest):
            sock.sendall(request(path, body))
            sock.shutdown(socket.SHUT_WR)
            time.sleep(0.5)
        told = answer(reader)
    assert (told[0] if told else None) == (202 if waits else None)
    recovered(ingest, client)


# Bounded memory.


def test_no_more_than_the_queue_is_taken(ingest, tmp_path):
    more = ("millrace_queue_events 10; millrace_max_batch 10;"
            "millrace_queue_size 64k; millrace_max_event_size 32k;"
            "millrace_queue_wait 0;")
    with nginx_alone(tmp_path, BUILD, ingest, more, single=True) as own, \
            httpx.Client(base_url=own.url, timeout=30) as client, \
            concurrent.futures.ThreadPoolExecutor() as pool:
        own.start("nginx")
        own.await_ready()

        def post(events):
            return client.post("/events", headers=NDJSON,
                               content=lines(events))

        # a batch that never fits, by its bytes; a body that never does
        problem(post(many(10, 8000)), 413)
        problem(client.post("/pieces", headers=NDJSON,
                            content=lines(many(8, 10000))), 413)

        with frozen(ingest):
            start = time.monotonic()
            first = pool.submit(post, many(8))
            time.sleep(0.3)
            response = post(many(3))
            problem(response, 503)
            assert response.headers["retry-after"] == "5"
            second = pool.submit(post, many(2))
            time.sleep(0.3)
            problem(post(many(1)), 503)
            assert time.monotonic() - start < ACK_TIMEOUT - 1
        assert first.result().status_code == 202
        assert second.result().status_code == 202

        # all of it was given back
        for _ in range(20):
            assert post(many(10)).status_code == 202


# The life of the workers.


def workers(ingest):
    master = ingest.pid("nginx")
    with open(f"/proc/{master}/task/{master}/children") as f:
        return [int(pid) for pid in f.read().split()]


def test_reload_with_requests_under_way(ingest, since):
    """No error status; a closed connection is retried; all 202s are there."""

    stop = threading.Event()
    accepted = []

    def post():
        with httpx.Client(base_url=ingest.url, timeout=30) as own:
            while not stop.is_set():
                batch = many(5)
                for attempt in (1, 2):
                    try:
                        response = own.post("/events", headers=NDJSON,
                                            content=lines(batch))
                        break
                    except httpx.TransportError:
                        assert attempt == 1
                assert response.status_code == 202, response.text
                accepted.extend(e["event_id"] for e in batch)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        threads = [pool.submit(post) for _ in range(8)]
        for number in range(5):
            wait_until(lambda: len(accepted) > 20 * number, 20, "answers")
            before = set(workers(ingest))
            ingest.signal("nginx", signal.SIGHUP)
            wait_until(lambda: not before & set(workers(ingest)), 20,
                       "the old workers' end")
        stop.set()
        for thread in threads:
            thread.result()

    stored = {json.loads(r.value())["event_id"]
              for r in ingest.records(since)}
    assert len(accepted) > 50
    assert set(accepted) <= stored


def test_reload_waits_for_acknowledgements(ingest, client, since):
    before = set(workers(ingest))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with frozen(ingest):
            pending = pool.submit(client.post, "/events", headers=JSON,
                                  json=event())
            time.sleep(0.3)
            ingest.signal("nginx", signal.SIGHUP)
            time.sleep(1)
            assert not pending.done()
            assert before & set(workers(ingest))
        assert pending.result().status_code == 202
    wait_until(lambda: not before & set(workers(ingest)), 20,
               "the old workers' end")
    assert len(ingest.records(since)) == 1


def test_workers_outlive_a_killed_master(ingest, tmp_path, since, capfd):
    """They go on; a start ends them without an error, and takes over."""

    with nginx_alone(tmp_path, BUILD, ingest) as own:
        own.start("nginx")
        own.await_ready()
        orphans = workers(own)
        master = own.pid("nginx")
        os.kill(master, signal.SIGKILL)
        wait_until(lambda: not own.running("nginx"), 10, "the master's end")
        for _ in range(3):
            assert httpx.post(own.url + "/events", headers=JSON,
                              json=event()).status_code == 202
        with frozen(ingest), concurrent.futures.ThreadPoolExecutor() as pool:
            pending = pool.submit(httpx.post, own.url + "/events",
                                  headers=JSON, json=event(), timeout=30)
            wait_until(lambda: waiting(own) == 1, ACK_TIMEOUT, "the request")
            starting = pool.submit(own.start, "nginx")
            wait_until(lambda: "2 of its processes" in capfd.readouterr().err,
                       10, "the word of it")
            ingest.signal("kafka", signal.SIGCONT)
            assert pending.result().status_code == 202
            starting.result()
        own.await_ready()
        assert not set(orphans) & set(workers(own))
        assert not any(alive(pid) for pid in orphans)
        assert httpx.post(own.url + "/events", headers=JSON,
                          json=event()).status_code == 202
    assert len(ingest.records(since)) == 5


def test_a_killed_worker_is_replaced(ingest, tmp_path):
    with nginx_alone(tmp_path, BUILD, ingest) as own:
        own.start("nginx")
        own.await_ready()
        killed = set(workers(own))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(workers(own)) - killed) == 2, 10,
                   "new workers")
        own.await_ready()
        for _ in range(10):
            assert httpx.post(own.url + "/events", headers=JSON,
                              json=event()).status_code == 202


@pytest.mark.parametrize("how, seconds", [("SIGTERM", 4), ("SIGQUIT", 10)])
def test_the_end_with_acknowledgements_pending(ingest, tmp_path, how,
                                               seconds):
    with nginx_alone(tmp_path, BUILD, ingest) as own:
        own.start("nginx")
        own.await_ready()
        with frozen(ingest), \
                concurrent.futures.ThreadPoolExecutor() as pool:
            pending = [pool.submit(httpx.post, own.url + "/events",
                                   headers=JSON, json=event(), timeout=30)
                       for _ in range(4)]
            wait_until(lambda: waiting(own) == 4, ACK_TIMEOUT,
                       "the requests")
            start = time.monotonic()
            own.signal("nginx", getattr(signal, how))
            wait_until(lambda: not own.running("nginx"), seconds, "the end")
            assert time.monotonic() - start < seconds
            for one in pending:
                if how == "SIGTERM":
                    with pytest.raises(httpx.TransportError):
                        one.result()
                else:
                    problem(one.result(), 503)
    ingest.await_ready(40)


def test_without_a_master_process(ingest, tmp_path):
    with nginx_alone(tmp_path, BUILD, ingest) as own:
        own.nginx_template = "master_process off;" + own.nginx_template
        own.start("nginx")
        own.await_ready()
        response = httpx.post(own.url + "/events", headers=JSON, json=event())
        assert response.status_code == 202
        # nginx itself takes no connection any more after this; it must end
        own.signal("nginx", signal.SIGHUP)
        wait_until(lambda: "reconfiguring" in own.log_text("nginx"), 10,
                   "the reload")
        own.signal("nginx", signal.SIGQUIT)
        assert own.wait_exit("nginx", 10) == 0


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def test_producers_that_never_work_are_not_made_in_a_row(
        ingest, tmp_path, fatal):
    with nginx_alone(tmp_path, BUILD, ingest, single=True) as own:
        own.environment = fatal
        own.start("nginx")
        own.await_ready()
        end = time.monotonic() + 4
        refused = 0
        while time.monotonic() < end:
            problem(httpx.post(own.url + "/events", headers=JSON,
                               json=event(user_id="always-fatal")), 503)
            refused += 1

        # At 0, 1 and 3 s; without a pause it is about every request.
        errors = own.log_text("nginx").count(
            "fatal error of the Kafka producer")
        assert 1 <= errors <= 4 < refused
        wait_until(lambda: httpx.post(
            own.url + "/events", headers=JSON,
            json=event()).status_code == 202, 15, "a 202 once it works again")


def test_a_fatal_error_gets_a_new_producer(ingest, tmp_path, since, fatal):
    """What was under way gets 503 or 202; after that all is as before."""

    with nginx_alone(tmp_path, BUILD, ingest, single=True) as own:
        own.environment = fatal
        own.start("nginx")
        own.await_ready()
        [pid] = workers(own)
        accepted = []
        stop = threading.Event()

        def post():
            with httpx.Client(base_url=own.url, timeout=30) as client:
                while not stop.is_set():
                    batch = many(20)
                    response = client.post("/events", headers=NDJSON,
                                           content=lines(batch))
                    assert response.status_code in (202, 503), response.text
                    if response.status_code == 202:
                        accepted.extend(e["event_id"] for e in batch)

        with concurrent.futures.ThreadPoolExecutor() as pool:
            busy = [pool.submit(post) for _ in range(4)]
            before = threads(pid)
            response = httpx.post(own.url + "/events", headers=JSON,
                                  json=event(user_id="fatal"))
            problem(response, 503)
            wait_until(lambda: httpx.post(
                own.url + "/events", headers=JSON,
                json=event(user_id="fatal")).status_code == 202,
                10, "a 202 from the new producer")
            stop.set()
            for one in busy:
                one.result()

        text = own.log_text("nginx")
        assert text.count("fatal error of the Kafka producer") == 1
        wait_until(lambda: threads(pid) <= before, 20,
                   "the end of the old producer's threads")
        assert workers(own) == [pid]
        stored = {json.loads(r.value())["event_id"]
                  for r in ingest.records(since)}
        assert accepted and set(accepted) <= stored
