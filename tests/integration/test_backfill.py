"""GET /events on a back-fill: blocks of the widest class, years of them."""

import os
import random

import httpx
import pytest

from harness import storage, values
from harness.pipeline import query_alone

BUILD = os.environ.get("MILLRACE_BUILD", "build")
DAY = 86_400_000
START = 1_300_000_000_000
SCAN = 12      # blocks that a page may read
SLIDING = 150  # blocks of 40 days, one every 10 days: few at any time
RANDOM = 50    # blocks that lie anywhere in the first years


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    with query_alone(tmp_path_factory.mktemp("backfill"), BUILD,
                     {"query": {"scan_blocks": str(SCAN)}}) as stack:
        storage.create(stack.database)
        yield stack


@pytest.fixture(scope="module")
def blocks(alone):
    rng = random.Random(7)
    made, offset = [], 0
    for i in range(SLIDING + RANDOM):
        if i < SLIDING:
            first, last = START + i * 10 * DAY, START + (i * 10 + 40) * DAY
        else:
            first, last = START, START + 500 * DAY
        times = [first, last] + [rng.randint(first, last) for _ in range(18)]
        made.append(storage.block([{
            "event_id": f"e{offset + k}", "user_id": f"u{rng.randrange(5)}",
            "event_type": rng.choice("abc"), "timestamp": time,
            "metadata": {}, "offset": offset + k,
        } for k, time in enumerate(times)], 1, 0, offset, 0))
        offset += len(times)
    assert {block["span"] for block in made} == {4}
    alone.database.blocks.insert_many(made)
    return made


def blocks_read(stack, client):
    text = client.get(
        f"http://127.0.0.1:{stack.ports['query_metrics']}/metrics").text
    return sum(int(float(line.split()[-1])) for line in text.splitlines()
               if line.startswith("millrace_query_blocks_read_total "))


def pages(stack, **params):
    """Each page's events, and how many blocks it took."""

    with httpx.Client(base_url=stack.query_url, timeout=30) as client:
        while True:
            before = blocks_read(stack, client)
            answer = client.get("/events", params=params)
            assert answer.status_code == 200, answer.text
            body = answer.json()
            yield body["events"], blocks_read(stack, client) - before
            if body["next_cursor"] is None:
                return
            params["cursor"] = body["next_cursor"]


def wanted(blocks, order, **filters):
    events = [e for block in blocks for e in storage.events_of(block)
              if all(e[key] == value for key, value in filters.items())]
    return [e["event_id"] for e in sorted(
        events, key=values.order, reverse=order == "desc")]


@pytest.mark.parametrize("order,filters", [
    ("asc", {}), ("desc", {}),
    ("asc", {"user_id": "u3"}), ("asc", {"event_type": "b"})])
def test_every_event_once_within_the_budget(alone, blocks, order, filters):
    found, most = [], 0
    for events, read in pages(alone, order=order, limit=400, **filters):
        found += [e["event_id"] for e in events]
        place = events[-1]["timestamp"] * 1000 if events else None
        most = max(most, read)
        # Where the blocks lie one behind the other, a page reads what it may,
        # and those that its first event lies within.
        if place is not None and place > START + 600 * DAY:
            assert read <= SCAN + 8
    assert found == wanted(blocks, order, **filters)
    assert SCAN < most < SLIDING
