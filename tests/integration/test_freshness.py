"""
`as_of` and `lag_seconds` of GET /stats: they say how far the answer is to be
trusted, whichever part is idle or away.
"""

import time

import pytest

from harness.waiting import wait_until


def freshness(client):
    """(as_of, lag_seconds), the latter checked against this clock."""

    answer = client.get("/stats", params={"time_interval": "1d"}).json()
    as_of, lag = answer["as_of"], answer["lag_seconds"]
    assert abs(time.time() - lag - as_of) < 5
    return as_of, lag


def known(client):
    """Not before every partition has been read to its end once."""

    wait_until(lambda: client.get("/stats").json()["as_of"] is not None, 30,
               "as_of")


def standing(client):
    """as_of, once it no longer moves; None while it does."""

    before, _ = freshness(client)
    time.sleep(3)  # what was finished last has been read by then
    as_of, _ = freshness(client)
    return as_of if as_of == before else None


def test_idle(stack, client):
    """Without any event, time goes on and the answer stays fresh."""

    known(client)
    before, _ = freshness(client)
    wait_until(lambda: freshness(client)[0] > before + 2, 20, "as_of moving")
    wait_until(lambda: freshness(client)[1] < 3, 20, "a small lag")


@pytest.mark.parametrize("part", ["writer", "stats"])
def test_a_part_is_away(stack, client, sender, name, part):
    """as_of stands still before what is not counted yet, and says so."""

    known(client)
    stack.settle()
    stack.stop(part)
    try:
        stood = wait_until(lambda: standing(client), 20, "as_of standing")
        sent = time.time()
        assert sender.post([{
            "event_id": name, "user_id": name, "event_type": name,
            "timestamp": int(sent)}]).status_code == 202
        wait_until(lambda: freshness(client)[1] > 3, 20, "a lag that grows")
        as_of, _ = freshness(client)
        assert as_of == stood < sent
        answer = client.get("/stats", params={
            "event_type": name, "time_interval": "1d"}).json()
        assert answer["total"]["count"] == 0
    finally:
        stack.start(part)
    wait_until(lambda: freshness(client)[0] > sent, 30, "as_of passing it")
    answer = client.get("/stats", params={
        "event_type": name, "time_interval": "1d"}).json()
    assert answer["total"]["count"] == 1
