"""The module's counters over all workers, and what the access log can have."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import time

import httpx
import pytest

from harness.answers import problem
from harness.clock import Clock
from harness.ingest import (BUILD, Ingest, frozen, ingest,  # noqa: F401
                            nginx_alone)
from harness.posting import (JSON, LENIENT, NDJSON, connection, event, lines,
                             many, request)
from harness.waiting import wait_until


LOG = """
    log_format vars "vars $uri $status $millrace_status $millrace_events "
                    "$millrace_rejected $millrace_bytes $millrace_ack_time";
    access_log /var/log/nginx/access.log vars;
"""

SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\d+(?:\.\d+)?)")
LABEL = re.compile(r'(\w+)="([^"]*)",?')


def read(text):
    """Prometheus' text format: {(name, *values of labels): value}."""

    samples, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            assert len(line.split(None, 3)) == 4, line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types, line
            types[name] = kind
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            family = re.sub("_(bucket|sum|count)$", "", name)
            kind = types.get(name) or types[family]
            assert name.endswith("_total") == (kind == "counter"), line
            key = (name, *(v for _, v in LABEL.findall(labels or "")))
            assert key not in samples, line
            samples[key] = float(value)
    return samples


def metrics(own):
    response = httpx.get(own.url + "/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == \
        "text/plain; version=0.0.4; charset=utf-8"
    assert response.text.endswith("\n")
    found = read(response.text)
    return {(name.removeprefix("millrace_ingest_"), *rest): value
            for (name, *rest), value in found.items()}


def counts(own, *names):
    """Those of these families that are not 0."""

    return {key: value for key, value in metrics(own).items()
            if value and key[0] in names}


@pytest.fixture(scope="module")
def own(ingest, tmp_path_factory):
    """Counters that start from 0."""

    with nginx_alone(tmp_path_factory.mktemp("own"), BUILD, ingest,
                     LOG) as stack:
        stack.start("nginx")
        stack.await_ready()
        yield stack


def logged(own, uri):
    """The variables of the requests to `uri`, in order, without its bytes."""

    with open(own.path("access.log")) as f:
        return [line.split()[2:] for line in f
                if line.startswith(f"vars {uri} ")]


def test_the_text_is_prometheus(own):
    found = metrics(own)
    bounds = [key[1] for key in found if key[0] == "ack_seconds_bucket"]
    assert bounds[0] == "0.001" and bounds[-2:] == ["10", "+Inf"]
    assert [float(b) for b in bounds] == sorted(float(b) for b in bounds)
    assert found["workers",] == 2
    assert found["producers_created_total",] == 2
    response = httpx.head(own.url + "/metrics")
    assert response.content == b""
    assert response.headers["cache-control"] == "no-store"
    response = httpx.post(own.url + "/metrics")
    problem(response, 405)
    assert response.headers["allow"] == "GET, HEAD"


def test_every_outcome_is_counted(own):
    good, bad = json.dumps(event()).encode(), b'{"event_id":1}'
    future = json.dumps(event(timestamp=99_999_999_999)).encode()
    three = b"\n".join([good, good, good])
    two_of_five = b"\n".join([good, bad, b"{", good, future])
    cases = [
        ("/events", good, JSON, 202, "accepted", 1, 0),
        ("/events", three, NDJSON, 202, "accepted", 3, 0),
        ("/events", two_of_five, NDJSON | LENIENT, 202, "accepted", 2, 3),
        ("/events", two_of_five, NDJSON, 400, "invalid_event", 0, 3),
        ("/events", b"[", JSON, 400, "malformed", 0, 0),
        ("/small", lines(many(4)), NDJSON, 413, "too_large", 0, 0),
        ("/small", b"x" * 5000, JSON, 413, "too_large", 0, 0),
        ("/events", good, {"Content-Type": "a/b"}, 415, "unsupported", 0, 0),
        ("/missing", good, JSON, 503, "topic_missing", 0, 0),
    ]
    wait_until(lambda: "the topic is missing" in own.log_text("nginx"), 10,
               "the module knowing its topics")
    for path, body, headers, code, *_ in cases:
        # by its Content-Length alone nginx would refuse it before
        content = iter([body]) if len(body) == 5000 else body
        response = httpx.post(own.url + path, headers=headers,
                              content=content)
        assert response.status_code == code, response.text

    with connection(own) as (sock, _):
        sock.sendall(request("/slow", good)[:-1])
    wait_until(lambda: counts(own, "requests_total").get(
        ("requests_total", "aborted")), 10, "the abort")

    assert counts(own, "requests_total") == {
        ("requests_total", "accepted"): 3,
        ("requests_total", "rejected", "invalid_event"): 1,
        ("requests_total", "rejected", "malformed"): 1,
        ("requests_total", "rejected", "too_large"): 2,
        ("requests_total", "rejected", "unsupported"): 1,
        ("requests_total", "unavailable", "topic_missing"): 1,
        ("requests_total", "aborted"): 1,
    }
    # of the fourth two were good, and so were the four that were too many
    assert counts(own, "events_total") == {
        ("events_total", "accepted"): 6,
        ("events_total", "rejected", "syntax"): 2,
        ("events_total", "rejected", "format"): 2,
        ("events_total", "rejected", "policy"): 2,
        ("events_total", "refused"): 2 + 4,
    }
    read_bodies = [body for _, body, _, code, *_ in cases[:6]]
    found = metrics(own)
    assert found["body_bytes_total",] == sum(map(len, read_bodies))
    assert found["accepted_bytes_total",] == 6 * (len(good) + len("u1"))
    assert found["delivered_events_total",] == 6
    assert found["ack_seconds_count",] == 3
    assert found["ack_seconds_bucket", "+Inf"] == 3
    assert 0 < found["ack_seconds_sum",] < 10
    for name in ("delivery_errors_total", "produce_errors_total",
                 "producer_failures_total", "producer_fatal_errors_total",
                 "queue_events", "queue_bytes"):
        assert found[name,] == 0

    for path in ("/events", "/small", "/missing"):
        wanted = [case for case in cases if case[0] == path]
        wait_until(lambda: len(logged(own, path)) >= len(wanted), 10,
                   "the access log")
        for told, case in zip(logged(own, path), wanted):
            _, body, _, code, outcome, events, rejected = case
            seen = len(body) if code < 415 and len(body) < 5000 else 0
            assert told[:5] == [str(code), outcome, str(events),
                                str(rejected), str(seen)]
            assert re.fullmatch(r"\d+\.\d{3}" if code == 202 else "-",
                                told[5])


def test_what_waits_for_kafka(ingest, own):
    before = metrics(own)
    batch = lines(many(5))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with frozen(ingest):
            pending = pool.submit(httpx.post, own.url + "/events",
                                  headers=NDJSON, content=batch, timeout=30)
            wait_until(lambda: metrics(own)["queue_events",] == 5, 3,
                       "the queue")
            assert metrics(own)["queue_bytes",] > len(batch) - 5
            with connection(own) as (sock, _):
                sock.sendall(request("/events", batch, NDJSON))
                wait_until(lambda: metrics(own)["queue_events",] == 10, 3,
                           "the second")
            problem(pending.result(), 503)
    wait_until(lambda: metrics(own)["queue_events",] == 0, 20, "all reports")
    after = metrics(own)
    changed = {key: value - before[key] for key, value in after.items()
               if key[0] in ("requests_total", "events_total")
               and value != before[key]}
    assert changed == {
        ("requests_total", "unavailable", "not_acknowledged"): 1,
        ("requests_total", "aborted"): 1,
        ("events_total", "unavailable"): 5,
        ("events_total", "aborted"): 5,
    }
    assert after["queue_bytes",] == 0
    assert after["ack_seconds_count",] == before["ack_seconds_count",]
    reports = ["delivered_events_total", "delivery_errors_total"]
    assert sum(after[r,] - before[r,] for r in reports) == 10
    own.await_ready(40)


def acknowledged(own):
    """topic -> events acknowledged, by minute."""

    response = httpx.get(own.url + "/acknowledged")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    found = {}
    for topic in response.json()["topics"]:
        minutes = [m["minute"] for m in topic["minutes"]]
        assert minutes == sorted(set(minutes))
        assert all(minute % 60 == 0 for minute in minutes)
        found[topic["topic"]] = {m["minute"]: m["acknowledged"]
                                 for m in topic["minutes"]}
    return found


def test_what_kafka_acknowledged_by_minute(own):
    before = acknowledged(own)
    begun = int(time.time()) // 60 * 60
    for _ in range(7):
        assert httpx.post(own.url + "/events", headers=NDJSON,
                          content=lines(many(3))).status_code == 202
    assert httpx.post(own.url + "/events", headers=JSON,
                      content="{}").status_code == 400
    after = acknowledged(own)
    assert after.keys() == before.keys()
    new = {minute: n - before["events"].get(minute, 0)
           for minute, n in after["events"].items()}
    assert sum(new.values()) == 21
    assert sum(n for minute, n in new.items() if minute >= begun) == 21
    assert all(after[topic] == before[topic]
               for topic in after if topic != "events")
    assert httpx.head(own.url + "/acknowledged").content == b""
    problem(httpx.post(own.url + "/acknowledged"), 405)


class Clocked(Ingest):
    """nginx sees another time of day than everybody else."""

    clock = None

    def _command(self, name):
        command, extra = super()._command(name)
        return command, {**extra, **self.clock.environment}


def test_a_clock_that_was_ahead_hides_nothing(ingest, tmp_path):
    own = Clocked(tmp_path, BUILD, ports={"kafka": ingest.ports["kafka"]})
    own.nginx_template = own.nginx_template.replace(
        "worker_processes 2;", "worker_processes 1;")
    own.clock = Clock(tmp_path)

    def sends(ahead, count):
        own.clock.set(ahead)
        for _ in range(count):
            assert httpx.post(own.url + "/other", headers=JSON, json=event(),
                              timeout=30).status_code == 202

    try:
        own.start("nginx")
        own.await_ready()
        sends(0, 5)
        # As many minutes as a worker keeps, and more.
        for minute in range(70):
            sends(3600 * 2 + 60 * minute, 1)
        sends(0, 7)
        sends(60, 3)
        found = acknowledged(own)["other"]
        assert max(found) > time.time() + 7200  # the clock was ahead
        now = time.time()
        near = sum(n for minute, n in found.items() if minute <= now + 120)
        assert near >= 10, found
        assert sum(found.values()) >= 64
    finally:
        own.close()


def workers(own):
    master = own.pid("nginx")
    with open(f"/proc/{master}/task/{master}/children") as f:
        return {int(pid) for pid in f.read().split()}


@pytest.mark.parametrize("how", ["reload", "kill"])
def test_counters_outlive_the_workers(ingest, own, how):
    for _ in range(10):
        assert httpx.post(own.url + "/events", headers=JSON,
                          json=event()).status_code == 202
    families = ("requests_total", "events_total", "ack_seconds_bucket",
                "ack_seconds_sum", "body_bytes_total")
    before = counts(own, *families)
    minutes = acknowledged(own)
    old = workers(own)
    with contextlib.ExitStack() as stack:
        if how == "reload":
            own.signal("nginx", signal.SIGHUP)
        else:
            # with something reserved, which is gone with the process
            stack.enter_context(frozen(ingest))
            sock, _ = stack.enter_context(connection(own))
            sock.sendall(request("/events", lines(many(3)), NDJSON))
            wait_until(lambda: metrics(own)["queue_events",] == 3, 3,
                       "the queue")
            for pid in old:
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(workers(own) - old) == 2
                   and not workers(own) & old, 20, "new workers")
        own_now = wait_until(lambda: metrics(own), 20, "an answer")
        assert own_now["queue_events",] == 0
        assert own_now["workers",] == 2
    own.await_ready(40)
    assert counts(own, *families) == before
    assert acknowledged(own) == minutes
    assert httpx.post(own.url + "/events", headers=JSON,
                      json=event()).status_code == 202
    key = "requests_total", "accepted"
    assert metrics(own)[key] == before[key] + 1
