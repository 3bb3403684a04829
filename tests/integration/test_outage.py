"""A part is away: the answer says so in time, and it heals by itself."""

import threading
import time

import httpx
import pytest

from harness.answers import await_events, problem, read_events, same_events
from harness.sender import Sender
from harness.waiting import wait_until

ACK_TIMEOUT = 10


def made(name, i):
    return {"event_id": str(i), "user_id": name, "event_type": "outage",
            "timestamp": 1_700_000_000 + i}


def status(client, path):
    return client.get(path).status_code


def all_ready(client, seconds=30):
    wait_until(lambda: status(client, "/readyz") == 200, seconds, "/readyz")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_broker_stopped_and_started(sender, client, stack, name, how,
                                        check_all):
    before, during, after = (made(name, i) for i in range(3))
    assert sender.post([before]).status_code == 202
    await_events(client, 1, user_id=name)
    getattr(stack, how)("kafka")

    start = time.monotonic()
    response = sender.post([during])
    assert time.monotonic() - start < ACK_TIMEOUT + 3
    problem(response, 503)
    assert response.headers["retry-after"] == "5"

    wait_until(lambda: status(client, "/readyz/ingest") == 503, 30,
               "/readyz/ingest noticing")
    details = problem(client.get("/readyz"), 503)
    assert "ingest" in str(details) or "Kafka" in str(details)
    assert status(client, "/healthz") == 200
    assert status(client, "/readyz/query") == 200
    same_events(read_events(client, user_id=name), [before])

    stack.stop("query")
    details = problem(client.get("/readyz"), 503)
    assert details["ingest"] == details["query"] == "away"
    assert "ingest is away" in details["detail"]
    assert "query is away" in details["detail"]
    stack.start("query")

    stack.start("kafka")
    # the workers of nginx notice it one by one
    sender.deliver([during], seconds=60)
    sender.deliver([after], seconds=60)
    same_events(await_events(client, 3, 60, user_id=name, order="asc"),
                [before, during, after])
    all_ready(client)


def test_many_are_refused_in_time_and_none_is_lost(stack, log, client, name):
    """40 connections in flight while the broker is stopped and comes back."""

    stop = threading.Event()
    slow, failures = [], []

    def run(number):
        with Sender(stack.url, log) as sender:
            i = 0
            while not stop.is_set():
                event = made(f"{name}{number}", i)
                start = time.monotonic()
                try:
                    response = sender.post([event], "object")
                except httpx.TransportError as error:
                    failures.append(repr(error))
                    continue
                if time.monotonic() - start > ACK_TIMEOUT + 5:
                    slow.append(time.monotonic() - start)
                if response.status_code == 202:
                    i += 1
                elif response.status_code != 503:
                    failures.append(response.text)
                else:
                    stop.wait(0.3)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(40)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        stack.stop("kafka")
        stop.wait(3)
        stack.start("kafka")
        stop.wait(3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert not failures and not slow, (failures[:3], slow[:3])
    stack.settle(90)
    acked = {who for who in log.acked() if who[0].startswith(name)}
    assert len(acked) > 40
    for number in range(40):
        user = f"{name}{number}"
        found = {(e["user_id"], e["event_id"])
                 for e in read_events(client, user_id=user)}
        assert {who for who in acked if who[0] == user} <= found


def test_mongod_away(sender, client, stack, name):
    """Events are taken, reading says 503 in time, and nothing is lost."""

    stack.stop("mongod")
    events = [made(name, i) for i in range(5)]
    assert sender.post(events).status_code == 202

    for path in ("/events?user_id=x", "/stats", "/readyz/query"):
        start = time.monotonic()
        problem(client.get(path), 503)
        assert time.monotonic() - start < 15, path
    details = problem(client.get("/readyz"), 503)
    assert "MongoDB" in str(details) or "query" in str(details)
    assert status(client, "/readyz/ingest") == 200
    assert status(client, "/healthz") == 200

    stack.start("mongod")
    same_events(await_events(client, 5, 60, user_id=name, order="asc"),
                events)
    all_ready(client)


def test_query_away(sender, client, stack, name):
    stack.stop("query")
    event = made(name, 1)
    assert sender.post([event]).status_code == 202
    for path in ("/events", "/stats", "/readyz/query", "/readyz"):
        problem(client.get(path), 503)
    details = problem(client.get("/readyz"), 503)
    assert details["ingest"] == "ok" and details["query"] == "away"
    assert "ingest" not in details["detail"]
    assert status(client, "/readyz/ingest") == 200
    assert status(client, "/healthz") == 200
    stack.start("query")
    same_events(await_events(client, 1, user_id=name), [event])
    all_ready(client)


def test_writer_and_stats_away(sender, client, stack, name):
    """Both are behind Kafka: neither sender nor reader notices but by lag."""

    stack.stop("writer", "stats")
    event = made(name, 1)
    assert sender.post([event]).status_code == 202
    assert read_events(client, user_id=name) == []
    assert status(client, "/stats") == 200
    stack.start("writer", "stats")
    same_events(await_events(client, 1, 30, user_id=name), [event])
    stack.settle()


def test_nginx_started_without_a_broker(sender, client, stack, name):
    """It starts, answers 503, and heals when the broker comes."""

    stack.stop("nginx", "kafka")
    stack.start("nginx")
    event = made(name, 1)
    response = sender.post([event])
    problem(response, 503)
    assert response.headers["retry-after"] == "5"
    stack.start("kafka")
    sender.deliver([event], seconds=60)
    same_events(await_events(client, 1, 60, user_id=name), [event])
    all_ready(client)
