"""
How millrace-stats publishes when Kafka is slow or away, or its configuration
is odd: whatever is stored reaches the topic, and merging does not wait for it.
"""

import json
import os
import signal
import time

import pytest
from bson import Int64

from harness.flushes import date
from harness.pipeline import UNWINDING, servers_alone
from harness.secure import authority
from harness.sketches import hyperloglog_dense
from harness.statsdaemon import Stats
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with servers_alone(tmp_path_factory.mktemp("publish"), BUILD,
                       link=True) as stack:
        yield stack


@pytest.fixture
def make(servers):
    """A function that makes a Stats; its daemons are stopped at the end."""

    servers.environment = UNWINDING
    servers.start("kafka", "mongod")
    yield lambda **options: Stats(servers, **options)
    servers.link.rate, servers.link.delay = None, 0
    status = servers.stop("stats")
    assert set(status.values()) <= {0, None}, status


@pytest.fixture
def start(servers):
    """A function that starts the daemon with changes to its environment."""

    def start(**environment):
        servers.environment = UNWINDING | environment
        try:
            servers.start("stats")
        finally:
            servers.environment = UNWINDING

    return start


@pytest.fixture
def behind(servers):
    """The environment that leads a daemon through the link."""

    return {"MILLRACE_KAFKA_BROKERS": f"127.0.0.1:{servers.link.port}"}


@pytest.mark.slow
def test_a_slow_network_takes_what_it_can(make, servers, start, behind):
    stats = make()
    hour = time.time() // 3600 * 3600 - 7200
    stats.flushes.flush(0, [(f"type-{t}", hour, None) for t in range(400)])
    users = hyperloglog_dense(f"user-{n}" for n in range(20000))
    stats.database.partials.update_many(
        {"_id.width": 3600}, {"$set": {"sketches.users": users}})

    # 4 MB take three seconds, and one message some hundredths of one.
    servers.link.rate = 1_400_000
    start(**behind, MILLRACE_KAFKA_COMPRESSION_TYPE="none")
    stats.settle(45)

    newest = {key: json.loads(value) for key, value in stats.messages()}
    assert len(newest) == 800
    assert sum(len(m["sketches"]["users"]) for m in newest.values()
               if m["width"] == "1h") > 6_000_000


def test_answers_that_take_long(make, servers, start, behind):
    stats = make()
    servers.link.delay = 0.12
    start(**behind)
    stats.flushes.flush(0, stats.flushes.events(20, ["a", "b"]))
    stats.settle(30)
    stats.check()


def test_what_a_member_of_an_earlier_term_stores_late(make, servers, start):
    """
    Its bulk write reaches MongoDB after the next one has published all that
    was dirty, and is just what that one merges.
    """

    stats = make(lease="20s")
    start()
    now = time.time() // 60 * 60
    stats.flushes.flush(0, [("a", now, 1.0)])
    stats.settle()

    servers.signal("stats", signal.SIGSTOP)
    try:
        stats.flushes.flush(0, [("a", now, 3.0)])
        late = stats.database.windows.update_one(
            {"_id": {"width": 1, "event_type": "a", "start": date(now)}},
            {"$set": {"count": Int64(2), "revision": Int64(2),
                      "dirty": True, "measures.value": {
                          "count": Int64(2), "sum": 4.0, "min": 1.0,
                          "max": 3.0}}})
        assert late.modified_count == 1
    finally:
        servers.signal("stats", signal.SIGCONT)
    stats.settle(10)
    stats.check()
    assert stats.metric("lease_term") == 1


def test_what_a_member_of_an_earlier_term_closes_late(make, servers, start):
    """
    Its bulk write closes windows after the next one has published all that
    was dirty and before that one would have closed them: which has nothing
    more to do with them, but to publish them.
    """

    stats = make()
    start()
    now = time.time() // 60 * 60
    stats.flushes.flush(0, [("a", now, 1.0)])
    stats.settle()

    published = {"_id.event_type": "a", "_id.width": {"$lt": 86400}}
    late = stats.database.windows.update_many(published, {
        "$inc": {"revision": Int64(1)}, "$set": {"final": True, "dirty": True}})
    assert late.modified_count == 3
    wait_until(lambda: stats.database.windows.count_documents(
        {"dirty": True}) == 0, 15, "their messages")
    newest = {key: json.loads(value) for key, value in stats.messages()}
    assert [(m["revision"], m["final"]) for m in newest.values()] == [
        (2, True)] * 3
    stats.check()


def test_a_lease_of_a_clock_that_was_ahead(make, servers, start):
    """
    The server's clock was a day ahead when a member took the lease, and was
    set back after that one had died: nobody renews it, so it is over.
    """

    stats = make(lease="1s")
    stats.database.state.insert_one({
        "_id": "publisher", "owner": "gone", "term": Int64(7),
        "until": date(time.time() + 86400)})
    start()
    stats.flushes.flush(0, [("a", time.time(), 1.0)])
    stats.settle(15)
    assert stats.metric("lease_term") == 8
    stats.check()


def test_a_lease_that_is_renewed_is_not_over(make, servers, start):
    """However far ahead it ends."""

    stats = make(lease="1s")
    until = time.time() + 86400
    lease = {"owner": "there", "term": Int64(7)}
    stats.database.state.insert_one(
        {"_id": "publisher", "until": date(until)} | lease)
    start()
    for n in range(1, 17):
        time.sleep(0.35)
        found = stats.database.state.find_one_and_update(
            {"_id": "publisher"}, {"$set": {"until": date(until + n)}})
        assert {k: found[k] for k in lease} == lease
    assert stats.metric("lease_held") == 0


def test_the_metric_counts_what_kafka_does_not_have(make, servers, start):
    stats = make()
    start()
    now = time.time() // 60 * 60
    stats.flushes.flush(0, [(f"a-{n}", now, None) for n in range(40)])
    stats.settle()
    servers.stop("kafka")
    for n in range(3):
        stats.flushes.flush(n, [(f"b-{n}", now + n, None), ("c", now, None)])
    stats.flushes.flush(3, [(f"a-{n}", now, None) for n in range(20)])

    def owed():
        return stats.database.windows.count_documents({"dirty": True})

    wait_until(lambda: owed() == 72, 30, owed)
    wait_until(lambda: stats.metric("windows_dirty") == 72, 10,
               lambda: f"72 in {stats.metric('windows_dirty')}")
    servers.start("kafka")
    stats.settle()
    wait_until(lambda: stats.metric("windows_dirty") == 0, 10, "none")
    stats.check()


def test_properties_that_are_for_others(make, start):
    """What [kafka] has for the other daemons does not stop this one."""

    stats = make()
    start(MILLRACE_KAFKA_LINGER_MS="2500",
          MILLRACE_KAFKA_MESSAGE_TIMEOUT_MS="60000",
          MILLRACE_KAFKA_SOCKET_TIMEOUT_MS="60000")
    stats.flushes.flush(0, stats.flushes.events(20, ["a", "b"]))
    stats.settle(15)
    stats.check()


def test_merging_goes_on_without_a_publisher(make, servers, start, tmp_path):
    """What its configuration names was there at the start and is gone."""

    stats = make()
    stats.flushes.flush(0, stats.flushes.events(20, ["a", "b"]))
    servers.stop("mongod")
    ca = authority(tmp_path, "ca")
    start(MILLRACE_KAFKA_SECURITY_PROTOCOL="ssl",
          MILLRACE_KAFKA_SSL_CA_LOCATION=ca)
    os.remove(ca)
    servers.start("mongod")
    wait_until(lambda: stats.database.state.find_one({"_id": "merge"}), 30,
               lambda: servers.log_text("stats")[-2000:])
    assert "cannot create the publisher" in servers.log_text("stats")
    assert stats.metric("lease_held") == 1
