"""Late, future and very old events, in both orders, between any bounds."""

import random
import time

import pytest

from harness import values
from harness.answers import await_events, read_events, same_events

DAY = 86_400


def made(name, number, timestamp, event_type="t"):
    return {"event_id": f"e{number:04}", "user_id": f"{name}{number % 3}",
            "event_type": f"{name}{event_type}", "timestamp": timestamp,
            "metadata": {"n": number}}


@pytest.fixture(scope="module")
def sent():
    return {}


@pytest.fixture
def spread(sent, sender, client, name, seed):
    """Events over 56 years, sent in no order and in many flushes."""

    if sent:
        return sent

    now = int(time.time())
    stamps = [0, 0.001, 1, 59.999, 60, 86_399.999, 86_400, 946_684_799.999,
              946_684_800, now - 40 * DAY, now - 35 * DAY, now - 30 * DAY,
              now - DAY, now - 3600, now - 600, now - 10, now - 9.999,
              now - 1, now, now + 0.5, now + 60, now + 3600,
              now + DAY - 60, now - 31_536_000]
    rng = random.Random(seed)
    stamps += [round(rng.uniform(0, now + DAY - 60), 3) for _ in range(100)]
    stamps += [round(now - rng.expovariate(1 / 3600), 3) for _ in range(200)]
    # The same instant many times: ids decide the order.
    stamps += [now - 7777.125] * 20
    events = [made(name, i, t, "ab"[i % 2]) for i, t in enumerate(stamps)]
    shuffled = events[:]
    rng.shuffle(shuffled)
    for i in range(0, len(shuffled), 25):
        assert sender.post(shuffled[i:i + 25]).status_code == 202
        time.sleep(0.02)  # so that not all of them go into one flush

    sent.update(now=now, name=name, stamps=sorted(stamps), events=sorted(
        events, key=lambda e: values.order(values.normal(e))))
    types = [f"{name}{t}" for t in "ab"]
    await_events(client, len(events), event_type=types, limit=1000)
    sent["types"] = types
    return sent


def both_orders(client, want, **params):
    same_events(read_events(client, order="asc", **params), want)
    same_events(read_events(client, order="desc", **params), want[::-1])


def test_all_in_both_orders(spread, client):
    both_orders(client, spread["events"], event_type=spread["types"])


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_small_pages_in_both_orders(spread, client, limit):
    events = spread["events"] if limit > 1 else [
        e for e in spread["events"] if e["user_id"].endswith("1")]
    extra = {"user_id": events[0]["user_id"]} if limit == 1 else {}
    both_orders(client, events, event_type=spread["types"], limit=limit,
                **extra)


def test_by_user_and_type(spread, client):
    for user in {e["user_id"] for e in spread["events"]}:
        mine = [e for e in spread["events"] if e["user_id"] == user]
        both_orders(client, mine, user_id=user)
        both_orders(client, [e for e in mine
                             if e["event_type"] == spread["types"][0]],
                    user_id=user, event_type=spread["types"][0])


def bounds(now):
    return [
        (0, 0.001), (0, 1), (0.001, 60), (0, 86_400), (60, 86_400.001),
        (946_684_799.999, 946_684_800), (946_684_800, 1_000_000_000),
        (now - 40 * DAY, now - 30 * DAY), (now - 10, now - 9.999),
        (now - 9.999, now), (now, now), (now, now + 0.001),
        (now - 7777.125, now - 7777.124), (now, now + 2 * DAY),
        (now + 60, None), (None, 60), (None, now), (now - 3600, None),
        (None, 0), (now + 30 * DAY, None), (12_345, 12_345),
    ]


def test_half_open_bounds(spread, client):
    """[from, to): the first belongs to it, the second does not."""

    for low, high in bounds(spread["now"]):
        want = [e for e in spread["events"]
                if (low is None or e["timestamp"] >= low)
                and (high is None or e["timestamp"] < high)]
        params = {"event_type": spread["types"]}
        if low is not None:
            params["from"] = low
        if high is not None:
            params["to"] = high
        both_orders(client, want, **params)


def test_bounds_drawn_at_random(spread, client, seed):
    rng = random.Random(seed)
    for _ in range(40):
        low, high = sorted(rng.choices(spread["stamps"], k=2))
        both_orders(client, [e for e in spread["events"]
                             if low <= e["timestamp"] < high],
                    event_type=spread["types"], limit=rng.choice([5, 1000]),
                    **{"from": low, "to": high})


TEXTS = [
    ("2000-01-01T00:00:00Z", 946_684_800),
    ("2000-01-01T00:00:00.000Z", 946_684_800),
    ("1999-12-31T23:59:59.999Z", 946_684_799.999),
    ("2000-01-01T01:00:00+01:00", 946_684_800),
    ("2000-01-01T01:00:00%2B01:00", 946_684_800),
    ("1999-12-31T18:30:00-05:30", 946_684_800),
    ("1970-01-01T00:00:00Z", 0),
    ("1970-01-02T00:00:00Z", 86_400),
    ("946684800", 946_684_800),
    ("946684799.999", 946_684_799.999),
]


@pytest.mark.parametrize("text, instant", TEXTS,
                         ids=[text for text, _ in TEXTS])
def test_bounds_as_text(spread, client, text, instant):
    """RFC 3339 too; in a query string + is a space, and reads as +."""

    types = "&".join(f"event_type={t}" for t in spread["types"])
    answer = client.get(f"/events?order=asc&limit=1000&from={text}&{types}"
                        f"&to=2005-01-01T00:00:00Z")
    assert answer.status_code == 200, answer.text
    found = [values.normal(e) for e in values.parse(answer.content)["events"]]
    same_events(found, [e for e in spread["events"]
                        if instant <= e["timestamp"] < 1_104_537_600])


def test_fractions_are_rounded_to_the_millisecond(sender, client, name):
    stamps = {"1700000000.12345": 1_700_000_000_123,
              "1700000000.1236": 1_700_000_000_124,
              "1.7e9": 1_700_000_000_000,
              "1700000000.0000": 1_700_000_000_000,
              "0.0004": 0, "-0": 0, "0.9996": 1000,
              "17000000005e-1": 1_700_000_000_500}
    for i, text in enumerate(stamps):
        raw = (f'{{"event_id":"{i}","user_id":"{name}","event_type":"t",'
               f'"timestamp":{text}}}').encode()
        assert sender.post([raw], "object").status_code == 202, text
    found = await_events(client, len(stamps), user_id=name)
    assert {int(e["event_id"]): e["timestamp"] for e in found} == dict(
        enumerate(stamps.values()))


def test_an_event_just_within_the_future(sender, client, name):
    event = {"event_id": "1", "user_id": name, "event_type": "t",
             "timestamp": int(time.time()) + DAY - 5}
    assert sender.post([event]).status_code == 202
    same_events(await_events(client, 1, user_id=name), [event])
