"""
nginx's cache of GET /stats: a hit is a hit, a question in other words is the
same question, and no answer is given for longer than it says itself.
"""

import concurrent.futures
import contextlib
import http.client
import os
import random
import re
import signal
import socket
import time
import urllib.request

import httpx
import pytest

from harness import storage
from harness.answers import problem
from harness.pipeline import Pipeline
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
HOUR = 1_700_000_000 // 3600 * 3600


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    stack = Pipeline(tmp_path_factory.mktemp("cache"), build=BUILD)
    stack.environment = {"ASAN_OPTIONS": "fast_unwind_on_malloc=0"}
    try:
        stack.start("mongod", "query", "nginx")
        storage.create(stack.database)
        rng = random.Random(3)
        storage.insert_windows(stack.database, [{
            "event_id": str(i), "user_id": f"u{rng.randrange(20)}",
            "event_type": rng.choice(("view", "buy")),
            "timestamp": 1000 * (HOUR + rng.randrange(7200)),
            "metadata": {"value": i},
        } for i in range(200)])
        stack.database.state.insert_one({
            "_id": "merge", "as_of": storage.date(1000 * int(time.time())),
            "partitions": []})
        yield stack
        assert stack.deaths() == []
        stack.stop()
        assert stack.problems() == []
    finally:
        stack.close()


@pytest.fixture
def client(stack):
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        yield client


def questions(stack):
    """How many GET /stats the daemon has answered."""

    with urllib.request.urlopen(f"http://127.0.0.1:"
                                f"{stack.ports['query_metrics']}/metrics") as a:
        return sum(float(n) for n in re.findall(
            r'^millrace_query_requests_total\{path="/stats",[^}]*\} (\S+)$',
            a.read().decode(), re.M))


def ask(client, query, **headers):
    answer = client.get("/stats?" + query, headers=headers)
    return answer.headers.get("x-cache-status"), answer


def closed(number, interval="1h"):
    """A range that is over for long, and that no other test asks for."""

    return (f"time_interval={interval}&from={HOUR - 3600 * number}"
            f"&to={HOUR + 7200}")


def test_a_hit_is_a_hit(stack, client):
    query = closed(1)
    before = questions(stack)
    status, first = ask(client, query)
    assert status == "MISS" and first.status_code == 200
    age = int(re.search(r"max-age=(\d+)",
                        first.headers["cache-control"]).group(1))
    assert 0 < age <= 60
    for _ in range(5):
        status, again = ask(client, query)
        assert status == "HIT" and again.content == first.content
        assert again.headers["etag"] == first.headers["etag"]
    head = client.head("/stats?" + query)
    assert head.headers["x-cache-status"] == "HIT"
    assert int(head.headers["content-length"]) == len(first.content)
    for tag in (first.headers["etag"], "*", '"x", ' + first.headers["etag"]):
        status, same = ask(client, query, **{"If-None-Match": tag})
        assert same.status_code == 304 and same.content == b""
        assert status == "HIT" and same.headers["etag"] == first.headers["etag"]
    assert ask(client, query, **{"If-None-Match": '"x"'})[1].status_code == 200
    assert questions(stack) == before + 1

    # A reload asks, and what it learns is kept.
    status, _ = ask(client, query, **{"Cache-Control": "no-cache"})
    assert status == "BYPASS" and questions(stack) == before + 2
    assert ask(client, query)[0] == "HIT"


def test_the_same_question_in_other_words(stack, client):
    hours = f"from={HOUR - 3600 * 2}", f"to={HOUR + 7200}"
    words = [*hours, "time_interval=1h", "event_type=view", "measure=value"]
    assert ask(client, "&".join(words))[0] == "MISS"
    assert ask(client, "&".join(reversed(words)))[0] == "HIT"
    # Another question each.
    for query in ("&".join(words[:4]), "&".join(words[:3]),
                  "&".join(words + ["event_type=buy"]),
                  "&".join(words + ["group_by=event_type"])):
        status, answer = ask(client, query)
        assert status == "MISS" and answer.status_code == 200, query
        assert ask(client, query)[0] == "HIT"


@pytest.mark.parametrize("more", [
    "&x=1", "&from=1", "&measure=", "&to", "&measure=no", "&", "&&x",
    "&event_type=", "&group_by=user_id", "&FROM=1"])
def test_a_bad_question_is_never_answered_from_the_cache(client, more):
    query = closed(3)
    assert ask(client, query)[1].status_code == 200
    status, answer = ask(client, query + more)
    if more == "&":  # as good as without
        assert answer.status_code in (200, 400)
    else:
        problem(answer, 400)
    for _ in range(2):
        assert ask(client, query + more)[0] != "HIT" or more == "&"


def test_no_question_has_the_key_of_another(client):
    """Whatever nginx makes of a question's parameters to know it again."""

    parameters = httpx.QueryParams(closed(7))
    key = "&".join(f"{name}={parameters.get(name, '')}" for name in (
        "event_type", "group_by", "time_interval", "from", "to", "measure"))
    problem(ask(client, key)[1], 400)
    assert ask(client, closed(7))[1].status_code == 200
    status, answer = ask(client, key)
    assert status != "HIT"
    problem(answer, 400)


def test_many_at_once_are_one_question(stack, client):
    before = questions(stack)
    stack.signal("mongod", signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = [pool.submit(ask, client, closed(4)) for _ in range(16)]
            wait_until(lambda: not any(a.done() for a in answers), 1, "all")
            stack.signal("mongod", signal.SIGCONT)
            statuses = [a.result()[0] for a in answers]
    finally:
        stack.signal("mongod", signal.SIGCONT)
    assert sorted(statuses) == ["HIT"] * 15 + ["MISS"]
    assert questions(stack) == before + 1


def burst(query, stack, number=30):
    """So many ask the same at once: their answers, and the seconds it took."""

    with contextlib.ExitStack() as sockets:
        asking = [sockets.enter_context(socket.create_connection(
            ("127.0.0.1", stack.ports["nginx"]), timeout=60))
            for _ in range(number)]
        begun = time.monotonic()
        for sock in asking:
            sock.sendall(f"GET /stats?{query} HTTP/1.1\r\nHost: x\r\n"
                         "Connection: close\r\n\r\n".encode())
        answers = []
        for sock in asking:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            answers.append(httpx.Response(
                answer.status, headers=answer.getheaders(),
                content=answer.read()))
        return answers, time.monotonic() - begun


def test_many_refused_at_once_do_not_wait_for_each_other(stack):
    """In turn, two a second, the last of 30 would wait for 15 s."""

    before = questions(stack)
    answers, took = burst("time_interval=7m", stack)
    for answer in answers:
        problem(answer, 400)
        assert answer.headers["cache-control"] == "no-store"
        assert "x-accel-expires" not in answer.headers
    assert questions(stack) - before <= 5 and took < 5, took

    # The daemon may be away.
    stack.stop("query")
    try:
        answers, took = burst(closed(8), stack)
        for answer in answers:
            problem(answer, 503)
            assert answer.headers["cache-control"] == "no-store"
        assert took < 5, took
    finally:
        stack.start("query")


@pytest.mark.slow
def test_many_who_wait_in_vain_wait_no_longer_than_one(stack):
    """MongoDB does not answer: 10 s for the first are 10 s for all."""

    stack.signal("mongod", signal.SIGSTOP)
    try:
        answers, took = burst(closed(9), stack)
    finally:
        stack.signal("mongod", signal.SIGCONT)
    for answer in answers:
        problem(answer, 503)
    assert took < 15, took
    wait_until(lambda: httpx.get(f"{stack.url}/stats?{closed(9)}").status_code
               == 200, 30, "an answer")


def change(stack, count):
    stack.database.windows.update_one(
        {"_id.width": 86400, "_id.event_type": "", "_id.start":
         storage.date(HOUR // 86400 * 86400 * 1000)},
        {"$set": {"count": count}})


def test_what_is_old_is_asked_for_again(stack, client):
    """An open range: it may be a second old, and stale for one more."""

    now = int(time.time())
    query = f"time_interval=1d&from={HOUR}&to={now + 7200}"
    for count in (1001, 1002, 1003):
        change(stack, count)
        changed = time.monotonic()
        seen = []
        while True:
            asked = time.monotonic()
            status, answer = ask(client, query)
            seen.append((round(asked - changed, 2), status))
            if answer.json()["series"][0]["count"] == count:
                break
            # Whole seconds, so that two may be nearly three.
            assert asked - changed < 3.5, seen
            time.sleep(0.02)
    assert {status for _, status in seen} & {"HIT", "STALE", "UPDATING"}


def test_nothing_is_given_beyond_its_time(stack, client):
    """However long nobody asked: the first one after that gets the new one."""

    query = f"time_interval=1d&from={HOUR}&to={int(time.time()) + 90000}"
    change(stack, 2001)
    assert ask(client, query)[1].json()["series"][0]["count"] == 2001
    change(stack, 2002)
    # Its second, and the one in which it may be stale, are over.
    end = time.monotonic() + 3.5
    wait_until(lambda: time.monotonic() > end, 5, "time to pass")
    status, answer = ask(client, query)
    assert status in ("EXPIRED", "MISS"), status
    assert answer.json()["series"][0]["count"] == 2002


def test_an_answer_that_did_not_change_is_not_transferred(stack, client):
    """To a client that has it; to nginx it is, as as_of goes on."""

    query = f"time_interval=1d&from={HOUR}&to={HOUR + 86400}"
    status, first = ask(client, query)
    assert status == "MISS"
    tag = {"If-None-Match": first.headers["etag"]}
    age = int(re.search(r"max-age=(\d+)",
                        first.headers["cache-control"]).group(1))
    as_of = first.json()["as_of"] + 7
    stack.database.state.update_one(
        {"_id": "merge"}, {"$set": {"as_of": storage.date(1000 * as_of)}})
    seen = []

    def renewed():
        status, answer = ask(client, query, **tag)
        assert answer.status_code == 304 and answer.content == b""
        seen.append(status)
        return ask(client, query)[1].json()["as_of"] == as_of

    wait_until(renewed, age + 5, lambda: seen, interval=0.5)
    _, answer = ask(client, query)
    assert answer.headers["etag"] == first.headers["etag"]


def test_the_daemon_is_away(stack, client):
    query = closed(5)
    assert ask(client, query)[0] == "MISS"
    stack.stop("query")
    try:
        assert ask(client, query)[0] == "HIT"  # it is still good
        assert problem(ask(client, closed(6))[1], 503)["query"] == "away"
    finally:
        stack.start("query")
    wait_until(lambda: ask(client, closed(6))[1].status_code == 200, 10,
               "an answer")
