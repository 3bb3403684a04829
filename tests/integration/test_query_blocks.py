"""What the query daemon makes of blocks that are not as the writer makes them."""

import json
import os
import threading

import httpx
import pytest
from bson import Binary

from harness import storage
from harness.pipeline import query_alone
from harness.snapshot import read_pages

BUILD = os.environ.get("MILLRACE_BUILD", "build")
NOW = 1_760_000_000_000
LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    with query_alone(
            tmp_path_factory.mktemp("blocks"), BUILD,
            mongod_parameters={"enableTestCommands": "true"}) as stack:
        yield stack


@pytest.fixture
def client(alone):
    with httpx.Client(base_url=alone.query_url, timeout=30) as client:
        yield client


def put(alone, *blocks):
    """These alone, and a query daemon that knows of which form they are."""

    before = alone.database.blocks.index_information()
    storage.create(alone.database)
    storage.insert(alone.database, blocks)
    if "users_span_tmax" in {
            *before, *alone.database.blocks.index_information()}:
        alone.restart("query")


def sixty():
    return [{"event_id": f"e{i}", "user_id": f"u{i % 20:02}",
             "event_type": "abc"[i % 3], "timestamp": NOW + i * 100,
             "metadata": {"i": i}, "offset": i} for i in range(60)]


def test_the_columns_say_type_and_time(alone, client):
    """Whatever a block of earlier versions says in its events."""

    block = storage.block(sixty(), 1, 0, 0, 0, storage.LIST)
    for event in block["events"]:
        event.update(event_type="wrong", timestamp=storage.date(5))
    put(alone, block)

    for limit in 2, 100:
        assert [(e["event_type"], e["timestamp"], e["metadata"]["i"])
                for e in read_pages(client, order="asc", limit=limit)] == [
            (e["event_type"], e["timestamp"] / 1000, e["metadata"]["i"])
            for e in sixty()]


IDS = {"an id of no text": Binary(b"x" * 16, 0),
       "half a UUID": Binary(b"x" * 8, 4), "a number for an id": 5,
       "an id too long": "x" * 129}


def spoil(block, what):
    columns = {"times": 8, "kinds": 2, "since": 1}
    listed = "layout" not in block
    if what in columns:
        what = "since" if what == "times" and "since" in block else what
        block[what] = Binary(block[what][:-columns[what]])
    elif what == "fewer kinds":  # as many as divide `since`
        block["kinds"] = Binary(block["kinds"][:80])
    elif what == "no tmin":
        block.pop("times", None)
        block["since"] = Binary(bytes(block["n"]))
        del block["tmin"]
    elif what == "wider times":
        block.pop("times", None)
        block["since"] = Binary(bytes(7 * block["n"]))
    elif what == "types":
        block["types"] = block["types"][:1]
    elif what == "type":
        block["types"] = [5] * len(block["types"])
    elif what == "events":
        block["events"] = ["no event"] * block["n"] if listed else {
            user: dict.fromkeys(mine, "no event")
            for user, mine in block["events"].items()}
    elif what == "fewer":
        block["events"] = block["events"][:1] if listed else dict(
            list(block["events"].items())[:1])
    elif what == "none":
        block["events"] = [] if listed else dict.fromkeys(block["events"], {})
    elif what == "user_id" and not listed:
        block["events"] = {"other-" + user: mine
                           for user, mine in block["events"].items()}
    else:
        for event in block["events"] if listed else [
                e for mine in block["events"].values() for e in mine.values()]:
            if what in IDS:
                event["event_id"] = IDS[what]
            else:
                del event[what]


@pytest.mark.some(13)
@pytest.mark.parametrize("what", ["times", "wider times", "no tmin", "kinds",
                                  "fewer kinds", "types", "type", "events",
                                  "fewer", "none", "event_id", "user_id",
                                  "offset", "metadata", *IDS])
@pytest.mark.parametrize("form", storage.FORMS)
def test_a_damaged_block_is_said_to_be(alone, client, what, form):
    """Whether MongoDB picks a row, sends the block whole, or a user's rows
    with its header."""

    block = storage.block(sixty(), 1, 0, 0, 0, form)
    spoil(block, what)
    put(alone, block)

    for params in {"limit": 1}, {"limit": 1000}, {"user_id": "u19"}:
        answer = client.get("/events", params=params)
        assert answer.status_code == 500, answer.text
        assert "data-model.md" in answer.json()["detail"]
    alone.excuse(lambda line: "data-model.md" in line)


@pytest.mark.parametrize("change", [
    {"u": 5}, {"u": None}, {"user": "u", "u": "u"}])
def test_users_that_are_none(alone, client, change):
    block = storage.block(sixty(), 1, 0, 0, 0)
    block["who"] = [{**change, "t": 1} for _ in block["who"]]
    put(alone, block)

    for limit in 1, 1000:
        answer = client.get("/events", params={"limit": limit})
        assert answer.status_code == 500, answer.text
        assert "its columns do not fit" in answer.json()["detail"]
    alone.excuse(lambda line: "its columns do not fit" in line)


def answers(client, headers=None, **params):
    """
    The events of each answer, up to the last one; with LINES as its lines.
    """

    found, more = [], {}
    while more is not None:
        answer = client.get("/events", params={**params, **more},
                            headers=headers)
        assert answer.status_code == 200, answer.text
        if headers is None:
            body = answer.json()
        else:
            *events, body = map(json.loads, answer.text.splitlines())
            body["events"] = events
        cursor = body["next_cursor"]
        more = {"cursor": cursor} if cursor else None
        found.append(body["events"])
    return found


@pytest.mark.parametrize("params", [
    {"user_id": "u", "event_id": "none"},
    {"user_id": "u", "event_type": "none"},
    {"event_type": [f"other{i}" for i in range(40)]}])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_what_is_not_there_is_looked_for_in_parts(tmp_path, params, order):
    """As `scan_blocks` says, and not by MongoDB until the time is over."""

    options = {"query": {"scan_blocks": "100"}}
    with query_alone(tmp_path, BUILD, options=options) as alone:
        put(alone, *(storage.block(
            [{"event_id": f"e{n}-{i}", "user_id": "u", "event_type": "a",
              "timestamp": NOW + 60_000 * n + i, "metadata": {},
              "offset": 10 * n + i} for i in range(10)], 1, 0, 10 * n, 0)
            for n in range(400)))
        with httpx.Client(base_url=alone.query_url, timeout=30) as client:
            for headers in None, LINES:
                found = answers(client, headers, order=order, **params)
                assert 4 <= len(found) <= 6 and not any(found)


def test_a_stream_that_finds_nothing_ends_with_a_cursor(tmp_path):
    """Nobody waits for a line as long as it takes to look at all blocks."""

    def made(n, event_type):
        return storage.block([
            {"event_id": f"e{n}-{i}", "user_id": "u",
             "event_type": event_type if i == 5 else "a",
             "timestamp": NOW + 60_000 * n + i, "metadata": {},
             "offset": 10 * n + i} for i in range(10)], 1, 0, 10 * n, 0)

    with query_alone(tmp_path, BUILD, options={"query": {"timeout": "1s"}},
                     mongod_parameters={"enableTestCommands": "true"}
                     ) as alone:
        put(alone, *(made(n, "wanted" if n in (5, 2000) else "a")
                     for n in range(2500)))
        slowly = {"failCommands": ["getMore"], "appName": "millrace-query",
                  "blockConnection": True, "blockTimeMS": 200}
        with httpx.Client(base_url=alone.query_url, timeout=30) as client:
            alone.mongo.admin.command(
                "configureFailPoint", "failCommand", mode="alwaysOn",
                data=slowly)
            found = answers(client, LINES, limit=5000, order="asc",
                            user_id="u", event_type="wanted")
            alone.mongo.admin.command(
                "configureFailPoint", "failCommand", mode="off")
    assert [e["event_id"] for some in found for e in some] == [
        "e5-5", "e2000-5"]
    assert 3 <= len(found) <= 10 and not all(found)


def test_an_answer_that_is_no_export_is_one_piece(alone, client):
    """However large its events are: nobody counts it."""

    made = [{"event_id": f"e{i:04}", "user_id": "u", "event_type": "a",
             "timestamp": NOW + i * 1000, "metadata": {"text": "x" * 50_000},
             "offset": i} for i in range(1000)]
    put(alone, *(storage.block(made[i:i + 50], 1, 0, i, 0)
                 for i in range(0, len(made), 50)))

    for params in {}, {"user_id": "u"}:
        found = answers(client, LINES, limit=1000, order="asc", **params)
        assert [e["event_id"] for some in found for e in some] == [
            e["event_id"] for e in made]
        assert len(found) == 2


def test_a_missing_index_is_named_in_the_log(alone, client):
    """Until millrace-setup has run, those that need it get 503."""

    put(alone, storage.block(sixty(), 1, 0, 0, 0))
    queries = {}, {"user_id": "u01"}
    for index, status in ((None, [200, 200]), ("span_tmax_tmin", [503, 200]),
                          ("who_span_tmax", [503, 503])):
        if index is not None:
            alone.database.blocks.drop_index(index)
        assert [client.get("/events", params=params).status_code
                for params in queries] == status

    assert ("an index is missing, which millrace-setup makes"
            in alone.log_text("query"))
    alone.excuse(lambda line: "an index is missing" in line)


ODD = ["a.b", "a%2Eb", "a%2eb", "$a", "$$a.$b", ".", "..", "%", "123", "0",
       "n", "first", "mine", "layout", "_id", "__proto__", "é\u2028.", "a b",
       'a"b', "x" * 256, "." * 256]


@pytest.mark.parametrize("form", storage.FORMS)
def test_users_of_any_name(alone, client, form):
    """What means something in a path of MongoDB's is written otherwise."""

    made = [{"event_id": f"$e.{i}", "user_id": ODD[i % len(ODD)],
             "event_type": "abc"[i % 3], "timestamp": NOW + i * 1000,
             "metadata": {"i": i}, "offset": i} for i in range(10 * len(ODD))]
    put(alone, *(storage.block(made[i::2], 1, 0, 0, i, form)
                 for i in range(2)))

    def found(**params):
        return [e["metadata"]["i"] for e in read_pages(client, **params)]

    for limit in 3, 1000:
        assert found(limit=limit, order="asc") == [*range(len(made))]
    for k, user in enumerate(ODD):
        mine = [*range(k, len(made), len(ODD))]
        assert found(user_id=user, order="asc") == mine
        assert found(user_id=user, limit=2) == mine[::-1]
        assert found(user_id=user, event_id=f"$e.{mine[4]}") == [mine[4]]
        assert found(user_id=user, event_type="a") == [
            i for i in mine[::-1] if i % 3 == 0]


@pytest.mark.slow
def test_a_user_with_many_events_in_a_block(alone, client):
    """All of them come along with the header, wanted or not."""

    made = [{"event_id": f"e{i}", "user_id": "few" if i % 100 == 0 else "many",
             "event_type": "abc"[i % 3], "timestamp": NOW + i * 100,
             "metadata": {"i": i}, "offset": i} for i in range(600)]
    put(alone, storage.block(made, 1, 0, 0, 0))

    for user, mine in (("few", [*range(0, 600, 100)]),
                       ("many", [i for i in range(600) if i % 100])):
        for limit in 1, 7, 1000:
            for order in "asc", "desc":
                assert [e["metadata"]["i"] for e in read_pages(
                    client, user_id=user, limit=limit, order=order)] == (
                        mine if order == "asc" else mine[::-1])
        within = {"from": f"{(NOW + 10_050) / 1000:.3f}",
                  "to": f"{(NOW + 30_001) / 1000:.3f}"}
        assert [e["metadata"]["i"] for e in read_pages(
            client, user_id=user, order="asc", **within)] == [
                i for i in mine if 101 <= i <= 300]


@pytest.mark.some(4)
@pytest.mark.parametrize("form, params", [
    (form, params) for form in storage.FORMS for params in (
        {"limit": 7}, {"limit": 1000}, {"user_id": "u07", "event_type": "a"},
        {"user_id": "u07"}, {"order": "asc", "event_type": "b", "limit": 3})
    # A user's come along with the header, but of a list.
    if form == storage.LIST or "user_id" not in params])
def test_a_block_is_rewritten_meanwhile(alone, client, params, form):
    """Between its header and its rows: nobody is given another's event."""

    made = sixty()
    put(alone, storage.block(made, 1, 0, 0, 0, form))
    left = storage.block([e for e in made if e["user_id"] != "u03"], 1, 0, 0,
                         0, form)
    # What is read now and then has just been.
    assert client.get("/events", params=params).status_code == 200

    # The first find is for the header, and of a user there is one more, for
    # blocks as they are now; what reads rows has to wait.
    alone.mongo.admin.command(
        "configureFailPoint", "failCommand",
        mode={"skip": 1 + ("user_id" in params)},
        data={"failCommands": ["find"], "appName": "millrace-query",
              "blockConnection": True, "blockTimeMS": 1000})
    try:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(
            client.get("/events", params=params)))
        thread.start()
        thread.join(0.5)
        alone.database.blocks.replace_one({"_id": left["_id"]}, left)
        thread.join()
    finally:
        alone.mongo.admin.command(
            "configureFailPoint", "failCommand", mode="off")

    (answer,) = answers
    assert answer.status_code == 200, answer.text
    whose = {e["metadata"]["i"]: e["user_id"] for e in made}
    found = answer.json()["events"]
    assert all(whose[e["metadata"]["i"]] == e["user_id"]
               and params.get("user_id", e["user_id"]) == e["user_id"]
               for e in found)
    assert len({e["metadata"]["i"] for e in found}) == len(found)


def test_many_rows_of_many_blocks(alone, client):
    """A few of each, more than are asked for by one command."""

    made = [{"event_id": f"e{i}", "user_id": f"u{i % 997}",
             "event_type": "rare" if i % 40 == 0 else "usual",
             "timestamp": NOW + i * 10, "metadata": {"i": i}, "offset": i}
            for i in range(100_000)]
    put(alone, *(storage.block(made[i:i + 500], 1, 0, i, 0)
                 for i in range(0, len(made), 500)))

    lines = client.get("/events", params={
        "event_type": "rare", "limit": 2400, "order": "asc"},
        headers=LINES).text.splitlines()
    assert [json.loads(line)["metadata"]["i"] for line in lines[:-1]] == [
        *range(0, 96_000, 40)]
