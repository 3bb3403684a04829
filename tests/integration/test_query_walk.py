"""A user's walk over many blocks, a batch after the other."""

import contextlib
import os

import httpx
import pymongo.errors
import pytest

from harness import storage
from harness.pipeline import query_alone
from harness.profiler import answered
from harness.snapshot import read_pages
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
NOW = 1_760_000_000_000
BLOCKS = 600


def times(how):
    """A millisecond for each block."""
    return {
        "apart": [NOW + i * 60_000 for i in range(BLOCKS)],
        # More blocks than a batch has.
        "ties": [NOW + i // 37 * 60_000 for i in range(BLOCKS)],
        "the same": [NOW] * BLOCKS,
        # A week without any.
        "two heaps": [NOW + i * 1000 + (i > 450) * 604_800_000
                      for i in range(BLOCKS)],
    }[how]


def events(how):
    """Three a block, one block after the other.  Each has the rare type, few
    of them of the user."""
    return [{
        "event_id": f"e{i}.{k}", "user_id": user,
        "event_type": "rare" if k == 1 or (
            i % 200 == 150 and k == 2) else "usual",
        "timestamp": time + k * 7, "metadata": {"i": 3 * i + k},
        "offset": 3 * i + k}
        for i, time in enumerate(times(how))
        for k, user in enumerate(("one", "other", "one"))]


def store(alone, made, form=lambda i: storage.COUNTS, registered=False):
    """`form`: that of the i-th block; `registered`: the types were by then."""
    storage.create(alone.database)
    numbers = storage.register(alone.database, ["usual", "rare"])
    numbers = numbers if registered else {}
    blocks = [
        storage.block(made[3 * i:3 * i + 3], 1, 0, 3 * i, 0, form(i), numbers)
        for i in range(len(made) // 3)]
    storage.insert(alone.database, blocks)
    # It sees at its start what there is.
    alone.restart("query")


NEVER, ALWAYS, LATER = "1000000", "0", "250"


@pytest.fixture(scope="module", params=[NEVER, ALWAYS],
                ids=["whole", "divided"])
def alone(tmp_path_factory, request):
    with query_alone(tmp_path_factory.mktemp("walk"), BUILD,
                     {"query": {"slow_block": request.param}},
                     mongod_parameters={"enableTestCommands": "true"},
                     ) as stack:
        yield stack


def is_divided(alone):
    return alone.options["query"]["slow_block"] == ALWAYS


@pytest.fixture(params=["apart", "apart, unknown types", "ties", "the same",
                        "two heaps"])
def stored(alone, request):
    """What is stored, in order.  Of unknown types a user may have any number in
    a block: then a divided walk goes on as it finds out."""
    how, *unknown = request.param.split(",")
    made = events(how)
    store(alone, made, lambda i: {
        12: storage.ENDS, 24: storage.USERS, 49: storage.LIST,
        }.get(i % 50, storage.COUNTS),
        registered=is_divided(alone) and not unknown)
    return sorted(made, key=lambda e: (e["timestamp"], e["event_id"]))


@pytest.fixture
def client(alone):
    with httpx.Client(base_url=alone.query_url, timeout=30) as client:
        yield client


@pytest.mark.some(9)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_all_of_it_comes_once_and_in_order(client, stored, order):
    mine = [e["metadata"]["i"] for e in stored if e["user_id"] == "one"]
    rare = [e["metadata"]["i"] for e in stored
            if (e["user_id"], e["event_type"]) == ("one", "rare")]
    if order == "desc":
        mine.reverse()
        rare.reverse()

    for limit in 100, 237, 1000:
        found = [e["metadata"]["i"] for e in read_pages(
            client, user_id="one", order=order, limit=limit)]
        assert found == mine
    assert [e["metadata"]["i"] for e in read_pages(
        client, user_id="one", event_type="rare", order=order)] == rare
    assert len(rare) == 3

    text = client.get("/events", params={
        "user_id": "one", "order": order, "limit": 100_000}, headers={
            "Accept": "application/x-ndjson"}).text
    assert len(text.splitlines()) == len(mine) + 1


class Watch:
    """What mongod has done since; a few by others may be among it."""

    def __init__(self, database):
        self.database, self.before = database, self.count(database)

    @staticmethod
    def count(database):
        status = database.command("serverStatus")
        return [status["metrics"]["queryExecutor"]["scannedObjects"],
                sum(status["opcounters"][one] for one in ("query", "getmore"))]

    def since(self):
        return [now - then for now, then in zip(
            self.count(self.database), self.before)]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_no_more_is_read_than_needed(alone, client, order):
    """A few more: what is left has as many events a block as what came."""

    store(alone, events("apart"))

    def examined(**params):
        watch = Watch(alone.database)
        answer = client.get("/events", params={
            "user_id": "one", "order": order, **params})
        assert answer.status_code == 200
        assert len(answer.json()["events"]) == params.get("limit", 3)
        return watch.since()[0]

    assert 1 <= examined(limit=1) <= 8
    assert 10 <= examined(limit=20) <= 30
    assert 51 <= examined(limit=100) <= 90
    assert 101 <= examined(limit=200) <= 165
    # The index says that it may be in all of them, or in which it is.
    assert BLOCKS <= examined(event_type="rare") <= BLOCKS + 5
    store(alone, events("apart"), registered=True)
    assert 3 <= examined(event_type="rare") <= 8


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_page_that_has_its_rows_takes_few_rounds(alone, client, order):
    """All blocks of a moment have to be looked at for the order of its rows."""

    store(alone, events("the same"))
    watch = Watch(alone.database)
    answer = client.get("/events", params={
        "user_id": "one", "order": order, "limit": 10})
    assert len(answer.json()["events"]) == 10
    examined, rounds = watch.since()
    assert BLOCKS <= examined <= BLOCKS + 5
    # And the keys.
    assert rounds <= (18 if is_divided(alone) else 16)


def test_large_events_come_a_few_at_a_time(alone, client):
    """Whose rows are large does not get all that MongoDB sends at once."""

    made = events("apart")
    for event in made:
        event["metadata"]["text"] = "x" * 40_000
    store(alone, made)

    found = [e["metadata"]["i"] for e in read_pages(
        client, user_id="one", order="asc", limit=300)]
    assert found == [e["metadata"]["i"] for e in made
                     if e["user_id"] == "one"]


def commands(alone, client, **params):
    """What mongod is asked about blocks for a full page."""

    page, asked = answered(alone.database, client, user_id="one", **params)
    assert len(page["events"]) == 100
    return asked


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_stretches_are_told_by_the_index_alone(alone, client, order):
    store(alone, events("apart"))
    asked = commands(alone, client, order=order)
    keys = [one for one in asked if one["command"].get("returnKey")]
    courses = 3 if order == "asc" else 1

    if not is_divided(alone):
        assert not keys and len(asked) == courses
        return

    # Two events a block: the first eight blocks have 16 of the hundred.
    assert [(one["nreturned"], one["docsExamined"]) for one in keys] == [
        (101, 0)]
    parts = [one["nreturned"] for one in asked
             if one["nreturned"] and one not in keys]
    assert sorted(parts)[0] == 8 and len(parts) == 4
    assert 51 <= sum(parts) + parts[1] <= 64

    # Of the last sixty all keys come, so that it is known of which class they
    # are; the oldest first, a walk is of that class from its beginning.
    asked = commands(alone, client, order=order, **{
        "from": f"{times('apart')[-60] / 1000:.3f}"})
    classes = [len(one["command"]["filter"]["$or"]) for one in asked]
    assert classes.count(1) == (4 if order == "asc" else 3), classes


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_what_the_keys_let_expect_begins_at_once(alone, client, order):
    """Of most blocks they say that they have one of the user's types."""

    store(alone, events("apart"), registered=True)
    asked = commands(alone, client, order=order)
    more = alone.database.system.profile.count_documents(
        {"op": "getmore", "originatingCommand.find": "blocks"})
    parts = [one["docsExamined"] for one in asked if one["docsExamined"]]

    if is_divided(alone):
        # A hundred and one keys, the eighth block twice, one to look at the
        # end.
        assert len(parts) == 5 and 101 <= sum(parts) <= 103
        # Of a class that all have, the oldest first from the beginning.
        assert [len(one["command"]["filter"]["$or"]) for one in asked
                if one["docsExamined"] in (23, 24)].count(1) >= 3
        # Nobody waits for a batch to know what to ask for next.
        assert more == 0

    else:
        assert len(parts) == 1 and more == 1

    # Where a page has the events of few blocks, none begins.
    _, asked = answered(alone.database, client, user_id="one", limit=9,
                        order=order)
    parts = [one["docsExamined"] for one in asked if one["docsExamined"]]
    assert len(parts) == 1 and sum(parts) <= 16

    # The rest behind eight is not worth a command beside another one, but not
    # to be waited for either, if it is four blocks with the eighth.
    for n, expected in (13, [6, 8]), (11, [4, 8]), (10, [2, 8]):
        page, asked = answered(
            alone.database, client, user_id="one", order=order,
            **{"from": f"{times('apart')[-n] / 1000:.3f}"})
        more = alone.database.system.profile.count_documents({"op": "getmore"})
        parts = [one["docsExamined"] for one in asked if one["docsExamined"]]
        assert len(page["events"]) == 2 * n
        if n > 10 or not is_divided(alone):
            assert more == 0
            assert sorted(parts) == (expected if is_divided(alone) else [n])
        else:
            assert more == 1 and parts == [8]


def made_with(narrow, step):
    """Blocks of a few milliseconds, of which the rest of a page begins ahead,
    and three whose events are so far apart: from before to after others."""
    made = events("apart")[:3 * narrow]
    for block in range(3):
        made += [{**event, "event_id": f"wide.{block}.{i}",
                  "offset": len(made) + i, "metadata": {"i": len(made) + i},
                  "timestamp": NOW - 1 + block * 7_000_001 + i * step}
                 for i, event in enumerate(events("apart")[:3])]
    return made


@pytest.mark.some(7)
@pytest.mark.parametrize("narrow", [0, 30])
@pytest.mark.parametrize("step, by_tmin", [
    (5, 0), (50_000, 0), (250_000, 0), (30_000_000, 1)])
def test_blocks_of_all_classes_are_found(alone, client, step, by_tmin, narrow):
    """Oldest first some of them are asked for only if the keys tell of any."""

    made = made_with(narrow, step)
    store(alone, made, registered=True)
    mine = [e["metadata"]["i"] for e in sorted(
        made, key=lambda e: (e["timestamp"], e["event_id"]))
        if e["user_id"] == "one"]

    for limit in 9, 20, 100:
        for order in "asc", "desc":
            found = [e["metadata"]["i"] for e in read_pages(
                client, user_id="one", order=order, limit=limit)]
            assert found == (mine if order == "asc" else mine[::-1])

    asked = answered(alone.database, client, user_id="one", order="asc")[1]
    asked = [one for one in asked if "tmin" in one["command"]["sort"]]
    assert len(asked) == (by_tmin if is_divided(alone) else 1)


def test_not_all_keys_tell_nothing_of_other_classes(alone, client):
    store(alone, events("apart"), registered=True)
    asked = commands(alone, client, order="asc")
    assert [one["nreturned"] for one in asked
            if "tmin" in one["command"]["sort"]] == [0]


@contextlib.contextmanager
def another_slow_block(alone, value):
    before = alone.options
    alone.stop("query")
    alone.options = {"query": {"slow_block": value}}
    try:
        alone.start("query")
        yield
    finally:
        alone.stop("query")
        alone.options = before
        alone.start("query")


def are_divided(alone, client, n, **params):
    """Whether each of n pages is."""
    return [any(one["command"].get("returnKey") for one in answered(
        alone.database, client, user_id="one", **params)[1])
        for _ in range(n)]


@contextlib.contextmanager
def slow_finds(alone, n, ms):
    """The next n, or as many as there are."""
    alone.mongo.admin.command(
        "configureFailPoint", "failCommand", mode={"times": n}, data={
            "failCommands": ["find"], "appName": "millrace-query",
            "blockConnection": True, "blockTimeMS": ms})
    try:
        yield
    finally:
        alone.mongo.admin.command(
            "configureFailPoint", "failCommand", mode="off")


def test_cursors_of_a_mongodb_that_is_away_cost_no_time(tmp_path):
    """To tell it that they have ended takes as long as any other command."""

    options = {"query": {"slow_block": ALWAYS, "threads": "1",
                         "timeout": "1s"}}
    with query_alone(tmp_path, BUILD, options,
                     {"enableTestCommands": "true"}) as alone:
        store(alone, events("apart"), registered=True)
        with httpx.Client(base_url=alone.query_url, timeout=30) as client:
            for _ in range(3):
                assert client.get("/events", params={
                    "user_id": "one", "limit": 1000}).status_code == 200
            alone.mongo.admin.command(
                "configureFailPoint", "failCommand", mode="alwaysOn", data={
                    "failCommands": ["getMore", "killCursors"],
                    "appName": "millrace-query", "blockConnection": True,
                    "blockTimeMS": 4000})
            try:
                assert client.get("/events", params={
                    "user_id": "one", "limit": 1000}).status_code == 503
                # Another one needs no more than its first batch.
                answer = client.get("/events", params={
                    "user_id": "one", "limit": 1})
                assert answer.status_code == 200, answer.text
            finally:
                alone.mongo.admin.command(
                    "configureFailPoint", "failCommand", mode="off")


def until_told(alone, client):
    """Whether the first page is divided, and how soon one is not."""
    found = []
    while len(found) < 6 and found[-1:] != [False]:
        # Of all that the first batch has, so that none begins ahead.
        found += are_divided(alone, client, 1, limit=16)
    return found[0], found[-1]


@contextlib.contextmanager
def told_that_blocks_are_fast(alone, client):
    """And what else it reads now and then, it has just read."""
    with another_slow_block(alone, LATER):
        assert until_told(alone, client) == (True, False)
        assert are_divided(alone, client, 2) == [False, False]
        yield


def repeated(attempt, expected):
    """A machine that is busy elsewhere may make a page slow, or very slow."""
    for _ in range(6):
        try:
            found = attempt()
        except AssertionError as failed:
            found = failed
        if found == expected:
            break
    assert found == expected


@pytest.fixture
def whole(alone):
    if is_divided(alone):
        pytest.skip("sets slow_block itself")
    store(alone, events("apart"))
    return alone


@pytest.mark.quiet
def test_until_blocks_have_come_they_are_taken_to_be_slow(whole, client):
    """A MongoDB that was found just now may have been started just now."""

    alone = whole

    def is_found():
        try:
            return (alone.mongo.admin.command("hello")["isWritablePrimary"]
                    and client.get("/events?user_id=nobody&limit=1")
                    .status_code == 200)
        except pymongo.errors.AutoReconnect:
            return False

    def a_start_of_each():
        with told_that_blocks_are_fast(alone, client):
            before = are_divided(alone, client, 1)
            alone.restart("mongod")
            wait_until(is_found, 30, "MongoDB to be found again")
            return *before, *until_told(alone, client)

    repeated(a_start_of_each, (False, True, False))

    def slow_from_the_start():
        with another_slow_block(alone, LATER):
            with slow_finds(alone, 20, 5):
                found = are_divided(alone, client, 1, limit=16)
            return found + are_divided(alone, client, 1, limit=16)

    repeated(slow_from_the_start, [True, True])


def test_not_for_ever(whole, client):
    """Pages of few blocks tell nothing of how long many take."""

    store(whole, events("apart")[:12])
    with another_slow_block(whole, LATER):
        assert are_divided(whole, client, 34) == 32 * [True] + 2 * [False]


@pytest.mark.quiet
@pytest.mark.parametrize("n, ms, expected", [
    (3, 10, [False, False, False, True]),
    # A page that took so long is not to be followed by two more.
    (1, 40, [False, True]),
], ids=["three slow pages", "one very slow page"])
def test_slow_pages_and_walks_are_divided(whole, client, n, ms, expected):
    def after_slow_ones():
        with told_that_blocks_are_fast(whole, client):
            with slow_finds(whole, n, ms):
                return are_divided(whole, client, len(expected))

    repeated(after_slow_ones, expected)
