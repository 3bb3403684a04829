"""GET /stats against Python: counts, measures, widths, ranges."""

import math
import random
import time

import pytest

from harness import values
from harness.waiting import wait_until

MINUTE, HOUR, DAY = 60, 3600, 86_400
WIDTHS = {"1s": 1, "2s": 2, "5s": 5, "10s": 10, "15s": 15, "30s": 30,
          "1m": 60, "2m": 120, "5m": 300, "10m": 600, "15m": 900,
          "30m": 1800, "1h": 3600, "2h": 7200, "3h": 10_800, "4h": 14_400,
          "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400}


def numbers_of(events):
    return [n for n in map(values.measure, events) if n is not None]


def check_point(point, events, seconds=None):
    """One bucket or total against the events that belong to it."""

    numbers = numbers_of(events)
    assert point["count"] == len(events), point
    assert point["measured"] == len(numbers), point
    if seconds is not None:
        assert math.isclose(point["rate"], len(events) / seconds,
                            rel_tol=1e-9, abs_tol=1e-12), point
    if not numbers:
        assert [point[k] for k in ("sum", "average", "min", "max")] == (
            [None] * 4), point
        return
    assert point["min"] == min(numbers) and point["max"] == max(numbers)
    total = math.fsum(numbers)
    assert values.near(point["sum"], total, numbers), (point, total)
    assert values.near(point["average"], total / len(numbers), numbers), (
        point, total)


def check_answer(answer, events, width, low, high, types=None):
    """A whole answer; `types` None means one series over all of them."""

    assert answer["from"] == low and answer["to"] == high
    series = {}
    for point in answer["series"]:
        kind = point["event_type"] if types else None
        series.setdefault(kind, []).append(point)

    assert series.keys() == set(types or [None])
    for kind, points in series.items():
        assert [p["start"] for p in points] == list(range(low, high, width))
        for point in points:
            start = point["start"]
            inside = [e for e in events
                      if start <= e["timestamp"] / 1000 < start + width
                      and kind in (None, e["event_type"])]
            check_point(point, inside,
                        width if start + width < time.time() else None)

    check_point(answer["total"], [
        e for e in events if low <= e["timestamp"] / 1000 < high])


def ask(client, **params):
    answer = client.get("/stats", params=params)
    assert answer.status_code == 200, answer.text
    return values.parse(answer.content)


@pytest.fixture(scope="module")
def memory():
    return {}


@pytest.fixture
def data(memory, sender, client, stack, name, seed):
    """
    Two types over three days, dense in the last hour; every kind of value
    that is and that is not a measure.
    """

    if memory:
        return memory

    rng = random.Random(seed)
    now = int(time.time())
    events = []
    drawn = [lambda: round(rng.uniform(-100, 100), 2), lambda: rng.randrange(
        -5, 5), lambda: rng.choice([1e15, -1e15, 0, -0.0, 1e-300, 0.1]),
        lambda: rng.choice([1.1e15, -1e16, 10**15 + 1, 1e300]),
        lambda: rng.choice(["5", True, None, [1], {"v": 1}])]
    odds = [50, 20, 2, 4, 10]

    for i in range(1500):
        age = (rng.uniform(70, 3000) if i % 2 else rng.uniform(70, 3 * DAY))
        metadata = {}
        if rng.random() < 0.7:
            metadata["value"] = rng.choices(drawn, odds)[0]()
        events.append({"event_id": str(i), "user_id": f"{name}{i % 40}",
                       "event_type": f"{name}{'ab'[rng.random() < 0.3]}",
                       "timestamp": round(now - age, 3),
                       "metadata": metadata})

    for i in range(0, 1500, 100):
        assert sender.post(events[i:i + 100]).status_code == 202
    stack.settle()
    memory.update(now=now, types=[name + "a", name + "b"],
                  events=[values.normal(e) for e in events])
    return memory


@pytest.mark.parametrize("name_of, width", [
    w for w in WIDTHS.items() if w[1] >= 300])
def test_widths_over_days(data, client, name_of, width):
    low = (data["now"] - 3 * DAY - HOUR) // width * width
    high = -(-data["now"] // width) * width
    answer = ask(client, event_type=data["types"], group_by="event_type",
                 time_interval=name_of, **{"from": low, "to": high})
    assert answer["time_interval"] == name_of
    check_answer(answer, data["events"], width, low, high, data["types"])


@pytest.mark.parametrize("name_of, width", [
    w for w in WIDTHS.items() if w[1] <= 300])
def test_widths_over_minutes(data, client, name_of, width):
    """Below a minute the last hour is kept."""

    low = (data["now"] - 2400) // width * width
    high = low + min(1800, 1000 * width) // width * width
    answer = ask(client, event_type=data["types"], time_interval=name_of,
                 **{"from": low, "to": high})
    check_answer(answer, data["events"], width, low, high)


def test_one_type(data, client):
    low, high = data["now"] // DAY * DAY - 3 * DAY, data["now"] // DAY * DAY
    for kind in data["types"]:
        answer = ask(client, event_type=kind, time_interval="1d",
                     **{"from": low, "to": high})
        check_answer(answer, [e for e in data["events"]
                              if e["event_type"] == kind], DAY, low, high)


def test_all_types_together(client, data, stack, log):
    """Without event_type: one series over everything that was ever sent."""

    low, high = data["now"] // DAY * DAY - DAY, data["now"] // DAY * DAY
    answer = ask(client, time_interval="1h", **{"from": low, "to": high})
    stored = {values.identity(e.event): e.event for e in log.entries()
              if e.acked}
    check_answer(answer, list(stored.values()), HOUR, low, high)


def test_a_range_is_widened_and_echoed(data, client):
    low = data["now"] // HOUR * HOUR - 5 * HOUR
    answer = ask(client, event_type=data["types"], time_interval="1h",
                 **{"from": low + 1.5, "to": low + HOUR + 0.001})
    check_answer(answer, data["events"], HOUR, low, low + 2 * HOUR)

    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(low + 7))
    answer = ask(client, event_type=data["types"], time_interval="1h",
                 **{"from": text, "to": low + HOUR})
    check_answer(answer, data["events"], HOUR, low, low + HOUR)


@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
def test_the_default_is_the_newest_sixty(data, client, width):
    seconds = WIDTHS[width]
    before = int(time.time())
    answer = ask(client, event_type=data["types"],
                 **({} if width == "1m" else {"time_interval": width}))
    after = int(time.time())
    assert answer["time_interval"] == width
    assert answer["to"] - answer["from"] == 60 * seconds
    assert (before // seconds + 1) * seconds <= answer["to"] <= (
        after // seconds + 1) * seconds
    check_answer(answer, data["events"], seconds, answer["from"],
                 answer["to"])


def test_what_nobody_sent(client, name, data):
    """Buckets are there with count 0, and a measure of nothing is null."""

    low = data["now"] // HOUR * HOUR - 3 * HOUR
    answer = ask(client, event_type=name + "nobody", time_interval="30m",
                 **{"from": low, "to": low + HOUR})
    check_answer(answer, [], 1800, low, low + HOUR)
    assert [p["count"] for p in answer["series"]] == [0, 0]
    assert [p["rate"] for p in answer["series"]] == [0, 0]


def test_the_measure_may_be_named(data, client):
    low = data["now"] // DAY * DAY - DAY
    params = {"event_type": data["types"], "time_interval": "1d",
              "from": low, "to": low + DAY}
    named = ask(client, measure="value", **params)
    assert named["series"] == ask(client, **params)["series"]


def test_freshness(client, data, sender, name):
    """as_of and lag say how far what was received is in."""

    answer = ask(client)
    assert abs(time.time() - answer["lag_seconds"] - answer["as_of"]) < 5

    before = time.time()
    assert sender.post([{"event_id": "1", "user_id": name, "event_type":
                         name, "timestamp": 1}]).status_code == 202
    wait_until(lambda: ask(client)["as_of"] > before, 10,
               "as_of passing the event")
    answer = ask(client, event_type=name, time_interval="1d",
                 **{"from": 0, "to": DAY})
    assert answer["total"]["count"] == 1


def test_a_closed_range_has_an_etag_that_holds(client, data):
    params = {"event_type": data["types"], "time_interval": "1d",
              "from": data["now"] // DAY * DAY - 2 * DAY,
              "to": data["now"] // DAY * DAY - DAY}
    first = client.get("/stats", params=params)
    tag = first.headers["etag"]
    assert client.get("/stats", params=params).headers["etag"] == tag
    again = client.get("/stats", params=params,
                       headers={"if-none-match": tag})
    assert again.status_code == 304 and again.content == b""


def test_the_most_points(client, data):
    low = data["now"] // HOUR * HOUR - 11_000 * HOUR
    answer = ask(client, time_interval="1h",
                 **{"from": low, "to": low + 11_000 * HOUR})
    assert len(answer["series"]) == 11_000
    refused = client.get("/stats", params={
        "time_interval": "1h", "from": low, "to": low + 11_001 * HOUR})
    assert refused.status_code == 400 and "11,000" in refused.text.replace(
        "11000", "11,000")
