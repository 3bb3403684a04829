"""
GET /stats where there are more event types than may have statistics of their
own: no answer is a 0 that is not true, and all of them together are exact.
The tests follow each other: the last ones raise the number of places, and
remove events.
"""

import json
import os
import random
import re
import subprocess
import time
from collections import Counter

import httpx
import pytest
from playwright.sync_api import expect

from harness.audit import OTHER, audit
from harness.browser import Tab, chromium
from harness.killer import Killer
from harness.pipeline import Pipeline
from harness.sender import Sender, SentLog
from harness.snapshot import take
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
PLACES = 5
TYPES = [f"type {i}" for i in range(20)]


class World:
    """A pipeline, what was sent to it, and a client."""

    def __init__(self, stack):
        self.stack = stack
        self.log = SentLog()
        self.sent = []
        self.random = random.Random(7)
        self.client = httpx.Client(base_url=stack.url, timeout=30,
                                   headers={"Cache-Control": "no-cache"})

    def send(self, types, n, span=0):
        """`n` events of each type, in any order, from the last `span` s."""

        now = time.time()
        events = [{"event_id": f"{time.time_ns()}-{i}-{name}",
                   "user_id": f"u{self.random.randrange(200)}",
                   "event_type": name,
                   "timestamp": round(now - self.random.uniform(0, span), 3),
                   "metadata": {"value": i}}
                  for name in types for i in range(n)]
        self.random.shuffle(events)
        with Sender(self.stack.url, self.log) as sender:
            for i in range(0, len(events), 100):
                sender.deliver([json.dumps(e).encode()
                                for e in events[i:i + 100]])
        self.sent += events

    def true(self, name=None, since=0):
        return sum(name in (None, e["event_type"]) and e["timestamp"] >= since
                   for e in self.sent)

    def known(self):
        return [d["_id"] for d
                in self.stack.database.types.find().sort("number", 1)]

    def stats(self, **params):
        params.setdefault("time_interval", "1m")
        params.setdefault("from", int(time.time()) - 1800)
        return self.client.get("/stats", params=params)

    def count(self, name=None, **params):
        answer = self.stats(**({} if name is None else {"event_type": name}),
                            **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["total"]["count"]

    def refusal(self, **params):
        """The detail of the problem that says why there is no number."""

        answer = self.stats(**params)
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        problem = answer.json()
        assert problem["parameter"] == "event_type"
        return problem["detail"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    stack = Pipeline(tmp_path_factory.mktemp("stats-types"), build=BUILD,
                     options={
        "kafka": {"partitions": 3, "session.timeout.ms": "3000",
                  "heartbeat.interval.ms": "500"},
        "writer": {"threads": 3, "flush_interval": "20ms"},
        "stats": {"max_types": PLACES, "lease": "2s"},
    })
    stack.environment = {"ASAN_OPTIONS": "fast_unwind_on_malloc=0"}
    try:
        stack.start()
        stack.mongo.admin.command(
            "setParameter", 1, transactionLifetimeLimitSeconds=3)
        yield World(stack)
        problems = stack.finish()
        assert not problems, "\n".join(problems)
    finally:
        stack.close()


def test_nothing_is_beyond_yet(world):
    """A type that never occurred has empty buckets."""

    assert world.count("never") == 0
    world.send(TYPES[:2], 10)
    world.stack.settle()
    assert world.count("never") == 0
    assert world.count(TYPES[0]) == 10
    assert "partial" not in world.stats(group_by="event_type").json()


def test_twenty_types_and_a_writer_that_is_killed(world):
    killer = Killer(world.stack)
    for first in range(0, 20, 5):
        world.send(TYPES[:first + 5], 30, span=90)
        killer.kill_inside(lambda: True, 60) if first % 10 == 0 \
            else world.stack.kill("writer")
        world.stack.start("writer")
    world.send(reversed(TYPES), 10)
    world.stack.settle(120)

    violations = audit(take(world.stack, world.log))
    assert not violations, "\n".join(violations)
    assert len(world.known()) == PLACES
    assert set(TYPES[:2]) < set(world.known())


def test_each_kind_of_type(world):
    known = world.known()
    beyond = [name for name in TYPES if name not in known]
    assert len(beyond) == 20 - PLACES

    for name in known:
        assert world.count(name) == world.true(name) > 0, name

    for name in beyond:
        said = world.refusal(event_type=name)
        assert f'"{name}"' in said and OTHER in said

        # However far from all its events the range is.
        world.refusal(event_type=name, **{"from": 0, "to": 86400},
                      time_interval="1h")
        found = world.client.get("/events", params={
            "event_type": name, "limit": 1000}).json()["events"]
        assert len(found) == world.true(name) > 0

    assert world.count("never") == 0
    assert world.count(OTHER) == sum(map(world.true, beyond))
    assert world.count() == world.true()
    assert world.count(OTHER, time_interval="1s") > 0

    # One of several is enough.
    params = [("event_type", known[0]), ("event_type", beyond[0]),
              ("from", int(time.time()) - 600)]
    for more in ([], [("group_by", "event_type")]):
        answer = world.client.get("/stats", params=params + more)
        assert answer.status_code == 400 and beyond[0] in answer.text


def test_by_type_the_others_have_their_name(world):
    answer = world.stats(group_by="event_type").json()
    counts = Counter()
    for point in answer["series"]:
        counts[point["event_type"]] += point["count"]
    beyond = sum(n for name, n in Counter(
        e["event_type"] for e in world.sent).items()
        if name not in world.known())
    assert counts == {OTHER: beyond,
                      **{name: world.true(name) for name in world.known()}}
    assert answer["total"]["count"] == world.true()
    assert "partial" not in answer


def test_nobody_sends_the_reserved_name(world):
    event = {"event_id": "r", "user_id": "u", "event_type": OTHER,
             "timestamp": time.time()}
    answer = world.client.post("/events", json=event)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "event_type"
    assert OTHER in answer.json()["errors"][0]["message"]
    assert world.count(OTHER) < world.count()


def test_the_audit_tool_understands(world):
    tool = subprocess.run(
        [os.path.join(world.stack.build, "millrace-audit"), "-c",
         world.stack.conf, "--settle", "--json"],
        capture_output=True, text=True, timeout=90, check=False,
        cwd=world.stack.directory, env=world.stack._environment())
    report = json.loads(tool.stdout)
    assert report["findings"] == [] and report["merged"], tool.stderr
    assert report["sum"]["events"] >= world.true() // 2


def test_the_number_of_places_is_raised(world):
    before = world.known()
    late = [name for name in TYPES if name not in before][:2]
    world.stack.options["stats"]["max_types"] = PLACES + 3
    world.stack.start("setup")

    # Behind the last second in which one of them was counted as another.
    began = int(time.time()) + 2
    wait_until(lambda: time.time() > began, 10, "the next seconds")
    world.send([*late, "new"], 25)
    world.stack.settle()
    assert world.known() == [*before, *sorted(
        {*late, "new"}, key=world.known().index)]

    # Before that their windows do not have all.
    for name in late:
        said = world.refusal(event_type=name)
        assert f'"{name}" has statistics of its own from ' in said
        since = int(said.split(" from ")[1].split()[0])
        assert since % 60 == 0
        said = world.refusal(event_type=name, time_interval="1s")
        since = int(said.split(" from ")[1].split()[0])
        assert since <= began
        assert world.count(name, time_interval="1s", **{"from": since}) \
            == world.true(name, since=began) == 25

    # Of what nobody could have counted elsewhere nothing is missing.
    hour = {"from": int(time.time()) - 7200, "to": int(time.time()) - 3600}
    assert world.count(late[0], **hour) == 0

    for name in before:
        assert world.count(name) == world.true(name)
    assert world.count() == world.true()

    answer = world.stats(group_by="event_type").json()
    assert answer["partial"] == sorted([*late, "new"])
    assert answer["total"]["count"] == world.true()
    assert "partial" not in world.stats(
        group_by="event_type", time_interval="1s", **{"from": began}).json()

    # All places are taken again.
    world.send(["one more"], 1)
    world.stack.settle()
    assert "one more" in world.refusal(event_type="one more")


def test_the_dashboard_shows_the_others_all_the_same(world):
    """Where a frequent type has no figures of its own for the range."""

    late = world.stats(group_by="event_type").json()["partial"]
    world.send(late, 300)
    world.stack.settle()

    with chromium() as browser:
        tab = Tab(browser, world.stack.url)
        page = tab.open(range="1h", interval="1m")
        expect(page.locator("#tile-events .figure")).to_have_text(
            f"{world.true():,}")
        for name, users in ((late[0], "–"), (world.known()[0], r"\d")):
            row = page.locator("#types tbody tr").filter(
                has=page.get_by_text(name, exact=True))
            expect(row.locator("td").nth(2)).to_have_text(re.compile(users))
        expect(page.locator("#types .note")).to_have_text(
            "Earlier events of these types may be counted under (other) "
            "instead: " + ", ".join(late))
        tab.forgive("status of 400")
        assert tab.complaints == []


@pytest.mark.parametrize("how", ["erased", "by age"])
def test_what_is_gone_is_not_said_to_be_nothing(world, how):
    """What no block holds may have been counted, once blocks lose events."""

    state = world.stack.database.state
    assert world.count("never") == 0
    if how == "erased":
        state.insert_one({"_id": "erased", "events": 1, "blocks": 1})
    else:
        world.stack.options["writer"]["retention"] = "30d"
        world.stack.start("setup")

    try:
        said = world.refusal(event_type="never")
        assert '"never"' in said and "no longer be told" in said

        # Where none of the others is, nothing was counted.
        assert world.count("never", **{"from": 0, "to": 86400},
                           time_interval="1h") == 0
        assert world.count(TYPES[0]) == world.true(TYPES[0])
    finally:
        state.delete_one({"_id": "erased"})
