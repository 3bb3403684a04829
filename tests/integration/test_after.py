"""GET /events?after=RECEIPT: what a POST has written is read by the next GET."""

import concurrent.futures
import os
import signal
import socket
import threading
import time

import httpx
import pytest

from harness.answers import problem, same_events
from harness import values
from harness.pipeline import Pipeline
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
WAIT = 10  # s, at most


def made(name, i=0):
    return {"event_id": f"e{i}", "user_id": f"{name}{i % 7}",
            "event_type": name, "timestamp": 1_700_000_000 + i}


def receipt_of(response):
    assert response.status_code == 202, response.text
    return response.headers["millrace-receipt"]


def waiting(stack):
    """How many wait, by the daemon's own account."""

    text = httpx.get(
        f"http://127.0.0.1:{stack.ports['query_metrics']}/metrics").text
    return next(int(float(line.split()[-1])) for line in text.splitlines()
                if line.startswith("millrace_query_waiting_after "))


def test_what_was_written_is_read_at_once(sender, client, name):
    for i in range(0, 60, 20):
        events = [made(name, k) for k in range(i, i + 20)]
        token = receipt_of(sender.post(events))
        start = time.monotonic()
        answer = client.get("/events", params={
            "event_type": name, "limit": 20, "after": token})
        assert answer.status_code == 200, answer.text
        assert time.monotonic() - start < 5
        same_events([values.normal(e) for e in answer.json()["events"]],
                    events[::-1])
        # What was waited for once is not waited for on the next page.
        link = answer.links.get("next")
        assert (link is None) == (i == 0)
        assert link is None or "after" not in link["url"]


def test_many_wait_at_once(sender, client, stack, name):
    stack.stop("writer")
    token = receipt_of(sender.post([made(name, i) for i in range(100)]))

    def asked():
        return stack.database.command("serverStatus")["opcounters"]["query"]

    def read(_):
        return httpx.get(stack.url + "/events", timeout=30, params={
            "event_type": name, "after": token})

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(read, i) for i in range(40)]
        wait_until(lambda: waiting(stack) == 40, 10, "40 that wait")
        # They cost neither a query thread nor a query each: one that asked
        # for itself every 20 ms would make it 2,000 in a second.
        before, start = asked(), time.monotonic()
        assert client.get("/events", params={
            "event_type": name}).json()["events"] == []
        wait_until(lambda: time.monotonic() - start > 1, 5, "a second")
        assert asked() - before < 400 * (time.monotonic() - start)
        stack.start("writer")
        for answer in answers:
            assert len(answer.result().json()["events"]) == 100
    wait_until(lambda: waiting(stack) == 0, 5, "nobody who waits")


@pytest.mark.quiet
def test_events_that_do_not_come(sender, client, stack, name):
    stack.stop("writer")
    token = receipt_of(sender.post([made(name)]))
    host, port = stack.query_url.removeprefix("http://").split(":")

    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(f"GET /events?after={token} HTTP/1.1\r\nHost: x\r\n\r\n"
                     .encode())
        wait_until(lambda: waiting(stack) == 1, 5, "one that waits")
    wait_until(lambda: waiting(stack) == 0, 2, "the client that left")

    start = time.monotonic()
    answer = client.get("/events", params={"after": token})
    assert WAIT - 1 < time.monotonic() - start < WAIT + 1
    details = problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert details["parameter"] == "after"

    stack.start("writer")
    assert client.get("/events", params={
        "event_type": name, "after": token}).json()["events"]


def test_an_end_with_clients_that_wait(sender, stack, name):
    stack.stop("writer")
    token = receipt_of(sender.post([made(name)]))
    found = []
    thread = threading.Thread(target=lambda: found.append(httpx.get(
        stack.query_url + "/events", timeout=30, params={"after": token})))
    thread.start()
    wait_until(lambda: waiting(stack) == 1, 5, "one that waits")
    assert stack.stop("query")["millrace-query"] == 0
    thread.join()
    problem(found[0], 503)


@pytest.mark.parametrize("token", ["", "x", "AAAA", "!", "é", "A" * 3000])
def test_what_is_no_receipt(client, token):
    assert problem(client.get("/events", params={"after": token}), 400)[
        "parameter"] == "after"


def test_a_receipt_that_was_altered_or_misused(sender, client, name):
    token = receipt_of(sender.post([made(name)]))
    for i in range(len(token)):
        other = "A" if token[i] != "A" else "B"
        altered = token[:i] + other + token[i + 1:]
        assert problem(client.get("/events", params={"after": altered}), 400)[
            "parameter"] == "after"
    for more in ("limit=0", "cursor=x", "order=up", f"after={token}"):
        answer = client.get(f"/events?after={token}&{more}")
        assert problem(answer, 400)["parameter"] == more.split("=")[0]
    assert problem(client.get(f"/stats?after={token}"), 400)


def test_a_receipt_of_another_topic(sender, client, name, tmp_path):
    """A daemon of another topic knows the receipt, but not its events."""

    token = receipt_of(sender.post([made(name)]))
    assert client.get("/events", params={"after": token}).status_code == 200
    other = Pipeline(tmp_path, build=BUILD,
                     options={"kafka": {"topic": "other-events"}})
    try:
        other.start("query")
        start = time.monotonic()
        details = problem(httpx.get(other.query_url + "/events",
                                    params={"after": token}), 400)
        # It has no MongoDB, and need not ask one.
        assert time.monotonic() - start < 2
        assert details["parameter"] == "after"
        assert "topic" in details["detail"]
        assert other.stop("query")["millrace-query"] == 0
        assert not other.problems()
    finally:
        other.close()


@pytest.mark.quiet
def test_a_mongod_that_hangs(sender, client, stack, name):
    """The deadline holds, for all that wait, though no reading returns."""

    stack.stop("writer")
    token = receipt_of(sender.post([made(name)]))
    found = []

    def read():
        start = time.monotonic()
        answer = httpx.get(stack.query_url + "/events", timeout=30,
                           params={"after": token, "event_type": name})
        found.append((time.monotonic() - start, answer))

    threads = [threading.Thread(target=read) for _ in range(3)]
    threads[0].start()
    wait_until(lambda: waiting(stack) == 1, 5, "one that waits")
    stack.signal("mongod", signal.SIGSTOP)
    try:
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join(WAIT + 10)
        assert waiting(stack) == 0
    finally:
        stack.signal("mongod", signal.SIGCONT)
    assert len(found) == 3
    for took, answer in found:
        assert WAIT - 1 < took < WAIT + 1.5
        assert int(answer.headers["retry-after"]) > 0
        problem(answer, 503)

    stack.start("writer")
    read()
    assert [e["event_id"] for e in found[-1][1].json()["events"]] == ["e0"]
