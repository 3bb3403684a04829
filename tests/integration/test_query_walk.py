"""A user's walk over many blocks, a batch after the other."""

import os

import httpx
import pytest

from harness import storage
from harness.pipeline import query_alone
from harness.snapshot import read_pages

BUILD = os.environ.get("MILLRACE_BUILD", "build")
NOW = 1_760_000_000_000
BLOCKS = 600


def times(how):
    """A millisecond for each block."""
    return {
        "apart": [NOW + i * 60_000 for i in range(BLOCKS)],
        # More blocks than a batch has.
        "ties": [NOW + i // 37 * 60_000 for i in range(BLOCKS)],
        "the same": [NOW] * BLOCKS,
        # A week without any.
        "two heaps": [NOW + i * 1000 + (i > 450) * 604_800_000
                      for i in range(BLOCKS)],
    }[how]


def events(how):
    """Three a block, in pairs of (block, event).  Each block has the rare
    type, few of them of the user."""
    made = []
    for i, time in enumerate(times(how)):
        for k, user in enumerate(("one", "other", "one")):
            made.append((i, {
                "event_id": f"e{i}.{k}", "user_id": user,
                "event_type": "rare" if k == 1 or (
                    i % 200 == 150 and k == 2) else "usual",
                "timestamp": time + k * 7, "metadata": {"i": 3 * i + k},
                "offset": 3 * i + k}))
    return made


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    with query_alone(tmp_path_factory.mktemp("walk"), BUILD) as stack:
        yield stack


@pytest.fixture(params=["apart", "ties", "the same", "two heaps"])
def stored(alone, request):
    """What is stored, in order."""
    made = events(request.param)
    storage.create(alone.database)
    alone.database.blocks.insert_many([
        storage.block([e for j, e in made[3 * i:3 * i + 3]], 1, 0, 3 * i, 0,
                      earlier=i % 50 == 49) for i in range(BLOCKS)])
    return sorted((e for _, e in made),
                  key=lambda e: (e["timestamp"], e["event_id"]))


@pytest.fixture
def client(alone):
    with httpx.Client(base_url=alone.query_url, timeout=30) as client:
        yield client


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_all_of_it_comes_once_and_in_order(client, stored, order):
    mine = [e["metadata"]["i"] for e in stored if e["user_id"] == "one"]
    rare = [e["metadata"]["i"] for e in stored
            if (e["user_id"], e["event_type"]) == ("one", "rare")]
    if order == "desc":
        mine.reverse()
        rare.reverse()

    for limit in 100, 237, 1000:
        found = [e["metadata"]["i"] for e in read_pages(
            client, user_id="one", order=order, limit=limit)]
        assert found == mine
    assert [e["metadata"]["i"] for e in read_pages(
        client, user_id="one", event_type="rare", order=order)] == rare
    assert len(rare) == 3

    text = client.get("/events", params={
        "user_id": "one", "order": order, "limit": 100_000}, headers={
            "Accept": "application/x-ndjson"}).text
    assert len(text.splitlines()) == len(mine) + 1


def test_no_more_is_read_than_needed(alone, client):
    """A few more: what is left has as many events a block as what came."""

    made = events("apart")
    storage.create(alone.database)
    alone.database.blocks.insert_many([
        storage.block([e for j, e in made[3 * i:3 * i + 3]], 1, 0, 3 * i, 0)
        for i in range(BLOCKS)])

    def examined(**params):
        def count():
            return alone.database.command("serverStatus")["metrics"][
                "queryExecutor"]["scannedObjects"]
        before = count()
        answer = client.get("/events", params={"user_id": "one", **params})
        assert answer.status_code == 200
        assert len(answer.json()["events"]) == params.get("limit", 3)
        return count() - before

    assert examined(limit=20) == 32
    assert 51 <= examined(limit=100) <= 80
    assert 101 <= examined(limit=200) <= 150
    assert examined(event_type="rare") == BLOCKS
