"""
The real data: an e-commerce clickstream of 31,106 rows goes in through POST
/events and comes back, whole, from GET /events and GET /stats.  What is right
is counted from the file by zcat, awk, sort and uniq.
"""

import calendar
import csv
import gzip
import os
import subprocess
import time

import pytest

from harness import values
from harness.answers import read_events, same_events
from harness.pipeline import REPO
from harness.snapshot import read_series

FILE = os.path.join(REPO, ".cache", "dataset", "ecom.csv.gz")
ROWS = 31_106
DAY = 86_400
TIME = "%Y-%m-%d %H:%M:%S"


def events_of_file():
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as f:
        for number, row in enumerate(csv.DictReader(f), 1):
            yield {
                "event_id": f"ecom-{number}",
                "user_id": row.pop("user_id"),
                "event_type": row.pop("event"),
                "timestamp": calendar.timegm(
                    time.strptime(row.pop("timestamp"), TIME)),
                "metadata": row,
            }


def counted_by_shell(columns):
    """{tuple of the columns' values: rows}, by tools that know no JSON."""

    # $4 is "2024-03-13 10:21:14": its first ten letters are the day.
    awk = f"NR > 1 {{ day = substr($4, 1, 10); print {columns} }}"
    script = ("set -o pipefail; zcat \"$1\" | awk -F, -v OFS=, \"$2\" "
              "| LC_ALL=C sort | uniq -c")
    out = subprocess.run(["bash", "-c", script, "count", FILE, awk],
                         check=True, capture_output=True, text=True).stdout
    counts = {}
    for line in out.splitlines():
        number, key = line.split()
        counts[tuple(key.split(","))] = int(number)
    assert sum(counts.values()) == ROWS
    return counts


@pytest.fixture(scope="module")
def memory():
    return {}


@pytest.fixture
def events(memory, sender, stack):
    """All events of the file, in it by now."""

    if not memory:
        all_events = list(events_of_file())
        assert len(all_events) == ROWS
        for i in range(0, ROWS, 500):
            response = sender.post(all_events[i:i + 500],
                                   ("ndjson", "array")[i // 500 % 2])
            assert response.status_code == 202, response.text
            assert response.json()["accepted"] == len(
                all_events[i:i + 500])
        stack.settle()
        memory["events"] = sorted(
            all_events, key=lambda e: values.order(values.normal(e)))
        memory["types"] = sorted({e["event_type"] for e in all_events})
    assert len(memory["types"]) == 19
    return memory


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_all_events_come_back_equal(events, client, order):
    found = read_events(client, order=order, event_type=events["types"])
    same_events(found, events["events"][::1 if order == "asc" else -1])
    assert len(found) == ROWS


def test_each_type_and_some_users(events, client):
    by_user = counted_by_shell("$1")
    some = sorted(by_user, key=lambda k: (-by_user[k], k))
    for user in some[:3] + some[-3:]:
        found = read_events(client, user_id=user[0], order="asc")
        same_events(found, [e for e in events["events"]
                            if e["user_id"] == user[0]])
        assert len(found) == by_user[user]

    by_type = counted_by_shell("$3")
    for event_type in events["types"]:
        found = read_events(client, event_type=event_type)
        assert len(found) == by_type[event_type,]


def test_a_month_of_one_type(events, client):
    rows = sum(n for (kind, day), n in counted_by_shell("$3, day").items()
               if kind == "catalog" and day.startswith("2024-03"))
    found = read_events(client, event_type="catalog",
                        **{"from": "2024-03-01T00:00:00Z",
                           "to": "2024-04-01T00:00:00Z"})
    assert len(found) == rows > 0


def test_stats_by_day_agree_with_awk(events, client):
    """For every type and every day of the half year, empty ones included."""

    right = counted_by_shell("$3, day")
    answer = read_series(client, group_by="event_type", time_interval="1d",
                         event_type=events["types"],
                         **{"from": "2024-01-01T00:00:00Z",
                            "to": "2024-07-01T00:00:00Z"}).answer
    found = {}
    for point in answer["series"]:
        day = time.strftime("%Y-%m-%d", time.gmtime(point["start"]))
        key = point["event_type"], day
        assert key not in found
        found[key] = point["count"]
        assert point["measured"] == 0 and point["sum"] is None
        assert abs(point["rate"] - point["count"] / DAY) < 1e-9

    assert len(found) == 19 * 182
    assert {k: n for k, n in found.items() if n} == right
    assert answer["total"]["count"] == ROWS


def test_stats_of_each_type_alone(events, client):
    by_type = counted_by_shell("$3")
    for event_type in events["types"]:
        answer = read_series(client, event_type=event_type,
                             time_interval="12h",
                             **{"from": "2024-01-01T00:00:00Z",
                                "to": "2024-07-01T00:00:00Z"}).answer
        assert answer["total"]["count"] == by_type[event_type,]
        assert sum(p["count"] for p in answer["series"]) == (
            by_type[event_type,])


def test_posting_the_file_again_changes_nothing(events, sender, client,
                                                check_all):
    for i in range(0, ROWS, 1000):
        assert sender.post(
            events["events"][i:i + 1000]).status_code == 202
    shot = check_all()
    assert sum(d["repeated"] for d in shot.ledger.values()) >= ROWS
    answer = read_series(client, event_type=events["types"],
                         time_interval="1d",
                         **{"from": "2024-01-01T00:00:00Z",
                            "to": "2024-07-01T00:00:00Z"}).answer
    assert answer["total"]["count"] == ROWS
