"""
The query daemon alone with MongoDB: whatever blocks and windows there are,
its answers are those of a few lines of Python over the same events.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import resource
import signal
import socket
import threading
import time
import uuid

import httpx
import pytest

from harness import sketches, storage, values
from harness.answers import problem
from harness.model import model, seconds
from harness.pipeline import query_alone
from harness.profiler import profiled
from harness.snapshot import read_pages
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
DAY = 86_400_000
NOW = 1_760_000_000_000
TYPES = ["view", "click", "buy", "Kauf", "été"]
ORDERS = ("asc", "desc")
NEVER = "1000000"


# The database and its events.


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    # Walks that are divided are test_query_walk.py's.
    with query_alone(tmp_path_factory.mktemp("query"), BUILD,
                     {"query": {"slow_block": NEVER}}) as stack:
        yield stack


def restart(stack, **query):
    """The query daemon with these options of [query]."""

    stack.stop("query")
    stack.options = {"query": {"slow_block": NEVER, **query}}
    stack.start("query")


@pytest.fixture
def daemon(alone):
    alone.start("mongod", "query")
    yield alone
    deaths = alone.deaths()
    assert not deaths, "\n".join(deaths)


@pytest.fixture
def client(daemon):
    with httpx.Client(base_url=daemon.query_url, timeout=30) as client:
        yield client


@pytest.fixture
def stored(daemon, events):
    """The random events, whatever the test before has left behind."""

    if daemon.database.state.find_one({"_id": "random"}) is None:
        storage.create(daemon.database)
        storage.store(daemon.database, random.Random(1), events)
        restart(daemon)
        daemon.database.state.insert_one({"_id": "random"})
    return events


@pytest.fixture(scope="module")
def events():
    """
    Events close together, hours, days and years apart, with many ties: equal
    times, equal ids of different users, and equal in both (sent again after
    the dedup window).  Some ids are UUIDs.
    """

    rng = random.Random(20261123)
    found = []

    for i in range(4000):
        reach = rng.choice((0, 50, 8_000, 400_000, DAY // 2, 20 * DAY,
                            3000 * DAY))
        step = rng.choice((1, 10, 1000))
        one = str(uuid.UUID(int=rng.randrange(40) << 121))
        found.append({
            "event_id": rng.choice((f"{rng.getrandbits(64):016x}",
                                    f"e{rng.randrange(40)}", "ü", "z",
                                    one, one, one.upper())),
            "user_id": f"u{min(rng.randrange(40), rng.randrange(40))}",
            "event_type": rng.choice(TYPES),
            "timestamp": (NOW - rng.randint(0, reach)) // step * step,
            "metadata": {"i": i},
        })

    for event in rng.sample(found, 200):
        found.append(dict(event, metadata={"again": True}))

    return found


def parameters(rng, events):
    """A random query: the model's arguments and the request's parameters."""

    want, params = {}, {}

    if rng.random() < 0.5:
        want["user_id"] = params["user_id"] = rng.choice(events)["user_id"]
        if rng.random() < 0.3:
            want["event_id"] = params["event_id"] = (
                rng.choice([e for e in events
                            if e["user_id"] == want["user_id"]])["event_id"])

    if rng.random() < 0.5:
        want["event_type"] = params["event_type"] = rng.sample(
            TYPES + ["never"], rng.randint(1, 3))

    bounds = sorted(rng.choice(events)["timestamp"] + rng.randint(-2, 2)
                    for _ in range(2))
    if rng.random() < 0.4:
        want["start"], params["from"] = bounds[0], seconds(bounds[0])
    if rng.random() < 0.4:
        want["end"], params["to"] = bounds[1], seconds(bounds[1])

    want["order"] = params["order"] = rng.choice(ORDERS)
    params["limit"] = rng.choice((19, 100, 1000))
    return want, params


def check(client, events, rng, rounds):
    for _ in range(rounds):
        want, params = parameters(rng, events)
        found = [values.normal(e) for e in read_pages(client, **params)]
        expected = [values.normal(
            {k: v for k, v in e.items() if k in values.FIELDS}
            | {"timestamp": e["timestamp"] / 1000})
            for e in model(events, **want)]
        assert len(found) == len(expected), params
        for a, b in zip(found, expected):
            assert values.same(a, b), (params, a, b)


# GET /events.


def test_answers_are_those_of_a_simple_model(stored, client, seed):
    check(client, stored, random.Random(seed), 30)


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["1", "5"])
def test_a_small_scan_budget_changes_no_answer(stored, daemon, client, seed,
                                               budget):
    restart(daemon, scan_blocks=budget)
    try:
        check(client, stored, random.Random(seed), 10)
        sparse = client.get("/events", params={
            "event_type": "never", "limit": 10}).json()
        assert sparse["events"] == [] and sparse["next_cursor"] is None
    finally:
        restart(daemon)


def test_a_page_that_used_up_its_budget_is_short(stored, daemon, client):
    restart(daemon, scan_blocks="10")
    try:
        page = client.get("/events", params={"limit": 1000,
                                             "order": "desc"})
        assert page.status_code == 200
        assert len(page.json()["events"]) < 1000
        assert page.json()["next_cursor"] is not None
        assert 'rel="next"' in page.headers["link"]
    finally:
        restart(daemon)


@pytest.mark.parametrize("order", ORDERS)
def test_one_millisecond_larger_than_the_budget(daemon, client, order):
    events = [{"event_id": f"{i * 7919 % 3000:05}", "user_id": f"u{i % 90}",
               "event_type": "same", "timestamp": NOW, "metadata": {}}
              for i in range(3000)]
    storage.create(daemon.database)
    storage.store(daemon.database, random.Random(2), events)
    restart(daemon, scan_blocks="3")
    try:
        found = read_pages(client, order=order, limit=900)
        want = sorted(f"{i:05}" for i in range(3000))
        assert [e["event_id"] for e in found] == (
            want if order == "asc" else want[::-1])
    finally:
        restart(daemon)


@pytest.mark.parametrize("order", ORDERS)
def test_limit_may_change_between_pages(stored, client, order):
    rng = random.Random(5)
    found, cursor = [], None
    while cursor is not None or not found:
        params = {"order": order, "limit": rng.randint(1, 300)}
        if cursor:
            params["cursor"] = cursor
        page = client.get("/events", params=params).json()
        found += page["events"]
        cursor = page["next_cursor"]
    assert [e["metadata"] for e in found] == [
        e["metadata"] for e in model(stored, order)]


@pytest.mark.parametrize("order", ORDERS)
def test_the_link_leads_through_all_pages(stored, client, order):
    url = httpx.URL("/events", params=[
        ("event_type", "été"), ("event_type", "view"), ("limit", "50"),
        ("order", order), ("to", "2030-01-01T00:00:00+01:00")])
    found = []
    while url is not None:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        found += answer.json()["events"]
        link = answer.links.get("next")
        assert (link is None) == (answer.json()["next_cursor"] is None)
        url = answer.url.join(link["url"]) if link else None
    assert [e["metadata"] for e in found] == [
        e["metadata"] for e in model(stored, order,
                                     event_type=["été", "view"])]


@pytest.mark.parametrize("order", ORDERS)
def test_paging_while_events_arrive(daemon, client, events, order):
    """Each event of before is given once, new ones at most once."""

    storage.create(daemon.database)
    old = events[:1500]
    storage.store(daemon.database, random.Random(3), old)
    restart(daemon)
    stop = threading.Event()

    def insert():
        rng = random.Random(4)
        number = 0
        while number < 400 and not stop.is_set():
            number += 1
            made = [dict(rng.choice(events), event_id=f"new{number}-{i}",
                         offset=i, metadata={"new": True})
                    for i in range(5)]
            daemon.database.blocks.insert_one(
                storage.block(made, 1, 9, number * 10, 0))

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        for limit in (9, 70):
            found = read_pages(client, order=order, limit=limit)
            assert len({json.dumps(e) for e in found if
                        e["metadata"].get("new")}) == sum(
                            1 for e in found if e["metadata"].get("new"))
            assert [e["metadata"] for e in found
                    if not e["metadata"].get("new")] == [
                        e["metadata"] for e in model(old, order)]
    finally:
        stop.set()
        thread.join()


def test_values_come_back_equal(daemon, client):
    metadata = {
        "": {"a.b": 1, "$set": [True, False, None, {}, []]},
        "int": [0, -1, 2**31, -2**31 - 1, 2**63 - 1, -2**63],
        "real": [0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, -1.5],
        "text": "\u0000\u001f\"\\/ \U0001f600 \u2028 é",
        "deep": {"a": {"b": {"c": [[[[["x"]]]]]}}},
    }
    event = {"event_id": "e", "user_id": "ü/&+%", "event_type": "t",
             "timestamp": NOW + 7, "metadata": metadata, "offset": 0}
    stored = dict(event, metadata=dict(metadata, int=[
        storage.Int64(i) if abs(i) > 2**31 - 1 else i
        for i in metadata["int"]]))
    storage.create(daemon.database)
    daemon.database.blocks.insert_one(storage.block([stored], 1, 0, 0, 0))

    answer = client.get("/events", params={"user_id": event["user_id"]})
    (found,) = values.parse(answer.content)["events"]
    assert list(found) == ["event_id", "user_id", "event_type", "timestamp",
                           "metadata"]
    assert found["timestamp"] == (NOW + 7) / 1000
    assert values.same(found["metadata"], metadata)


@pytest.mark.parametrize("text,where", [
    ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=1e2", "limit"),
    ("limit=", "limit"), ("limit=-1", "limit"), ("limit=1&limit=1", "limit"),
    ("order=up", "order"), ("order=DESC", "order"),
    ("from=yesterday", "from"), ("to=", "to"), ("from=2&to=1", "from"),
    ("user_id=", "user_id"), ("user_id=%00", "user_id"),
    ("user_id=%7f", "user_id"), ("user_id=a%c2%9f", "user_id"),
    ("user_id=" + "x" * 257, "user_id"), ("user_id=%ff", "user_id"),
    ("user_id=%4", "user_id"), ("user_id=%zz", "user_id"),
    ("event_type=a&event_type=", "event_type"),
    ("event_type=" + "x" * 129, "event_type"),
    ("event_id=a", "event_id"), ("user_id=a&event_id=", "event_id"),
    ("user_id=a&user_id=b", "user_id"),
    ("cursor=", "cursor"), ("cursor=abc", "cursor"), ("cursor=%21", "cursor"),
    ("nothing=1", None), ("Limit=1", None), ("%ff=1", None), ("=", None),
])
def test_a_bad_query_is_refused(client, text, where):
    details = problem(client.get("/events?" + text), 400)
    assert details.get("parameter") == where
    assert where is None or where in details["detail"]


def test_a_cursor_of_other_filters_or_altered_is_refused(stored, client):
    cursor = client.get("/events", params={
        "limit": 3, "event_type": "view"}).json()["next_cursor"]

    def get(**params):
        return client.get("/events", params=dict(params, cursor=cursor))

    assert get(event_type="view", limit=9).status_code == 200
    for params in ({}, {"event_type": "click"}, {"event_type": "view",
                                                 "order": "asc"},
                   {"event_type": "view", "from": "0.001"},
                   {"event_type": ["view", "buy"]},
                   {"event_type": "view", "user_id": "u1"}):
        details = problem(get(**params), 400)
        assert details["parameter"] == "cursor"

    for i in range(0, len(cursor), 3):
        other = "A" if cursor[i] != "A" else "B"
        altered = cursor[:i] + other + cursor[i + 1:]
        problem(client.get("/events", params={
            "event_type": "view", "cursor": altered}), 400)


# How MongoDB is asked.


def stages(plan):
    found = [plan["stage"]]
    for child in plan.get("inputStages", []) + (
            [plan["inputStage"]] if "inputStage" in plan else []):
        found += stages(child)
    return found


@pytest.mark.parametrize("params,first", [
    ({}, ""),
    ({"from": "1", "to": "1760000000"}, ""),
    ({"event_type": "view"}, "types_"),
    ({"event_type": ["view", "buy", "never"]}, "types_"),
    ({"event_type": [f"t{i}" for i in range(33)]}, "types_"),
    # MongoDB merges at most 200 scans.
    ({"event_type": [f"t{i}" for i in range(34)]}, ""),
    ({"user_id": "u1"}, "who_"),
    ({"user_id": "u1", "event_type": ["view", "buy"], "from": "3"},
     "who_"),
    ({"user_id": "u1", "event_id": "z"}, "who_"),
])
@pytest.mark.parametrize("order", ORDERS)
def test_every_query_walks_an_index_in_its_order(stored, daemon, client,
                                                 params, first, order):
    asked = [op["command"] for op in profiled(daemon.database, client,
                                              order=order, **params)]
    user = "user_id" in params
    # A walk that begins at a moment is divided.
    divided = not user and ("to" if order == "desc" else "from") in params
    # Blocks of earlier versions have an index of their own.
    assert len(asked) == (4 if divided else 1 if not user
                          else 6 if order == "asc" else 2)
    classes = set()

    for command in asked:
        plan = daemon.database.command("explain", {
            key: value for key, value in command.items()
            if not key.startswith(("$or ", "$db", "$cl", "$read", "lsid",
                                   "maxTimeMS"))},
            verbosity="queryPlanner")["queryPlanner"]["winningPlan"]
        used = stages(plan)
        spans = {one["span"] for one in command["filter"]["$or"]}
        classes |= spans
        assert not {"SORT", "COLLSCAN"} & set(used), used
        assert used.count("IXSCAN") >= len(spans), used

        # Ascending by tmin, but a user's narrow blocks.
        if order == "asc" and (not user or spans & {2, 3, 4}):
            index, sort = "span_tmin_tmax", {"tmin": 1}
        else:
            index = "span_tmax" + ("" if user else "_tmin")
            sort = {"tmax": 1 if order == "asc" else -1}
        lead = "users_" if "'users'" in str(command["filter"]) else first
        assert f"'{lead}{index}'" in str(plan)
        assert command["sort"] == sort

    # Near the epoch no block of a class lies in some of the stretches.
    assert classes == {*storage.SPANS, storage.ANY}


@pytest.mark.parametrize("params", [{}, {"event_type": "view"}])
@pytest.mark.parametrize("order", ORDERS)
def test_blocks_that_begin_too_late_are_not_looked_at(stored, daemon, client,
                                                      params, order):
    """The index tells them, of whatever class they are."""

    times = sorted(e["timestamp"] for e in stored)
    late = 0
    for end in times[len(times) // 4::len(times) // 8]:
        first, last = (times[0], end) if order == "desc" else (end, times[-1])
        within = {"from": f"{first / 1000:.3f}", "to": f"{last / 1000:.3f}"}
        for op in profiled(daemon.database, client, order=order, **within,
                           **params):
            assert op["docsExamined"] == op["nreturned"]
        # By tmin, those that end too early.
        late += sum(daemon.database.blocks.count_documents({
            "span": span, "tmax": {"$lt": storage.date(end + width)},
            "tmin": {"$gte": storage.date(end)}} if order == "desc" else {
            "span": span, "tmax": {"$lt": storage.date(end)},
            "tmin": {"$gte": storage.date(end - width)}})
            for span, width in storage.SPANS.items())
    assert late > 0, "none of the blocks lies beside"


def test_a_long_walk_takes_few_rounds(daemon, client):
    """Each batch of headers is twice as large as all before it."""

    # Of this version's blocks, and of earlier ones': a walk each.
    storage.create(daemon.database)
    storage.insert(daemon.database, [
        storage.block([{"event_id": f"e{i}", "user_id": "u",
                        "event_type": "t", "timestamp": 1_760_000_000_000 + i,
                        "metadata": {}, "offset": i}], 1, 0, i, 0, form)
        for i, form in enumerate(120 * (storage.COUNTS, storage.USERS))])
    restart(daemon)
    first = [op["nreturned"] for op in profiled(
        daemon.database, client, user_id="u", limit=1000)]
    more = [op["nreturned"] for op in daemon.database.system.profile.find(
        {"op": "getmore", "command.collection": "blocks"})]
    assert len(first) == 2 and sum(first + more) == 240, (first, more)
    assert max(first) <= 32 and len(more) <= 4, (first, more)


def test_before_the_first_moment_there_is_nothing(client):
    for to in ("-5", "1969-12-31T23:59:59Z"):
        for order in ORDERS:
            answer = client.get("/events", params={"to": to, "order": order})
            assert answer.json() == {"events": [], "next_cursor": None}
        answer = client.get("/stats", params={"to": to, "time_interval": "1d"})
        assert answer.json()["series"] == [], answer.text
        for path in ("/events", "/stats"):
            assert problem(client.get(path, params={"from": "1", "to": to}),
                           400)["parameter"] == "from"


# HTTP and health.


def test_methods_and_paths(client):
    for path, allow in (("/events", "GET, HEAD, POST, OPTIONS"),
                        ("/stats", "GET, HEAD"), ("/readyz", "GET, HEAD")):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = client.request(method, path, content=b"x" * 100)
            problem(answer, 405)
            assert answer.headers["allow"] == allow
    assert client.options("/events").headers["allow"] == (
        "GET, HEAD, POST, OPTIONS")
    for path in ("/", "/event", "/events/", "/events/x", "/%00", "//"):
        problem(client.get(path), 404)


def test_a_body_that_nobody_wants_is_read(daemon):
    """Answered before its end, it would reset the connection."""

    body = b"x" * 4_000_000
    with socket.create_connection(("127.0.0.1", daemon.ports["query"]),
                                  timeout=20) as sock:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            sock.sendall(f"{method} /stats HTTP/1.1\r\nHost: x\r\n"
                         f"Content-Length: {len(body)}\r\n\r\n".encode()
                         + body)
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert answer.status == 405 and answer.read()


def test_many_arguments_are_answered(client):
    """As many as nginx lets through, and more than libmicrohttpd can hold."""

    for path in ("/events", "/stats"):
        assert client.get(f"{path}?" + "&" * 999).status_code == 200
        problem(client.get(f"{path}?" + "x=1&" * 999), 400)
        types = "&".join(f"event_type=type-{i}" for i in range(600))
        assert client.get(f"{path}?{types}").status_code in (200, 400)
        for many in (2500, 20_000):
            assert client.get(f"{path}?" + "&" * many).status_code == 200
            problem(client.get(f"{path}?" + "x&" * many), 400)


def test_connections_that_are_not_taken_are_warned_of(daemon, client):
    """As where open files are short; not each time, and it gets over it."""

    def warnings():
        return [line for line in daemon.log_text("query").splitlines()
                if " warn " in line and " http: " in line]

    assert not warnings()
    pid = daemon.pid("query")
    used = len(os.listdir(f"/proc/{pid}/fd"))
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as held:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, before[1]))
        try:
            for _ in range(30):
                held.enter_context(socket.create_connection(
                    ("127.0.0.1", daemon.ports["query"])))
            wait_until(warnings, 5, "a warning")
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    wait_until(lambda: client.get("/healthz").status_code == 200, 10,
               "an answer")
    (warning,) = warnings()
    assert "open files" in warning or "limit" in warning


def test_head_is_get_without_a_body(stored, client):
    for path in ("/events?limit=2", "/stats", "/healthz", "/readyz/query"):
        get, head = client.get(path), client.head(path)
        assert head.status_code == get.status_code == 200
        assert head.content == b""
        assert head.headers["content-type"] == get.headers["content-type"]
        assert int(head.headers["content-length"]) > 0


def test_a_connection_is_kept(daemon):
    with socket.create_connection(("127.0.0.1", int(
            daemon.query_url.rsplit(":", 1)[1])), timeout=10) as sock:
        for _ in range(3):
            sock.sendall(b"GET /events?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            head = sock.recv(65536)
            assert head.startswith(b"HTTP/1.1 200")
            assert b"connection: close" not in head.lower()


def test_readiness_says_which_is_away(daemon, client):
    wait_until(lambda: client.get("/readyz/query").status_code == 200, 10,
               "/readyz/query")
    ok = {"Millrace-Ingest": "ok"}
    assert client.get("/readyz", headers=ok).json() == {
        "status": "ok", "ingest": "ok", "query": "ok"}
    details = problem(client.get("/readyz", headers={
        "Millrace-Ingest": "no broker answers"}), 503)
    assert details["ingest"] == "away" and details["query"] == "ok"
    assert "no broker answers" in details["detail"]
    assert problem(client.get("/readyz"), 503)["ingest"] == "away"

    daemon.stop("mongod")
    wait_until(lambda: client.get("/readyz/query").status_code == 503, 10,
               "/readyz/query without mongod")
    details = problem(client.get("/readyz", headers=ok), 503)
    assert details["query"] == "away" and details["ingest"] == "ok"
    assert str(daemon.ports["mongod"]) not in details["detail"]
    assert client.get("/healthz").status_code == 200

    daemon.start("mongod")
    wait_until(lambda: client.get("/readyz/query").status_code == 200, 20,
               "/readyz/query")


# What must not hang.


def test_without_mongodb_a_query_ends_in_time(daemon, client, stored):
    restart(daemon, timeout="1s")
    daemon.stop("mongod")
    try:
        for path in ("/events", "/stats"):
            start = time.monotonic()
            answer = client.get(path)
            problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
            assert time.monotonic() - start < 3
    finally:
        daemon.start("mongod")
        restart(daemon)
    wait_until(lambda: client.get("/events?limit=1").status_code == 200, 20,
               "events after mongod came back")


def test_a_stopped_mongodb_costs_no_client_more_than_the_deadline(
        daemon, client, stored):
    restart(daemon, timeout="1s", threads="2", queue="4")
    assert client.get("/events?limit=1").status_code == 200
    pid = daemon.pid("mongod")
    os.kill(pid, signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            start = time.monotonic()
            answers = list(pool.map(
                lambda _: httpx.get(daemon.query_url + "/events",
                                    timeout=30), range(12)))
            assert time.monotonic() - start < 5
        for answer in answers:
            problem(answer, 503)
            assert "retry-after" in answer.headers
        # 2 were asked, 4 could wait.
        assert sum("too many" in a.text for a in answers) >= 6
        assert client.get("/healthz").status_code == 200
    finally:
        os.kill(pid, signal.SIGCONT)
        restart(daemon)
    wait_until(lambda: client.get("/events?limit=1").status_code == 200, 20,
               "events after mongod goes on")


def test_who_comes_while_it_stops_is_told_so(daemon, stored):
    """On a kept connection, while MongoDB holds a query up."""

    restart(daemon, timeout="3s", threads="1")
    os.kill(daemon.pid("mongod"), signal.SIGSTOP)
    try:
        with (httpx.Client(base_url=daemon.query_url, timeout=30) as kept,
              concurrent.futures.ThreadPoolExecutor(3) as pool):
            assert kept.get("/healthz").status_code == 200
            held = [pool.submit(httpx.get, daemon.query_url + "/events",
                                timeout=30) for _ in range(2)]
            wait_until(lambda: metric(daemon, "millrace_query_waiting") == 1,
                       2, "one that is asked and one that waits")
            stopped = pool.submit(daemon.stop, "query")
            # The watchdog's answers: from here on nothing is taken.
            for answer in held:
                details = problem(answer.result(), 503)
                assert "is being stopped" in details["detail"]
            answer = kept.get("/events")
            assert "is being stopped" in problem(answer, 503)["detail"]
            stopped.result()
    finally:
        os.kill(daemon.pid("mongod"), signal.SIGCONT)
        restart(daemon)


def metric(stack, name):
    text = httpx.get(
        f"http://127.0.0.1:{stack.ports['query_metrics']}/metrics").text
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith(name))


def test_a_client_that_leaves_ends_its_query(daemon, client, stored):
    """One thread, and many who ask for much and do not wait."""

    restart(daemon, threads="1")
    try:
        port = int(daemon.query_url.rsplit(":", 1)[1])
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(b"GET /events?limit=1000&order=asc HTTP/1.1\r\n"
                             b"Host: x\r\n\r\n")
        assert client.get("/events?limit=1").status_code == 200
        assert metric(daemon, "millrace_query_cancelled_total") > 0
    finally:
        restart(daemon)


def test_many_at_once(stored, client):
    want = [e["metadata"] for e in model(stored, "desc")][:50]

    def ask(_):
        answer = client.get("/events?limit=50")
        return [e["metadata"] for e in answer.json()["events"]]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for found in pool.map(ask, range(200)):
            assert found == want
