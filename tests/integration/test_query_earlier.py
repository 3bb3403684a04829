"""
Blocks of this version and of earlier ones, beside each other: nobody who asks
sees which they are of, whatever types are registered and whatever ids are.
"""

import os
import random
import uuid

import httpx
import pytest

from harness import storage
from harness.model import model, seconds
from harness.pipeline import query_alone
from harness.snapshot import read_pages
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
DAY = 86_400_000
NOW = 1_760_000_000_000
# More than there are bits for; storage.store() leaves the first unregistered.
TYPES = [f"t{i:02}" for i in range(18)]
USERS = [f"u{i}" for i in range(8)]
ORDERS = ("asc", "desc")
ID = "0190a6e2-7b3c-7d1e-8f00-0123456789ab"
KINDS = {"UUID": ID, "UUID in capitals": ID.upper(), "text": "e1",
         "UUID in braces": f"{{{ID}}}", "digits alone": ID.replace("-", "")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    with query_alone(tmp_path_factory.mktemp("earlier"), BUILD) as stack:
        yield stack


@pytest.fixture
def client(alone):
    with httpx.Client(base_url=alone.query_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def stored(alone):
    """Events of all widths of blocks; each user has some types alone."""

    rng = random.Random(20251127)
    made = []
    for i in range(3000):
        user = rng.randrange(len(USERS))
        reach = rng.choice((50, 8_000, 400_000, DAY // 2, 20 * DAY,
                            3000 * DAY))
        made.append({
            "event_id": rng.choice((
                str(uuid.UUID(int=rng.getrandbits(128))),
                str(uuid.UUID(int=rng.getrandbits(128))).upper(), f"e{i}")),
            "user_id": USERS[user],
            "event_type": rng.choice(TYPES[user::3] + TYPES[:1]),
            "timestamp": NOW - rng.randint(0, reach), "metadata": {"i": i}})
    storage.create(alone.database)
    storage.store(alone.database, rng, made)
    alone.restart("query")
    forms = {storage.form_of(block) for block in alone.database.blocks.find()}
    assert forms == set(storage.FORMS)
    return made


def found(client, **params):
    return [e["metadata"]["i"] for e in read_pages(client, **params)]


def wanted(events, **filters):
    return [e["metadata"]["i"] for e in model(events, **filters)]


@pytest.mark.some(7)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("user", USERS)
def test_a_users_pages(client, stored, user, order):
    for limit in 19, 150, 1000:
        assert found(client, user_id=user, order=order, limit=limit) == wanted(
            stored, user_id=user, order=order)


@pytest.mark.some(3)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("user", USERS[:4])
def test_a_users_pages_of_some_types(client, stored, user, order):
    """Types share bits; one has none, and one that nobody has neither."""

    rng = random.Random(user)
    lists = [[one] for one in [*TYPES, "never"]] + [
        rng.sample([*TYPES, "never"], n) for n in (2, 3, 7, 12)]
    for types in lists:
        assert found(client, user_id=user, event_type=types, order=order,
                     limit=40) == wanted(
            stored, user_id=user, event_type=types, order=order)


@pytest.mark.parametrize("order", ORDERS)
def test_a_users_pages_between_two_times(client, stored, order):
    rng = random.Random(order)
    for _ in range(20):
        start, end = sorted(e["timestamp"] for e in rng.sample(stored, 2))
        user, types = rng.choice(USERS), rng.sample(TYPES, 4)
        assert found(client, user_id=user, event_type=types, order=order,
                     limit=100, **{"from": seconds(start),
                                   "to": seconds(end)}) == wanted(
            stored, user_id=user, event_type=types, order=order, start=start,
            end=end)


def test_each_event_by_its_id(client, stored):
    for event in random.Random(3).sample(stored, 200):
        by_id = {name: event[name] for name in ("user_id", "event_id")}
        assert found(client, **by_id) == [event["metadata"]["i"]]


@pytest.mark.parametrize("form", storage.FORMS)
def test_ids_of_all_kinds(alone, client, form):
    """Each is another one, and is given back as it was sent."""

    made = [{"event_id": one, "user_id": "u", "event_type": "t",
             "timestamp": NOW + i, "metadata": {"i": i}, "offset": i}
            for i, one in enumerate(KINDS.values())]
    # The same, of others in the block.
    made += [dict(e, user_id=user) for e in made for user in ("a", "z")]
    storage.create(alone.database)
    storage.insert(alone.database, [storage.block(made, 1, 0, 0, 0, form)])
    alone.restart("query")

    for i, one in enumerate(KINDS.values()):
        (event,) = read_pages(client, user_id="u", event_id=one)
        assert (event["event_id"], event["metadata"]["i"]) == (one, i)
    # Ids are compared as texts.
    same = {**made[0], "timestamp": NOW}
    made = [dict(same, event_id=one, offset=i)
            for i, one in enumerate(KINDS.values())]
    storage.create(alone.database)
    storage.insert(alone.database, [storage.block(made, 1, 0, 0, 0, form)])
    for order in ORDERS:
        for limit in 1, 2, 100:
            assert [e["event_id"] for e in read_pages(
                client, order=order, limit=limit)] == sorted(
                    KINDS.values(), key=str.encode, reverse=order == "desc")


def test_a_type_that_is_registered_a_moment_ago(alone, client):
    """The query daemon reads the registry now and then."""

    def block(offset, event_type):
        return storage.block(
            [{"event_id": f"e{offset}", "user_id": "u", "event_type":
              event_type, "timestamp": NOW, "metadata": {"i": offset},
              "offset": offset}], 1, 0, offset, 0,
            numbers=storage.register(alone.database, [event_type]))

    storage.create(alone.database)
    storage.insert(alone.database, [block(0, "before")])
    alone.restart("query")
    assert found(client, user_id="u", event_type="before") == [0]

    for i in range(1, 9):
        storage.insert(alone.database, [block(i, f"new-{i}")])
        assert found(client, user_id="u", event_type=f"new-{i}") == [i]
        assert found(client, user_id="u", event_type=[f"new-{i}", "before"],
                     order="asc") == [0, i]


def test_writers_of_earlier_versions_go_on(alone, client):
    """What they store is found some seconds later."""

    def block(offset, form):
        return storage.block(
            [{"event_id": f"e{offset}", "user_id": "u", "event_type": "t",
              "timestamp": NOW + offset, "metadata": {"i": offset},
              "offset": offset}], 1, 0, offset, 0, form)

    storage.create(alone.database)
    storage.index(alone.database, storage.EARLIER_INDEXES)
    storage.insert(alone.database, [block(0, storage.COUNTS)])
    alone.restart("query")
    assert found(client, user_id="u") == [0]

    storage.insert(alone.database, [
        block(1, storage.USERS), block(2, storage.LIST)])
    wait_until(lambda: found(client, user_id="u") == [2, 1, 0], 15,
               "the earlier blocks")
    storage.insert(alone.database, [
        block(i + 3, form) for i, form in enumerate(storage.FORMS)])
    assert found(client, user_id="u") == [6, 5, 4, 3, 2, 1, 0]
