"""
More event types than may have windows of their own: the first ones to come
have them, whichever lane or writer brings them and whoever is killed, all
others are counted together, and nothing says 0 for one of those.
"""

import json
import os
import random
import re
import threading
import time

import pytest

from harness import storage
from harness.audit import OTHER
from harness.killer import Killer
from harness.pipeline import servers_alone
from harness.rig import Rig
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
PARTITIONS = 3


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    # What a killed writer has left open is given up soon.
    with servers_alone(tmp_path_factory.mktemp("types"), BUILD,
                       transactionLifetimeLimitSeconds=3) as stack:
        yield stack


@pytest.fixture
def rig(servers, request):
    """A function that makes a rig whose writers may keep `most` types."""

    made = []

    def make(most, setup=True, **options):
        name = re.sub(r"\W", "-", request.node.name[5:])[:30]
        options.setdefault("threads", PARTITIONS)
        made.append(Rig(servers, f"{name}-{time.time_ns() % 10**6}",
                        partitions=PARTITIONS, stats={"max_types": most},
                        **options))
        return made[-1].setup() if setup else made[-1]

    yield make
    for one in made:
        one.close()


def event(event_type, number=0, ago=0.0):
    return json.dumps({
        "event_id": f"{event_type}-{number}-{time.time_ns()}",
        "user_id": f"u{number % 50}", "event_type": event_type,
        "timestamp": round(time.time() - ago, 3),
        "metadata": {"value": number % 7}}).encode()


def registry(one):
    """The types that have windows of their own, in their order."""

    return [d["_id"] for d in one.database.types.find().sort("number", 1)]


def others(one):
    """Events that the ledgers say are counted as others."""

    return sum(by_max["events"] for ledger in one.database.ledger.find()
               for by_max in ledger.get("other", {}).values())


def counts(one, width=86400):
    """{name: events} by the partials of a width."""

    found = {}
    for doc in one.database.partials.find({"_id.width": width}):
        name = doc["_id"]["event_type"]
        found[name] = found.get(name, 0) + doc["count"]
    return found


def check_types(one, most):
    """Everything is counted once, under its name or as another."""

    shot = one.audit()
    known = registry(one)
    assert len(known) == most
    assert set(counts(one)) <= {*known, OTHER, ""}
    return shot


def test_blocks_say_which_types_a_user_has(rig):
    """By seven bits, and all of them for a type that is not registered."""

    one = rig(most=9)
    one.start()
    for number in range(9):
        one.produce([event(f"t{number}", number)])
        one.settle()
    one.produce([event(f"t{number}", user) for user in range(50)
                 for number in {user % 9, user % 7 + 2, 0}])
    one.produce([event(name, 7) for name in ("t0", "other")])
    check_types(one, 9)
    assert registry(one) == [f"t{number}" for number in range(9)]

    numbers = {name: number for number, name in enumerate(registry(one))}
    sets = set()
    for block in one.database.blocks.find():
        right = storage.who_of(storage.events_of(block), numbers)
        assert block["who"] == right
        sets |= {who["t"] for who in right}
    assert storage.ALL_TYPES in sets and len(sets) > 9
    one.stop()


def test_the_first_types_have_windows_of_their_own(rig):
    one = rig(most=3)
    one.start()
    for name in "abc":
        one.produce([event(name, i) for i in range(10)])
        one.settle()
    one.produce([event(n, i) for i in range(10) for n in "adbecf"])
    check_types(one, 3)
    assert registry(one) == ["a", "b", "c"]
    assert counts(one) == {"a": 20, "b": 20, "c": 20, OTHER: 30, "": 90}
    assert others(one) == 30

    metrics = one.metrics()
    assert metrics["millrace_writer_types"] == 3
    assert metrics["millrace_writer_types_max"] == 3
    assert metrics["millrace_writer_other_events_total"] == 30

    # It is said once, and by a name.
    one.produce([event(n) for n in "gh"])
    one.settle()
    said = [line for line in one.log().splitlines() if OTHER in line]
    assert len(said) == 1 and "max_types" in said[0]
    assert any(f" {name}, " in said[0] for name in "def")

    # What is stored bears its own name.
    assert one.database.blocks.count_documents({"types": "d"}) > 0
    assert one.database.blocks.count_documents({"types": OTHER}) == 0
    one.stop()


def test_a_restart_keeps_the_decision(rig):
    one = rig(most=4)
    one.start()
    one.produce([event(f"t{i}", i) for i in range(20)])
    check_types(one, 4)
    known = registry(one)

    for _ in range(3):
        one.kill()
        one.start()
        one.produce([event(f"t{i}", i) for i in reversed(range(25))])
        one.settle()
    check_types(one, 4)
    assert registry(one) == known
    assert all(counts(one)[name] == 4 for name in known)
    one.stop()


def test_writers_that_bring_types_at_once(rig):
    """Two writers, three lanes each; every one of them brings new types."""

    one = rig(most=5, flush_interval="5ms")
    one.start()
    one.start("writer-2")
    wait_until(lambda: sum(
        one.metrics(part).get("millrace_writer_assigned_partitions", 0)
        for part in one.processes) == PARTITIONS, 60, "both reading")

    for n in range(10):
        for p in range(PARTITIONS):
            one.produce([event(f"t{p}-{n}", i) for i in range(20)],
                        partition=p)
    check_types(one, 5)
    assert sum(counts(one)[name] for name in registry(one)) == 5 * 20
    assert counts(one)[OTHER] == 25 * 20
    one.stop()
    one.stop("writer-2")


@pytest.mark.parametrize("seed", range(2))
def test_killed_while_types_are_registered(rig, seed):
    """20 types on three lanes; the writer is killed inside transactions."""

    one = rig(most=5, flush_interval="20ms")
    random_ = random.Random(seed)
    done = threading.Event()

    def produce():
        # New types come all the time, in another order in each partition.
        rounds = 0
        while rounds < 20 or not done.is_set():
            rounds += 1
            for p in range(PARTITIONS):
                names = [f"t{random_.randrange(min(rounds, 20))}"
                         for _ in range(60)]
                one.produce([event(name, i, ago=random_.uniform(0, 90))
                             for i, name in enumerate(names)], partition=p)
            time.sleep(0.05)

    one.start()
    thread = threading.Thread(target=produce)
    thread.start()

    try:
        killer = Killer(one)
        for _ in range(5):
            killer.kill_inside(lambda: True, 60,
                               random_.choice([0, 0, 1000, 2000]))
            one.start()
    finally:
        done.set()
        thread.join()

    one.settle(120)
    check_types(one, 5)
    assert counts(one)[OTHER] > 0
    one.stop()


def test_the_number_of_places_is_only_raised(rig):
    one = rig(most=2)
    one.start()
    one.produce([event(name) for name in "abcd"])
    check_types(one, 2)
    first = registry(one)
    late = next(name for name in "abcd" if name not in first)

    # Not by a writer, whatever it is told.
    one.stop()
    one.options["stats"]["max_types"] = 3
    one.start()
    one.produce([event(name) for name in "abcd"])
    check_types(one, 2)
    assert "max_types is 3, but 2 event types" in one.log()

    # By millrace-setup, while the writer runs.
    said = one.run(binary="millrace-setup")[1]
    assert "at most 2, now 3" in said
    one.produce([event(late)])
    one.settle()
    assert registry(one) == [*first, late]
    assert [d["max"] for d in one.database.types.find().sort("number", 1)] \
        == [2, 2, 3]
    assert counts(one)[late] == 1 and counts(one)[OTHER] == 4

    # What came before stays where it was counted, what comes is exact.
    one.produce([event(name) for name in "abcd"])
    one.settle()
    assert counts(one)[late] == 2 and counts(one)[OTHER] == 5
    total = one.database.ledger.aggregate([
        {"$project": {"o": {"$objectToArray": "$other"}}}, {"$unwind": "$o"},
        {"$group": {"_id": "$o.k", "events": {"$sum": "$o.v.events"}}}])
    assert {d["_id"]: d["events"] for d in total} == {"2": 4, "3": 1}

    one.options["stats"]["max_types"] = 1
    status, said = one.run(binary="millrace-setup")
    assert status == 0 and "which [stats] max_types = 1 does not" in said
    assert one.database.state.find_one("types")["max"] == 3
    one.stop()


def test_a_type_of_the_reserved_name(rig):
    """It did not come through nginx; it is stored, and counted as others."""

    one = rig(most=1)
    one.start()
    one.produce([event(OTHER, i) for i in range(5)])
    one.settle()
    assert registry(one) == [] and counts(one) == {OTHER: 5, "": 5}
    one.produce([event("a")])
    one.settle()
    check_types(one, 1)
    assert registry(one) == ["a"]
    assert one.database.blocks.count_documents({"types": OTHER}) > 0
    one.stop()


def test_a_type_for_every_event(rig):
    """What a client invents is bounded everywhere but in the events."""

    one = rig(most=10)
    one.start()
    n = 20_000
    now = time.time()
    one.produce([json.dumps({
        "event_id": str(i), "user_id": f"u{i % 99}",
        "event_type": f"type {i} " + "x" * (i % 100),
        "timestamp": round(now - i / n, 3)}).encode() for i in range(n)])
    check_types(one, 10)
    assert counts(one)[OTHER] == n - 10 and counts(one)[""] == n
    names = one.database.partials.distinct("_id.event_type")
    assert len(names) == 12
    one.stop()


def test_a_database_of_before(rig):
    """Types that have windows or partials have places, be they too many."""

    one = rig(most=3, setup=False)
    id_ = {"width": 60, "event_type": "", "start": 0}
    for collection, width, names in (
            ("windows", 86400, ["", "w1", "both", OTHER]),
            ("partials", 60, ["", "p1", "both"]),
            ("partials", 1, ["zü"])):
        for name in names:
            for start in range(3):
                key = {**id_, "width": width, "event_type": name,
                       "start": start}
                if collection == "partials":
                    key["partition"] = 0
                one.database[collection].insert_one({"_id": key, "count": 1})

    status, said = one.run(binary="millrace-setup")
    assert status == 0 and "at most 4, 4 are known" in said, said
    assert registry(one) == ["both", "p1", "w1", "zü"]
    assert {d["max"] for d in one.database.types.find()} == {0}

    # Again, and it says nothing and changes nothing.
    before = one.database.state.find_one("types")
    assert one.run(binary="millrace-setup")[0] == 0
    assert one.database.state.find_one("types") == before

    one.database.partials.delete_many({})
    one.database.windows.delete_many({})
    one.start()
    one.produce([event(name) for name in ("p1", "new", "zü", "w1")])
    one.settle()
    assert counts(one) == {"p1": 1, "zü": 1, "w1": 1, OTHER: 1, "": 4}
    one.stop()


def test_set_up_by_two_at_once(rig):
    one = rig(most=7, setup=False)
    path = one.configuration()
    one.configuration = lambda options: path  # not written while it is read
    results = []
    threads = [threading.Thread(target=lambda: results.append(
        one.run(binary="millrace-setup"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _ in results] == [0] * 4, results
    state = one.database.state.find_one("types")
    assert (state["max"], state["known"]) == (7, 0)


def test_a_database_without_a_registry_is_refused(rig):
    one = rig(most=3)
    one.database.state.delete_one({"_id": "types"})
    status, said = one.run()
    assert status == 1 and "registry of event types" in said
    assert "millrace-setup" in said
