"""Cursors: every event once, in order, whatever arrives meanwhile."""

import random

import pytest

from harness import values
from harness.answers import await_events, problem, read_events, same_events
from harness.waiting import wait_until

N = 2500
START = 1_600_000_000


def made(name, i, rng):
    return {"event_id": f"e{i:05}", "user_id": f"{name}{i % 50}",
            "event_type": f"{name}{'xyz'[i % 3]}",
            "timestamp": START + rng.randrange(4000) / 4,
            "metadata": {"i": i}}


@pytest.fixture(scope="module")
def memory():
    return {}


@pytest.fixture
def stored(memory, sender, client, name, seed):
    if not memory:
        rng = random.Random(seed)
        events = [made(name, i, rng) for i in range(N)]
        for i in range(0, N, 250):
            assert sender.post(events[i:i + 250]).status_code == 202
        memory["name"] = name
        memory["types"] = [name + t for t in "xyz"]
        memory["events"] = sorted(
            events, key=lambda e: values.order(values.normal(e)))
        await_events(client, N, event_type=memory["types"])
    return memory


def page(client, **params):
    answer = client.get("/events", params=params)
    assert answer.status_code == 200, answer.text
    return values.parse(answer.content)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [13, 500, 1000])
def test_every_event_once_and_in_order(stored, client, order, limit):
    want = stored["events"][::1 if order == "asc" else -1]
    same_events(read_events(client, event_type=stored["types"], order=order,
                            limit=limit), want)


def test_as_lines_through_nginx(stored, client):
    answer = client.get("/events", headers={"Accept": "application/x-ndjson"},
                        params={"event_type": stored["types"], "limit": 5000})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [values.parse(line) for line in answer.content.splitlines()]
    assert lines.pop() == {"next_cursor": None}
    same_events([values.normal(e) for e in lines], stored["events"][::-1])


def test_the_default_is_the_newest_hundred(stored, client):
    answer = page(client, event_type=stored["types"])
    same_events([values.normal(e) for e in answer["events"]],
                stored["events"][:-101:-1])
    assert isinstance(answer["next_cursor"], str)


def test_some_types_and_one(stored, client):
    for letters in ("x", "xz", "zy"):
        want = [e for e in stored["events"]
                if e["event_type"][-1] in letters]
        same_events(read_events(
            client, order="asc",
            event_type=[stored["name"] + t for t in letters]), want)


def test_one_event_by_its_id(stored, client):
    event = stored["events"][777]
    found = read_events(client, user_id=event["user_id"],
                        event_id=event["event_id"])
    same_events(found, [event])
    assert read_events(client, user_id=event["user_id"],
                       event_id="no-such") == []
    assert read_events(client, user_id=stored["name"] + "nobody") == []


def test_the_link_leads_on(stored, client):
    answer = client.get("/events", params={
        "user_id": stored["name"] + "7", "limit": 20})
    seen = []
    while True:
        seen += answer.json()["events"]
        link = answer.links.get("next")
        if answer.json()["next_cursor"] is None:
            assert link is None
            break
        answer = client.get(answer.url.join(link["url"]))
        assert answer.status_code == 200, answer.text
    same_events([values.normal(e) for e in seen],
                [e for e in stored["events"][::-1]
                 if e["user_id"] == stored["name"] + "7"])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_arrivals_do_not_disturb_a_reader(sender, client, name, seed, order):
    """Events that come in behind and ahead of the reader's place."""

    rng = random.Random(seed)
    events = sorted((made(name, i, rng) | {"event_type": name}
                     for i in range(600)),
                    key=lambda e: values.order(values.normal(e)))
    assert sender.post(events).status_code == 202
    await_events(client, len(events), event_type=name)

    params = {"event_type": name, "order": order, "limit": 90}
    seen, rounds = [], 0
    while True:
        answer = page(client, **params)
        seen += answer["events"]
        if answer["next_cursor"] is None:
            break
        params["cursor"] = answer["next_cursor"]
        late = [made(name + "late", i, rng) | {"event_type": name}
                for i in range(10 * rounds, 10 * rounds + 10)]
        assert sender.post(late).status_code == 202
        rounds += 1
        await_events(client, len(events) + 10 * rounds, event_type=name)

    assert rounds >= 6
    keys = [values.order(values.normal(e)) for e in seen]
    assert keys == sorted(set(keys), reverse=order == "desc")
    same_events([values.normal(e) for e in seen
                 if "late" not in e["user_id"]],
                events if order == "asc" else events[::-1])
    assert len(seen) > len(events)  # those ahead of the reader were seen


def test_cursors_are_sealed(stored, client):
    params = {"event_type": stored["types"][1], "limit": 10}
    cursor = page(client, **params)["next_cursor"]
    assert page(client, **params, cursor=cursor)["events"]

    others = [{"event_type": stored["types"][2]}, {"order": "asc"},
              {"from": START}, {"to": START + 1000},
              {"user_id": stored["name"] + "1"},
              {"event_type": stored["types"][:2]}]
    for other in others:
        problem(client.get("/events", params={**params, **other,
                                              "cursor": cursor}), 400)

    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz012345678"
    for i in range(len(cursor)):
        other = letters[(letters.find(cursor[i]) + 1) % len(letters)]
        altered = cursor[:i] + other + cursor[i + 1:]
        problem(client.get("/events", params={**params, "cursor": altered}),
                400)
    for altered in (cursor[:-1], cursor + "A", cursor[::-1]):
        problem(client.get("/events", params={**params, "cursor": altered}),
                400)


def test_a_cursor_may_change_its_limit(stored, client):
    params = {"event_type": stored["types"], "order": "asc"}
    first = page(client, **params, limit=10)
    rest = page(client, **params, limit=700, cursor=first["next_cursor"])
    same_events([values.normal(e) for e in first["events"] + rest["events"]],
                stored["events"][:710])


def test_the_end_is_said(stored, client):
    """The last page has no cursor, and no page is empty before it."""

    total = len(read_events(client, user_id=stored["name"] + "3"))
    assert total == N // 50
    answer = page(client, user_id=stored["name"] + "3", limit=total)
    if answer["next_cursor"] is not None:
        answer = page(client, user_id=stored["name"] + "3", limit=total,
                      cursor=answer["next_cursor"])
        assert answer == {"events": [], "next_cursor": None}


def test_a_new_event_is_readable_soon(sender, client, name):
    event = {"event_id": "1", "user_id": name, "event_type": "t",
             "timestamp": START}
    assert sender.post([event]).status_code == 202
    wait_until(lambda: read_events(client, user_id=name), 5,
               "the event being readable")
