"""
GET /stats of the query daemon alone with MongoDB: whatever windows there are,
its answers are those of a few lines of Python over the same events.
"""

import os
import random
import time

import httpx
import pytest

from harness import sketches, storage
from harness.answers import problem
from harness.pipeline import query_alone
from harness.profiler import profiling

BUILD = os.environ.get("MILLRACE_BUILD", "build")
DAY = 86_400_000
TYPES = ["view", "click", "buy", "Kauf", "été"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with query_alone(tmp_path_factory.mktemp("stats"), BUILD) as stack:
        yield stack
        deaths = stack.deaths()
        assert not deaths, "\n".join(deaths)


@pytest.fixture
def client(daemon):
    with httpx.Client(base_url=daemon.query_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def events():
    """Random ones of the last two days, some of the last minutes."""

    rng = random.Random(11)
    now = int(time.time() * 1000)
    return [{
        "event_id": str(i), "user_id": f"u{rng.randrange(50)}",
        "event_type": rng.choice(TYPES),
        "timestamp": now - rng.randint(0, rng.choice((
            100_000, 3_000_000, DAY, 2 * DAY))),
        "metadata": {"value": rng.randint(-500, 500) / 4}
        if rng.random() < 0.5 else {},
    } for i in range(3000)]


@pytest.fixture
def counted(daemon, events):
    """The events' windows, whatever the test before has left behind."""

    state = daemon.database.state
    if state.find_one({"_id": "random"}) is None:
        storage.create(daemon.database)
        storage.insert_windows(daemon.database, events)
        state.insert_many([
            {"_id": "merge", "as_of": storage.date(
                int(time.time() * 1000) - 250), "partitions": []},
            {"_id": "random"}])
    return events


def near(values, q):
    return pytest.approx(sketches.quantile(values, q), rel=0.0051, abs=1e-9)


def numbers(events, elapsed, sketched):
    found = [e["metadata"]["value"] for e in events
             if "value" in e["metadata"]]
    return {
        "count": len(events),
        "rate": pytest.approx(len(events) / elapsed),
        "measured": len(found),
        "average": pytest.approx(sum(found) / len(found)) if found else None,
        "sum": pytest.approx(sum(found)) if found else None,
        "min": min(found) if found else None,
        "max": max(found) if found else None,
        "p50": near(found, 0.50) if found and sketched else None,
        "p95": near(found, 0.95) if found and sketched else None,
        "p99": near(found, 0.99) if found and sketched else None,
        "unique_users": len({e["user_id"] for e in events})
        if sketched else None,
    }


INTERVALS = {f"{n}{unit}": n * factor
             for unit, factor, counts in (
                 ("s", 1, (1, 2, 5, 10, 15, 30)),
                 ("m", 60, (1, 2, 5, 10, 15, 30)),
                 ("h", 3600, (1, 2, 3, 4, 6, 8, 12)), ("d", 86400, (1,)))
             for n in counts}


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("types", [(), ("view",), ("buy", "été", "never")])
def test_series_are_those_of_a_simple_model(counted, client, interval, types):
    width = INTERVALS[interval]
    now = time.time()
    # Ends with the last whole bucket, so that time does not matter.
    end = int(now) // width * width
    start = end - min(20, 3000 // width + 1) * width

    for grouped in (False, True):
        params = {"time_interval": interval, "from": start, "to": end,
                  "event_type": types}
        if grouped:
            params["group_by"] = "event_type"
        answer = client.get("/stats", params=params)
        assert answer.status_code == 200, answer.text
        answer = answer.json()

        inside = [e for e in counted
                  if start * 1000 <= e["timestamp"] < end * 1000
                  and (not types or e["event_type"] in types)]
        if not grouped:
            series = [types[0] if len(types) == 1 else None]
        elif types:
            series = sorted(types, key=str.encode)
        else:
            series = sorted({e["event_type"] for e in inside},
                            key=str.encode)

        assert answer["from"] == start and answer["to"] == end
        assert answer["time_interval"] == interval
        want = [{"event_type": event_type, "start": t, **numbers(
                    [e for e in inside
                     if t <= e["timestamp"] / 1000 < t + width
                     and (not grouped or e["event_type"] == event_type)],
                    width, width >= 60)}
                for event_type in series
                for t in range(start, end, width)]
        assert answer["series"] == want
        assert end > start
        assert answer["total"] == numbers(
            inside, end - start, start % 60 == 0 and end % 60 == 0)


@pytest.mark.parametrize("rest", [True, False])
def test_very_many_types(daemon, client, rest):
    """Those that have nothing in the range neither show nor cost."""

    database = daemon.database
    start = 1_700_000_000 // 86400 * 86400
    # Each third of another day; the rest's name is within them by its bytes.
    types = ["!", "été", *(f"type-{i:03}" for i in range(200))]
    types += ["(other)"] if rest else []
    events = [{
        "event_id": str(i), "user_id": "u", "event_type": one,
        "timestamp": 1000 * (start + (i % 3 == 2) * 86400 + i % 4 * 3600),
        "metadata": {},
    } for i, one in enumerate(types)]
    storage.create(database)
    database.windows.insert_many(storage.windows(events))
    storage.register(database, [one for one in types if one != "(other)"])

    params = {"group_by": "event_type", "time_interval": "1h",
              "from": start, "to": start + 4 * 3600}
    with profiling(database) as profile:
        answer = client.get("/stats", params=params)
    assert answer.status_code == 200, answer.text
    answer = answer.json()

    inside = {e["event_type"]: e["timestamp"] / 1000 for e in events
              if e["timestamp"] < 1000 * (start + 86400)}
    assert 100 < len(inside) < 150
    want = [(one, t, int(inside[one] == t))
            for one in sorted(inside, key=str.encode)
            for t in range(start, start + 4 * 3600, 3600)]
    assert [(p["event_type"], p["start"], p["count"])
            for p in answer["series"]] == want
    assert answer["total"]["count"] == len(inside)

    # Sixty-four types each, and one for the total.
    finds = list(profile.find({"command.find": "windows"}))
    assert len(finds) == 4 + 1
    for find in finds:
        assert find["docsExamined"] == find["nreturned"]
        assert find["keysExamined"] <= find["nreturned"] + 2 * 64
        assert not find.get("hasSortStage")


def test_the_default_is_the_newest_hour_by_minutes(counted, client):
    before = time.time()
    answer = client.get("/stats").json()
    assert answer["time_interval"] == "1m"
    assert len(answer["series"]) == 60
    assert answer["to"] - answer["from"] == 3600
    assert before - 60 < answer["series"][-1]["start"] <= time.time()
    merged = min(e["timestamp"] for e in counted)  # some time in the past
    assert answer["as_of"] * 1000 > merged and answer["lag_seconds"] >= 0
    assert set(answer) == {"time_interval", "from", "to", "as_of",
                           "lag_seconds", "total", "series"}


def test_the_open_bucket_divides_by_the_time_elapsed(counted, client):
    answer = client.get("/stats", params={"time_interval": "1d"}).json()
    bucket = answer["series"][-1]
    elapsed = time.time() - bucket["start"]
    assert bucket["count"] > 0
    assert bucket["rate"] == pytest.approx(bucket["count"] / elapsed,
                                           rel=3 / max(elapsed, 1))


def test_a_range_is_widened_to_whole_buckets(counted, client):
    now = int(time.time()) // 3600 * 3600
    answer = client.get("/stats", params={
        "time_interval": "5m", "from": now - 3599.5, "to": now - 1000}).json()
    assert answer["from"] == now - 3600 and answer["to"] == now - 900


def test_nothing_merged_yet(daemon, client):
    storage.create(daemon.database)
    answer = client.get("/stats", params={"group_by": "event_type"}).json()
    assert answer["as_of"] is None and answer["lag_seconds"] is None
    assert answer["series"] == [] and answer["total"]["count"] == 0


def test_an_answer_that_did_not_change_is_not_sent_again(daemon, counted,
                                                         client):
    hour = int(time.time()) // 3600 * 3600
    params = {"time_interval": "1h", "from": hour - 7200, "to": hour}
    first = client.get("/stats", params=params)
    tag = first.headers["etag"]
    assert "max-age=" in first.headers["cache-control"]

    daemon.database.state.update_one({"_id": "merge"}, {
        "$set": {"as_of": storage.date(hour * 1000 + 5)}})
    second = client.get("/stats", params=params)
    assert second.json()["as_of"] != first.json()["as_of"]
    assert second.headers["etag"] == tag

    for value in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
        same = client.get("/stats", params=params,
                          headers={"If-None-Match": value})
        assert same.status_code == 304 and same.content == b""
        assert same.headers["etag"] == tag
    assert client.get("/stats", params=params, headers={
        "If-None-Match": '"x"'}).status_code == 200

    daemon.database.state.delete_one({"_id": "random"})
    daemon.database.windows.update_many({}, {"$inc": {"count": 1}})
    assert client.get("/stats", params=params).headers["etag"] != tag


@pytest.mark.parametrize("text,where", [
    ("time_interval=7m", "time_interval"), ("time_interval=", "time_interval"),
    ("time_interval=60", "time_interval"), ("group_by=user_id", "group_by"),
    ("measure=nothing", "measure"), ("event_type=", "event_type"),
    ("from=5&to=1", "from"), ("from=0", "time_interval"),
    ("time_interval=1s&from=1000&to=1001", "time_interval"),
    ("time_interval=1h&from=0&to=1760000000", "time_interval"),
    ("limit=1", None), ("from=1&from=2", "from"),
])
def test_bad_statistics_are_refused(client, text, where):
    details = problem(client.get("/stats?" + text), 400)
    assert details.get("parameter") == where


def test_refusals_say_what_would_be_right(client):
    text = problem(client.get("/stats?measure=x"), 400)["detail"]
    assert "value" in text
    old = int(time.time()) - 40 * 86400
    text = problem(client.get("/stats", params={
        "time_interval": "30s", "from": old, "to": old + 60}), 400)["detail"]
    assert "1h, 1d" in text and "1m" not in text
    text = problem(client.get("/stats?time_interval=1h&from=0"), 400)["detail"]
    assert "11000" in text
