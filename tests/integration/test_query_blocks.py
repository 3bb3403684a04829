"""What the query daemon makes of blocks that are not as the writer makes them."""

import os

import httpx
import pytest
from bson import Binary

from harness import storage
from harness.pipeline import query_alone
from harness.snapshot import read_pages

BUILD = os.environ.get("MILLRACE_BUILD", "build")
NOW = 1_760_000_000_000


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    with query_alone(tmp_path_factory.mktemp("blocks"), BUILD) as stack:
        yield stack


@pytest.fixture
def client(alone):
    with httpx.Client(base_url=alone.query_url, timeout=30) as client:
        yield client


def sixty():
    return [{"event_id": f"e{i}", "user_id": f"u{i % 20:02}",
             "event_type": "abc"[i % 3], "timestamp": NOW + i * 100,
             "metadata": {"i": i}, "offset": i} for i in range(60)]


def test_the_columns_say_type_and_time(alone, client):
    """Whatever a block of earlier versions says in its events."""

    block = storage.block(sixty(), 1, 0, 0, 0, earlier=True)
    for event in block["events"]:
        event.update(event_type="wrong", timestamp=storage.date(5))
    storage.create(alone.database)
    alone.database.blocks.insert_one(block)

    for limit in 2, 100:
        assert [(e["event_type"], e["timestamp"], e["metadata"]["i"])
                for e in read_pages(client, order="asc", limit=limit)] == [
            (e["event_type"], e["timestamp"] / 1000, e["metadata"]["i"])
            for e in sixty()]


def spoil(block, what):
    columns = {"times": 8, "kinds": 2}
    if what in columns:
        block[what] = Binary(block[what][:-columns[what]])
    elif what == "types":
        block["types"] = block["types"][:1]
    elif what == "type":
        block["types"] = [5] * len(block["types"])
    elif what == "events":
        block["events"] = ["no event"] * block["n"]
    elif what == "fewer":
        block["events"] = block["events"][:1]
    else:
        for event in block["events"]:
            del event[what]


@pytest.mark.parametrize("what", ["times", "kinds", "types", "type", "events",
                                  "fewer", "event_id", "user_id", "offset",
                                  "metadata"])
def test_a_damaged_block_is_said_to_be(alone, client, what):
    """Whether MongoDB picks a row or sends the block whole."""

    storage.create(alone.database)
    block = storage.block(sixty(), 1, 0, 0, 0)
    spoil(block, what)
    alone.database.blocks.insert_one(block)

    for limit in 1, 1000:
        answer = client.get("/events", params={"limit": limit})
        assert answer.status_code == 500, answer.text
        assert "data-model.md" in answer.json()["detail"]
    alone.excuse(lambda line: "data-model.md" in line)


def test_a_missing_index_is_named_in_the_log(alone, client):
    """Until millrace-setup has run, those that need it get 503."""

    storage.create(alone.database)
    alone.database.blocks.insert_one(storage.block(sixty(), 1, 0, 0, 0))
    assert client.get("/events").status_code == 200
    alone.database.blocks.drop_index("span_1_tmax_1_tmin_1")

    assert client.get("/events").status_code == 503
    assert client.get("/events", params={"user_id": "u01"}).status_code == 200
    assert ("an index is missing, which millrace-setup makes"
            in alone.log_text("query"))
    alone.excuse(lambda line: "an index is missing" in line)
