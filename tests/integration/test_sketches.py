"""
Distinct users and percentiles from POST to the topic: windows, messages and
the merging that docs/event-stats.md shows, against the sender's own log.
"""

import json
import random
import re
import time
from collections import defaultdict

from harness import snapshot
from harness.audit import QUANTILES
from harness.pipeline import REPO

MINUTE = 60


def documented():
    """unique_users and percentile as docs/event-stats.md has them."""

    with open(f"{REPO}/docs/event-stats.md", encoding="utf-8") as f:
        programs = re.findall(r"```python\n(.*?)```", f.read(), re.S)
    names = {}
    exec(next(p for p in programs if "def percentile" in p), names)
    return names["unique_users"], names["percentile"]


def made(name, rng, start):
    """
    Five minutes of three types: many users, few, and as many as a window
    counts exactly; late ones come in the second half.
    """

    events = []
    for minute in range(5):
        for kind, n, users in (("many", 1500, 4000), ("few", 30, 8),
                               ("edge", 300, 257)):
            for i in range(n):
                event = {
                    "event_id": f"{minute}-{kind}-{i}",
                    "user_id": f"{name}-{rng.randrange(users)}",
                    "event_type": f"{name}-{kind}",
                    "timestamp": start + minute * MINUTE
                    + rng.randrange(59_000) / 1000,
                    "metadata": {}}
                if kind != "edge":
                    event["metadata"]["value"] = round(
                        rng.lognormvariate(3, 2) * rng.choice((1, 1, -1)), 2)
                events.append(event)
    return events


def test_sketches_from_post_to_topic(stack, sender, name):
    rng = random.Random(7)
    start = int(time.time()) // MINUTE * MINUTE - 30 * MINUTE
    events = made(name, rng, start)
    on_time, late = events[:6000], events[6000:]
    late += rng.sample(on_time, 500)  # and repeats
    for part in (on_time, late):
        rng.shuffle(part)
        for i in range(0, len(part), 300):
            assert sender.post(part[i:i + 300]).status_code == 202
        stack.settle()

    # By type and minute, and over everything.
    users, numbers = defaultdict(set), defaultdict(list)
    for event in events:
        key = event["event_type"], int(event["timestamp"]) // 60 * 60
        for group in (key, event["event_type"]):
            users[group].add(event["user_id"])
            if "value" in event["metadata"]:
                numbers[group].append(event["metadata"]["value"])

    newest = {}
    for record in snapshot.read_topic(stack.brokers, stack.stats_topic)[0]:
        message = json.loads(record.value)
        if message["event_type"].startswith(name):
            newest[message["event_type"], message["width"],
                   message["start"]] = message

    unique_users, percentile = documented()
    minutes = {(kind, begin): m for (kind, width, begin), m in newest.items()
               if width == "1m"}
    assert len(minutes) == 15

    def near_users(found, want):
        assert abs(found - want) <= (0 if want <= 256 else 0.03 * want), (
            found, want)

    def near_numbers(of, right):
        for label, q in QUANTILES.items():
            want = sorted(right)[int(q * (len(right) - 1))]
            assert abs(of(label, q) - want) <= 0.0051 * abs(want), label

    for key, message in minutes.items():
        near_users(message["unique_users"], len(users[key]))
        sketches = message["sketches"]
        assert unique_users([sketches["users"]]) == message["unique_users"]
        if numbers[key]:
            measure = message["measures"]["value"]
            near_numbers(lambda label, _: measure[label], numbers[key])
            near_numbers(lambda _, q: percentile(
                [sketches["measures"]["value"]], q), numbers[key])
        else:
            assert message["measures"] == sketches["measures"] == {}

    # Five minutes merged as the document says are as exact as one.
    for kind in ("many", "few", "edge"):
        five = [m["sketches"] for (k, _), m in minutes.items()
                if k == f"{name}-{kind}"]
        near_users(unique_users(s["users"] for s in five),
                   len(users[f"{name}-{kind}"]))
        if kind != "edge":
            near_numbers(lambda _, q: percentile(
                [s["measures"]["value"] for s in five], q),
                numbers[f"{name}-{kind}"])

    # A second has no sketches, and needs none.
    assert all(("unique_users" in m) == ("sketches" in m) == (width != "1s")
               for (_, width, _), m in newest.items())
