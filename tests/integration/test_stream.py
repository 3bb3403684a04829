"""
GET /stats/stream on a real Kafka, through nginx and without: what is written
to `event-stats` reaches every listener that wants it, once and in order.
"""

import itertools
import json
import os
import re
import selectors
import signal
import time
import urllib.request

import confluent_kafka
import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from harness.answers import problem
from harness.events import Listener
from harness.pipeline import Pipeline
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")
MINUTE = 1_795_416_180
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    stack = Pipeline(tmp_path_factory.mktemp("stream"), build=BUILD, options={
        "query": {"stream_memory": "1m", "stream_listeners": "1000"},
        "measures": {"value": "/metadata/value", "price": "/metadata/price"},
    })
    stack.environment = {"ASAN_OPTIONS": "fast_unwind_on_malloc=0"}
    try:
        stack.start("kafka", "mongod", "setup", "query", "nginx")
        yield stack
        problems = stack.finish()
        assert not problems, "\n".join(problems)
    finally:
        stack.close()


@pytest.fixture
def stack(servers):
    """The servers, with the stream at its topic's end."""

    servers.start("kafka", "mongod", "query", "nginx")
    wait_until(lambda: httpx.head(servers.query_url + "/stats/stream")
               .status_code == 200, 30, "a stream that is ready")
    yield servers
    deaths = servers.deaths()
    assert not deaths, "\n".join(deaths)


@pytest.fixture
def publish(stack):
    """A function that writes windows to the topic and waits for the acks."""

    producer = confluent_kafka.Producer({
        "bootstrap.servers": stack.brokers, "linger.ms": 5, "log_level": 0})

    def publish(*values, **where):
        if where:  # it need not know of that partition yet
            producer.list_topics(stack.stats_topic, timeout=10)
        for value in values:
            if isinstance(value, dict):
                value = json.dumps(value)
            producer.produce(stack.stats_topic, value, key="k", **where)
            producer.poll(0)
        assert producer.flush(20) == 0

    return publish


def window(event_type, count=1, width="1m", **more):
    return {"schema": 1, "event_type": event_type, "width": width,
            "start": MINUTE, "end": MINUTE + 60, "count": count,
            "rate": count / 60, "measures": {}, **more}


def metric(stack, name, port="query_metrics"):
    with urllib.request.urlopen(
            f"http://127.0.0.1:{stack.ports[port]}/metrics") as answer:
        text = answer.read().decode()
    return float(re.search(rf"^millrace_query_{name} (\S+)$", text,
                           re.M).group(1))


@pytest.mark.parametrize("through", ["query_url", "url"])
def test_a_window_comes_as_it_was_published(stack, publish, name, through):
    sent = window(name, 7, measures={"value": {"count": 2, "sum": 0.3}},
                  sketches={"users": "AAA}]\"=", "measures": {"value": "x"}})
    with Listener(getattr(stack, through), f"?event_type={name}") as listener:
        assert listener.status == 200
        assert listener.headers["content-type"] == "text/event-stream"
        assert listener.headers["cache-control"] == "no-store"
        listener.until(lambda l: l.last)  # a position before any window
        first = listener.last
        publish(sent)
        listener.until(lambda l: l.events, 5)
        [event] = listener.events
        assert event.name == "window"
        assert event.window == {k: v for k, v in sent.items()
                                if k != "sketches"}
        assert event.id != first
        publish(window(name, 8))
        listener.until(lambda l: len(l.events) == 2, 5)
    # Only nginx is told not to buffer, and keeps that to itself.
    with Listener(stack.query_url) as listener:
        assert listener.headers["x-accel-buffering"] == "no"


def test_filters(stack, publish, name):
    a, b, c = name + "a", name + "b", name + "ü|"
    all_of_it = [
        window(a, 1, "1s"), window(a, 2, "1m"), window(b, 3, "1h"),
        window(c, 4, "1m", measures={"value": {"count": 1}}),
        window(b, 5, "1m", measures={"price": {"count": 1}}),
        window(a, 6, "1h", measures={"price": {}, "value": {}}),
        window(name + "end", 7, "1m", measures={"value": {}, "price": {}}),
    ]
    mine = "".join(f"event_type={name}{t}&" for t in ("a", "b", "end"))
    cases = {
        "": [1, 2, 3, 4, 5, 6, 7],
        f"?event_type={a}": [1, 2, 6],
        f"?event_type={name}%C3%BC%7C&event_type={b}": [3, 4, 5],
        f"?{mine}time_interval=1m": [2, 5, 7],
        f"?{mine}time_interval=1s": [1],
        f"?{mine}time_interval=1h": [3, 6],
        "?measure=price": [5, 6, 7],
        "?measure=value&time_interval=1m": [4, 7],
        f"?event_type={name}": [],
    }
    listeners = {query: Listener(stack.query_url, query) for query in cases}
    everything = listeners[""]
    publish(*all_of_it)
    everything.until(lambda l: len(l.events) == 7)
    for query, counts in cases.items():
        listener = listeners[query]
        if counts:
            listener.until(lambda l: len(l.events) >= len(counts))
        listener.read(0.2)
        assert listener.counts() == counts, query
        listener.close()


@pytest.mark.parametrize("query, parameter, text", [
    ("?time_interval=5m", "time_interval", "1s, 1m or 1h"),
    ("?time_interval=1d", "time_interval", "1s, 1m or 1h"),
    ("?time_interval=", "time_interval", "1s, 1m or 1h"),
    ("?time_interval=1m&time_interval=1s", "time_interval", "once"),
    ("?measure=nothing", "measure", "price, value"),
    ("?event_type=", "event_type", "1 to 128 bytes"),
    ("?event_type=a%00", "event_type", "control"),
    ("?event_type=" + "x" * 129, "event_type", "128"),
    ("?event_type=%ff", "event_type", "UTF-8"),
    ("?from=0", None, "from"),
    ("?group_by=event_type", None, "group_by"),
    ("?x=%zz", None, "x"),
])
def test_bad_parameters(stack, query, parameter, text):
    for url in (stack.url, stack.query_url):
        detail = problem(httpx.get(url + "/stats/stream" + query), 400)
        assert detail.get("parameter") == parameter
        assert text in detail["detail"]


def test_methods(stack):
    for url in (stack.url, stack.query_url):
        assert httpx.head(url + "/stats/stream").status_code == 200
        answer = httpx.post(url + "/stats/stream", content="x")
        problem(answer, 405)
        assert answer.headers["allow"] == "GET, HEAD"


def await_stream(stack):
    """A daemon that has just started refuses until Kafka gave a position."""

    def taken():
        with Listener(stack.query_url) as listener:
            return listener.status == 200

    wait_until(taken, 20, "the stream being served")


@pytest.mark.parametrize("restart", [False, True])
def test_a_client_that_comes_back_misses_nothing(stack, publish, name, restart):
    with Listener(stack.query_url, f"?event_type={name}") as listener:
        publish(*(window(name, i) for i in range(3)))
        listener.until(lambda l: len(l.events) == 3)
        ids = [e.id for e in listener.events]
    publish("not JSON", "{}", "[1]", "", window(name, 3), window(name + "x"),
            window(name, 4))
    if restart:
        stack.stop("query")
        stack.start("query")
        await_stream(stack)
    for i, id in enumerate(ids):
        for url in (stack.url, stack.query_url):
            with Listener(url, f"?event_type={name}", last=id) as listener:
                listener.until(lambda l: len(l.events) == 4 - i)
                assert listener.counts() == list(range(i + 1, 5))
                if i == 2 and url == stack.query_url:
                    publish(window(name, 5))
                    listener.until(lambda l: l.counts()[-1] == 5)
                    assert listener.counts() == [3, 4, 5]
                    publish_last = listener.last
    # Nothing is missing behind the newest one either.
    with Listener(stack.query_url, f"?event_type={name}",
                  last=publish_last) as listener:
        listener.read(0.3)
        assert listener.events == []
        publish(window(name, 6))
        listener.until(lambda l: l.counts() == [6])


def test_a_position_that_is_not_here_is_reset(stack, publish, name):
    publish(window(name, 1))
    with Listener(stack.query_url) as listener:
        now = listener.until(lambda l: l.last).last
    offset, when = map(int, now.split(":"))
    # The text of what was there is larger than the ring.
    read = metric(stack, "stream_windows_total")
    publish(*(window(name, i, padding="x" * 20000) for i in range(70)))
    wait_until(lambda: metric(stack, "stream_windows_total") >= read + 70, 20,
               "windows read")
    new = f"?event_type={name}new"
    for last in (now, "0:0", "", "x", f"{offset + 10**6}:{when}",
                 f"{offset + 70}:{when - 1}", f"{offset + 70}:{when},0:0",
                 "9" * 30 + ":1", f"{offset + 70}", f"{offset}:{when}x",
                 "-5:-5", "1:1 "):
        with Listener(stack.query_url, new, last=last) as listener:
            listener.until(lambda l: l.events)
            assert listener.events[0].name == "reset", last
            assert "recent" in listener.events[0].window["reason"]
            count = numbers.__next__()
            publish(window(name + "new", count))
            listener.until(lambda l: len(l.events) == 2)
            assert listener.counts() == [count]
            assert len(listener.events) == 2


def test_a_slow_listener_is_dropped_and_the_others_are_not(
        stack, publish, name):
    query = f"?event_type={name}"
    dropped = metric(stack, "stream_dropped_total")
    with Listener(stack.query_url, query, receive=4096) as slow, \
            Listener(stack.query_url, query) as fast, \
            Listener(stack.query_url, "?event_type=other", receive=4096) as idle:
        n = 0
        # More than the sockets' buffers and the ring hold together.
        while n * 20000 < 3_000_000:
            publish(*(window(name, n + i, padding="x" * 20000)
                      for i in range(20)))
            n += 20
            fast.until(lambda l: len(l.events) == n, 60)
        assert fast.counts() == list(range(n))
        while slow.read(5):
            pass
        assert slow.ended
        assert slow.events[-1].name == "dropped"
        assert "faster" in slow.events[-1].window["reason"]
        # What it got until then is whole and without a gap.
        got = [e.window["count"] for e in slow.events[:-1]]
        assert got == list(range(len(got))) and 0 < len(got) < n
        assert metric(stack, "stream_dropped_total") == dropped + 1

        publish(window(name, n), window("other", 1))
        fast.until(lambda l: l.counts()[-1] == n)
        idle.until(lambda l: l.counts() == [1])  # it never fell behind

        with Listener(stack.query_url, query, last=slow.last) as back:
            back.until(lambda l: l.events)
            assert back.events[0].name == "reset"


def create_anew(stack, partitions):
    """The topic, empty."""

    admin = AdminClient({"bootstrap.servers": stack.brokers})
    admin.delete_topics([stack.stats_topic])[stack.stats_topic].result()
    wait_until(lambda: stack.stats_topic not in
               admin.list_topics(timeout=5).topics, 20, "no topic")

    def created():
        admin.create_topics([NewTopic(stack.stats_topic, partitions, 1)])[
            stack.stats_topic].result()
        return True

    wait_until(created, 20, "the topic again")


@pytest.mark.parametrize("how", ["a record", "a transaction"])
def test_all_that_is_there_is_read_first(stack, publish, name, how):
    """Or the position of the only record would be unknown, and reset."""

    stack.stop("query")
    create_anew(stack, 1)
    stack.start("query")
    await_stream(stack)
    with Listener(stack.query_url) as listener:
        if how == "a record":
            publish(window(name, 1))
        else:
            producer = confluent_kafka.Producer({
                "bootstrap.servers": stack.brokers, "transactional.id": name,
                "log_level": 0})
            producer.init_transactions(20)
            producer.begin_transaction()
            producer.produce(stack.stats_topic, json.dumps(window(name, 1)))
            producer.commit_transaction(20)
        last = listener.until(lambda l: l.events).last

    stack.stop("query")
    stack.start("query", wait=False)
    begun = time.monotonic()
    while True:
        try:
            listener = Listener(stack.query_url, last=last)
        except ConnectionRefusedError:
            continue
        with listener:
            if listener.status == 200:
                # Not by the silence after which it would be ready anyway.
                took = time.monotonic() - begun
                assert took < 2.5 or BUILD.endswith(("asan", "tsan"))
                print(f"ready after {took:.2f} s")
                publish(window(name, 2))
                listener.until(lambda l: l.events)
                assert listener.counts() == [2]
                break
        assert listener.status == 503 and time.monotonic() - begun < 20


def test_a_topic_that_was_created_anew(stack, publish, name):
    with Listener(stack.query_url) as listener:
        publish(window(name, 1))
        listener.until(lambda l: l.events)
        create_anew(stack, 2)
        listener.until(lambda l: l.events[-1].name == "reset", 60)
        publish(window(name, 2))
        listener.until(lambda l: l.counts()[-1] == 2, 30)
        # Two partitions now: positions of both.
        assert listener.last.count(",") == 1
        publish(*(window(name, i) for i in range(3, 20)))
        listener.until(lambda l: len(l.windows()) == 19)
        last = [e for e in listener.events if e.name == "window"][-9].id
    with Listener(stack.query_url, last=last) as listener:
        listener.until(lambda l: len(l.events) == 8)
        assert [e.name for e in listener.events] == ["window"] * 8


@pytest.fixture
def add_partitions(stack):
    """
    How many there are to be then: one at first, in an empty topic, and the
    daemon counts them every second.
    """

    def add(n):
        admin = AdminClient({"bootstrap.servers": stack.brokers})
        admin.create_partitions([NewPartitions(stack.stats_topic, n)])[
            stack.stats_topic].result()

    create_anew(stack, 1)
    stack.options["kafka"] = {"topic.metadata.refresh.interval.ms": "1000"}
    stack.restart("query")
    try:
        await_stream(stack)
        yield add
    finally:
        del stack.options["kafka"]
        stack.restart("query")


def test_partitions_that_are_added_are_read(stack, publish, name,
                                            add_partitions):
    """Once it is noticed, in a minute or as often as is asked for."""

    with Listener(stack.query_url) as listener:
        publish(window(name, 1))
        listener.until(lambda l: l.counts() == [1])
        add_partitions(3)
        listener.until(lambda l: "reset" in [e.name for e in l.events], 10)
        for partition in range(3):
            publish(window(name, 2 + partition), partition=partition)
            listener.until(
                lambda l: l.counts()[-1] == 2 + partition, 10)
        assert [e.name for e in listener.events].count("reset") == 1
        assert listener.last.count(",") == 2


def test_a_reset_goes_on_from_there(stack, publish, name, add_partitions):
    """What there was before is not sent again, nor is anybody dropped for it:
    here it is more than the ring holds."""

    with Listener(stack.query_url) as listener:
        for n in range(0, 100, 10):
            publish(*(window(name, n + i, padding="x" * 20000)
                      for i in range(10)))
            listener.until(lambda l: len(l.events) == n + 10, 60)
        add_partitions(2)
        listener.until(lambda l: len(l.events) > 100, 20)
        assert listener.events[100].name == "reset"
        publish(window(name, 100))
        listener.until(lambda l: l.counts()[-1:] == [100], 20)
        assert listener.counts() == list(range(101))
        assert listener.last.count(",") == 1


@pytest.mark.slow
def test_while_kafka_is_away(stack, publish, name):
    with Listener(stack.url, f"?event_type={name}") as listener:
        publish(window(name, 1))
        listener.until(lambda l: l.events)
        stack.kill("kafka")
        with Listener(stack.query_url, last=listener.last) as other:
            assert other.status == 200

        # A daemon that was never told a position has none to give.
        stack.stop("query")
        stack.start("query")
        answer = httpx.get(stack.url + "/stats/stream")
        assert "Kafka" in problem(answer, 503)["detail"]
        assert int(answer.headers["retry-after"]) > 0
        last = listener.last
        stack.start("kafka")
        wait_until(lambda: httpx.head(stack.url + "/stats/stream")
                   .status_code == 200, 30, "a stream that is ready")

    with Listener(stack.url, f"?event_type={name}", last=last) as listener:
        stack.kill("kafka")
        stack.start("kafka")
        publish(window(name, 2))
        listener.until(lambda l: l.counts() == [2], 60)


def usage(stack):
    """(seconds of CPU, bytes resident) of the query daemon."""

    pid = stack.pid("query")
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{pid}/status") as f:
        resident = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024
    return ((int(fields[11]) + int(fields[12]))
            / os.sysconf("SC_CLK_TCK"), resident)


def test_a_thousand_listeners(stack, publish, name):
    """As many as may be, and one too many; then they all leave."""

    wait_until(lambda: metric(stack, "stream_listeners") == 0, 20, "none")
    before = usage(stack)
    listeners = [Listener(stack.query_url, f"?event_type={name}", receive=8192)
                 for _ in range(1000)]
    opened = usage(stack)
    detail = problem(httpx.get(stack.url + "/stats/stream"), 503)
    assert "stream_listeners" in detail["detail"]

    selector = selectors.DefaultSelector()
    for listener in listeners:
        selector.register(listener.socket, selectors.EVENT_READ, listener)
    started = time.monotonic()
    for first in range(0, 50, 5):
        publish(*(window(name, i, padding="x" * 300)
                  for i in range(first, first + 5)))
        deadline = time.monotonic() + 60
        while any(len(l.events) < first + 5 for l in listeners):
            assert time.monotonic() < deadline
            for key, _ in selector.select(1):
                assert key.data.read(0)
    seconds = time.monotonic() - started
    after = usage(stack)
    for listener in listeners:
        assert listener.counts() == list(range(50))
        assert len({e.id for e in listener.events}) == 50
    print(f"1,000 listeners: {(opened[1] - before[1]) / 1000 / 1024:.1f} KiB "
          f"each; 50,000 messages in {seconds:.1f} s, "
          f"{(after[0] - opened[0]) / 50_000 * 1e6:.1f} us of CPU each")
    # By how the kernel backs libmicrohttpd's buffers it is 78 to 124 KiB each.
    assert opened[1] - before[1] < 1000 * 144 * 1024 \
        or BUILD.endswith(("asan", "tsan"))

    # Nobody tells the daemon: it has to look at the sockets.
    for listener in listeners:
        listener.close()
    wait_until(lambda: metric(stack, "stream_listeners") == 0, 20,
               lambda: metric(stack, "stream_listeners"))
    assert httpx.head(stack.url + "/stats/stream").status_code == 200


def test_a_client_that_leaves_through_nginx_is_noticed(stack):
    wait_until(lambda: metric(stack, "stream_listeners") == 0, 20, "none")
    with Listener(stack.url):
        assert metric(stack, "stream_listeners") == 1
    wait_until(lambda: metric(stack, "stream_listeners") == 0, 20, "none")


@pytest.mark.slow
def test_a_comment_comes_when_nothing_else_does(stack, publish, name):
    with Listener(stack.url, "?event_type=nothing") as listener:
        listener.until(lambda l: l.last)
        first, comments = listener.last, len(listener.comments)
        publish(window(name))  # not for this listener, but it moves on
        started = time.monotonic()
        listener.until(lambda l: len(l.comments) > comments, 20)
        assert 5 < time.monotonic() - started < 16.5
        listener.until(lambda l: l.last != first, 1)
        last = listener.last
    with Listener(stack.query_url, last=last) as listener:
        listener.read(0.3)
        assert listener.events == []


@pytest.mark.parametrize("how", ["stop", "reload"])
def test_nginx_does_not_wait_for_listeners(stack, publish, name, how):
    """It would, for ever; those of a reload come back to new workers."""

    changes = stack.nginx_changes
    stack.nginx_changes = {"worker_shutdown_timeout 12s":
                           "worker_shutdown_timeout 1s"}
    stack.restart("nginx")
    try:
        with Listener(stack.url) as listener:
            publish(window(name))
            listener.until(lambda l: l.events)
            if how == "stop":
                assert stack.stop("nginx") == {"nginx": 0}, "not by SIGKILL"
            else:
                stack.signal("nginx", signal.SIGHUP)
            deadline = time.monotonic() + 10
            while listener.read(1):
                assert time.monotonic() < deadline
        if how == "reload":
            with Listener(stack.url, last=listener.last) as again:
                publish(window(name, 2))
                again.until(lambda l: l.events)
                assert again.counts() == [2]
    finally:
        stack.nginx_changes = changes
        stack.restart("nginx")


def test_stopping_ends_the_streams(stack, publish, name):
    with Listener(stack.query_url) as one, Listener(stack.query_url) as two:
        publish(window(name))
        one.until(lambda l: l.events)
        assert set(stack.stop("query").values()) == {0}
        while one.read(1) or two.read(1):
            pass
        assert one.ended and two.ended
    stack.start("query")
