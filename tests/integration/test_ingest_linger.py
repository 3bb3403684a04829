"""
millrace_linger: events of a partition are collected, a lone one is not held,
and what is held is neither lost nor out of order.
"""

import concurrent.futures
import contextlib
import json
import re
import signal
import time

import httpx
import pytest

from harness.answers import problem
from harness.ingest import (BUILD, PARTITIONS, fatal,  # noqa: F401
                            ingest, nginx_alone, since)
from harness.partition import partition_of
from harness.posting import (JSON, NDJSON, connection, event, lines, request)
from harness.waiting import wait_until

pytestmark = pytest.mark.quiet

LINGER = 3


@contextlib.contextmanager
def collecting(ingest, directory, environment=None):
    """One worker that collects for longer than a test's steps take."""

    with nginx_alone(directory, BUILD, ingest, f"millrace_linger {LINGER}s;",
                     single=True) as stack:
        stack.nginx_template = stack.nginx_template.replace(
            "ack_timeout 3s", "ack_timeout 20s")
        stack.environment = environment or stack.environment
        stack.start("nginx")
        stack.await_ready()
        yield stack


@pytest.fixture
def own(ingest, tmp_path):
    with collecting(ingest, tmp_path) as stack:
        yield stack


def post(own, **members):
    return httpx.post(own.url + "/events", headers=JSON,
                      json=event(**members), timeout=30)


def begin(own, user):
    """From here on the next turn of the user's lane is LINGER away."""

    for _ in range(2):
        assert post(own, user_id=user).status_code == 202


def waiting(own):
    found = re.search(r"^millrace_ingest_queue_events (\d+)$",
                      httpx.get(own.url + "/metrics").text, re.M)
    return int(found[1])


def test_a_lone_event_goes_at_once_and_others_wait_their_turn(own):
    start = time.monotonic()
    assert post(own, user_id="u").status_code == 202
    assert time.monotonic() - start < LINGER / 2

    assert post(own, user_id="u").status_code == 202

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: post(own, user_id="u"), range(5)))
    assert [a.status_code for a in answers] == [202] * 5
    assert LINGER * 0.8 < time.monotonic() - start < LINGER + 1


def test_a_batch_over_all_lanes(ingest, own, since):
    """
    All of it, each user's events in their order, though the first part takes
    more than one turn in the event loop to be put into lanes.
    """

    users = [f"user-{n}" for n in range(40)]
    sent = [event(user_id=users[n % 40], metadata={"n": n, "more": "x" * 500})
            for n in range(1000)]
    for part in (sent[:600], sent[600:]):
        response = httpx.post(own.url + "/events", headers=NDJSON,
                              content=lines(part), timeout=30)
        assert response.json() == {"accepted": len(part)}
        assert "millrace-receipt" in response.headers
    records = ingest.records(since)
    assert len(records) == 1000
    for user in users:
        of_user = sorted((r.offset(), json.loads(r.value())["metadata"]["n"])
                         for r in records if r.key() == user.encode())
        numbers = [n for _, n in of_user]
        assert len(numbers) == 25
        assert numbers == sorted(numbers)


def test_a_client_that_does_not_stay_for_its_turn(ingest, own, since):
    """Its event is sent when it leaves, not thrown away."""

    begin(own, "u")
    with connection(own) as (sock, _):
        sock.sendall(request("/events",
                             json.dumps(event(user_id="u")).encode()))
        wait_until(lambda: waiting(own) == 1, 1, "the event in its lane")
    wait_until(lambda: len(ingest.records(since)) == 3, LINGER * 0.6,
               "the event in Kafka")
    assert waiting(own) == 0


def test_a_graceful_end_waits_for_the_turn(ingest, own, since):
    begin(own, "u")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pending = pool.submit(post, own, user_id="u")
        wait_until(lambda: waiting(own) == 1, 1, "the event in its lane")
        own.signal("nginx", signal.SIGQUIT)
        assert pending.result().status_code == 202
    wait_until(lambda: not own.running("nginx"), 10, "the end")
    assert len(ingest.records(since)) == 3


def test_an_end_at_once_forgets_what_was_not_sent(ingest, own, since):
    begin(own, "u")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pending = pool.submit(post, own, user_id="u")
        wait_until(lambda: waiting(own) == 1, 1, "the event in its lane")
        own.signal("nginx", signal.SIGTERM)
        with pytest.raises(httpx.TransportError):
            pending.result()
    wait_until(lambda: not own.running("nginx"), 4, "the end")
    assert len(ingest.records(since)) == 2


@pytest.fixture
def doomed(ingest, tmp_path, fatal):
    """One worker whose producer can have a fatal error."""

    # each of them goes its own way
    assert len({partition_of(user, PARTITIONS)
                for user in ("v", "fatal", "always-fatal")}) == 3
    with collecting(ingest, tmp_path, fatal) as stack:
        yield stack


def test_what_waits_goes_to_a_new_producer(ingest, doomed, since):
    begin(doomed, "v")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pending = pool.submit(post, doomed, user_id="v")
        wait_until(lambda: waiting(doomed) == 1, 1, "the event in its lane")
        problem(post(doomed, user_id="fatal"), 503)
        assert pending.result().status_code == 202
    assert [r.key() for r in ingest.records(since)] == [b"v"] * 3
