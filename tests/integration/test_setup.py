"""
millrace-setup on a Kafka and a mongod of its own: what it makes, what it
mends, what it refuses, and what it says of it.
"""

import contextlib
import os
import re
import subprocess
import sys

import pymongo
import pytest
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry,
                                   ConfigResource, NewTopic, ResourceType)

from harness import storage
from harness.waiting import wait_until

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../scripts"))

from stack import CACHE, REPO, Stack, free_port  # noqa: E402

BUILD = os.environ.get("MILLRACE_BUILD", "build")

COLLECTIONS = {"ledger", "blocks", "partials", "windows", "accounts", "state",
               "types"}


class Setup:
    """One stack with Kafka and mongod, and runs of millrace-setup on it."""

    def __init__(self, stack):
        self.stack = stack
        self.admin = AdminClient({"bootstrap.servers": stack.brokers})
        self.mongo = pymongo.MongoClient(stack.mongo_uri)
        self.binary = os.path.join(REPO, BUILD, "millrace-setup")

    def run(self, name, *arguments, **changes):
        """
        Run it for the topics and the database of this name; `changes` are
        environment variables without MILLRACE_.  Returns (status, said,
        complained).
        """

        env = {**os.environ, "MILLRACE_MONGODB_DATABASE": name}
        for key in ("topic", "stats_topic", "dead_topic"):
            env[f"MILLRACE_KAFKA_{key.upper()}"] = f"{name}-{key}"
        env.update({f"MILLRACE_{key}": value
                    for key, value in changes.items()})

        done = subprocess.run(
            [self.binary, "-c", self.stack.conf, *arguments], env=env,
            capture_output=True, text=True, timeout=120)

        return done.returncode, done.stdout.splitlines(), done.stderr

    def settings(self, topic):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        entries = self.admin.describe_configs([resource])[resource].result(20)
        return {name: entry.value for name, entry in entries.items()}

    def alter(self, kind, name, how, **settings):
        resource = ConfigResource(kind, name, incremental_configs=[
            ConfigEntry(key.replace("_", "."), value, incremental_operation=how)
            for key, value in settings.items()])
        self.admin.incremental_alter_configs([resource])[resource].result(20)

    def partitions(self, topic):
        topics = self.admin.list_topics(timeout=20).topics
        return len(topics[topic].partitions) if topic in topics else 0

    def ttl(self, name):
        index = self.mongo[name].blocks.index_information().get("received")
        return index and index["expireAfterSeconds"]


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("setup"), build=BUILD) as stack:
        stack.start("kafka", "mongod")
        it = Setup(stack)
        yield it
        it.mongo.close()


def test_everything_is_made_once(setup):
    status, said, complained = setup.run("once")
    assert (status, complained) == (0, "")
    assert said[-1] == "ready"

    database = setup.mongo.once
    assert set(database.list_collection_names()) == COLLECTIONS
    assert {d["_id"]: d for d in database.state.find()} == {
        "dedup": {"_id": "dedup", "window": 500000},
        "schema": {"_id": "schema", "version": 1},
        "topic": {"_id": "topic", "name": "once-topic"},
        "types": {"_id": "types", "max": 2000, "known": 0}}
    assert database.types.index_information()["number"]["unique"]
    assert database.blocks.count_documents({}) == 0

    assert [(n, i["key"]) for n, i
            in sorted(database.blocks.index_information().items())] == [
        ("_id_", [("_id", 1)]),
        ("span_tmax_tmin", [("span", 1), ("tmax", 1), ("tmin", 1)]),
        ("span_tmin_tmax", [("span", 1), ("tmin", 1), ("tmax", 1)]),
        ("types_span_tmax_tmin", [("types", 1), ("span", 1), ("tmax", 1),
                                  ("tmin", 1)]),
        ("types_span_tmin_tmax", [("types", 1), ("span", 1), ("tmin", 1),
                                  ("tmax", 1)]),
        ("who_span_tmax", [("who.u", 1), ("span", 1), ("tmax", 1),
                           ("who.t", 1)]),
        ("who_span_tmin_tmax", [("who.u", 1), ("span", 1), ("tmin", 1),
                                ("tmax", 1), ("who.t", 1)])]
    assert {n: i["partialFilterExpression"] for n, i
            in database.blocks.index_information().items()
            if "partialFilterExpression" in i} == {
        "who_span_tmin_tmax": {"span": {"$gte": 2, "$lte": 4}}}
    assert database.partials.index_information()["expire"][
        "expireAfterSeconds"] == 0
    assert database.windows.index_information()["dirty"][
        "partialFilterExpression"] == {"dirty": True}

    assert setup.partitions("once-topic") == 8
    assert setup.partitions("once-stats_topic") == 1
    assert setup.partitions("once-dead_topic") == 1

    events = setup.settings("once-topic")
    assert events["retention.ms"] == str(7 * 86400 * 1000)
    assert events["message.timestamp.type"] == "LogAppendTime"
    assert events["cleanup.policy"] == "delete"
    assert events["min.insync.replicas"] == "1"
    assert set(setup.settings("once-stats_topic")[
        "cleanup.policy"].split(",")) == {"compact", "delete"}
    assert int(setup.settings("once-dead_topic")["retention.ms"]) \
        > 90 * 86400 * 1000

    # Again: nothing is made or changed.
    status, said, complained = setup.run("once")
    assert (status, complained) == (0, "")
    assert said == ["database once: ready, schema version 1",
                    "topic once-topic: ready",
                    "topic once-stats_topic: ready",
                    "topic once-dead_topic: ready",
                    "ready"]


def multikey(database):
    """{index: {key: fields that are arrays}} of those that need to be."""

    found = {}
    for field, key in ("who", "who.u"), ("types", "types"):
        for name in [name for name in database.blocks.index_information()
                     if name.startswith(field)]:
            # Of the classes that all of these indexes have.
            plan = database.blocks.find(
                {key: "x", "span": 2}).hint(name).explain()
            stage = plan["queryPlanner"]["winningPlan"]
            while "inputStage" in stage:
                stage = stage["inputStage"]
            assert stage["indexName"] == name
            found[name] = {key: paths for key, paths
                           in stage["multiKeyPaths"].items() if paths}
    return found


MULTIKEY = {
    "who_span_tmax": {"who.u": ["who"], "who.t": ["who"]},
    "who_span_tmin_tmax": {"who.u": ["who"], "who.t": ["who"]},
    "types_span_tmax_tmin": {"types": ["types"]},
    "types_span_tmin_tmax": {"types": ["types"]}}


def test_indexes_are_multikey_before_the_first_transaction(setup):
    assert setup.run("multikey")[0] == 0
    assert multikey(setup.mongo.multikey) == MULTIKEY


@pytest.mark.parametrize("name", sorted(MULTIKEY))
def test_an_index_that_is_not_multikey_yet_becomes_it(setup, name):
    """A set-up of what is new that was killed behind the index."""

    database = setup.mongo[name]
    assert setup.run(name)[0] == 0
    index = database.blocks.index_information()[name]
    keys = index.pop("key")
    index.pop("v")
    database.blocks.drop_index(name)
    database.blocks.create_index(keys, name=name, **index)
    assert multikey(database)[name] == {}

    assert setup.run(name)[0] == 0
    assert multikey(database) == MULTIKEY
    assert database.blocks.count_documents({}) == 0

    # It is done once.
    before = setup.mongo.admin.command("serverStatus")["opcounters"]["insert"]
    assert setup.run(name)[0] == 0
    after = setup.mongo.admin.command("serverStatus")["opcounters"]["insert"]
    assert after == before


def test_all_collections_and_indexes_are_stored_small(setup):
    assert setup.run("zstd")[0] == 0

    for name in COLLECTIONS:
        stats = setup.mongo.zstd.command("collStats", name)
        made = {n: i["creationString"]
                for n, i in stats["indexDetails"].items() if n != "_id_"}
        made[""] = stats["wiredTiger"]["creationString"]
        for what, text in made.items():
            assert "block_compressor=zstd" in text, (name, what)
            assert "allocation_size=512B" in text, (name, what)
            # A page of documents is of the size that mongod gives it.
            assert ("leaf_page_max=32KB" in text) == (what == ""), (name, what)


def named(said):
    """The indexes that earlier versions have made and nobody needs."""

    return {one[1] for one in (re.fullmatch(
        r"index blocks\.(\w+): of an earlier version; drop it when no query "
        "daemon of that version runs", line) for line in said) if one}


@pytest.mark.parametrize("name, blocks, index", [
    ("older", "", ""),
    ("old", "block_compressor=zstd", "block_compressor=zstd"),
    ("wide", "block_compressor=zstd,allocation_size=512B,leaf_page_max=64KB",
     "block_compressor=zstd,allocation_size=512B"),
])
def test_what_was_made_otherwise_stays(setup, name, blocks, index):
    """
    Set up by a version that left to mongod how it is stored, by 0.1.0, or by
    one that had two blocks in a page.
    """

    def engine(text):
        return {"storageEngine": {"wiredTiger": {"configString": text}}} \
            if text else {}

    def made():
        stats = database.command("collStats", "blocks")
        return [stats["wiredTiger"]["creationString"],
                stats["indexDetails"]["users_span_tmax"]["creationString"]]

    database = setup.mongo[name]
    database.create_collection("blocks", **engine(blocks))
    database.blocks.create_index([("users", 1), ("span", 1), ("tmax", 1)],
                                 name="users_span_tmax", **engine(index))
    earlier = {"span_tmax": [("span", 1), ("tmax", 1)]}
    if name == "wide":
        earlier["types_span_tmax"] = [("types", 1), *earlier["span_tmax"]]
        for keys in ("users", "span", "tmin"), ("types", "span", "tmin"), (
                "span", "tmin"):
            earlier["_".join(keys)] = [(key, 1) for key in keys]
    for index_name, keys in earlier.items():
        database.blocks.create_index(keys, name=index_name)
    block = [{"event_id": "e", "user_id": "u", "event_type": "t", "metadata": {},
              "timestamp": 1_760_000_000_000, "offset": 0}]
    database.blocks.insert_many([
        storage.block(block, 1, 0, i, 0, form)
        for i, form in enumerate(storage.FORMS)])
    before = made()
    for text, config in zip(before, (blocks, index)):
        assert all(one in text for one in config.split(","))

    for again in range(2):
        status, said, complained = setup.run(name)
        assert (status, complained) == (0, "")
        assert "index blocks.users_span_tmax: created" not in said
        # By this one the blocks that are there are found.
        for one in "span_tmax_tmin", "who_span_tmax", "users_span_tmin_tmax":
            assert (f"index blocks.{one}: created" in said) != again
        # Those that are not needed any more are left, and named.
        assert named(said) == set(earlier)

    assert database.blocks.index_information()["users_span_tmin_tmax"][
        "partialFilterExpression"] == {"span": {"$gte": 2, "$lte": 4}}
    for layout, more in (False, set()), (True, set(storage.EARLIER_INDEXES)):
        assert database.blocks.delete_one({
            "users": {"$exists": True}, "layout": {"$exists": layout}
        }).deleted_count == 1
        assert named(setup.run(name)[1]) == {*earlier, *more}

    assert made() == before


def test_a_set_up_that_was_killed_is_finished(setup):
    """What it leaves behind when it is killed at its worst moment."""

    database = setup.mongo.killed
    assert setup.run("killed")[0] == 0
    database.state.delete_one({"_id": "schema"})
    database.blocks.insert_one({"_id": "setup", "span": -1, "types": ["a"]})

    assert setup.run("killed")[0] == 0
    assert database.blocks.count_documents({}) == 0
    assert database.state.count_documents({"_id": "schema"}) == 1

    # Also where another has finished it since.
    database.blocks.insert_one({"_id": "setup", "span": 2, "types": ["a"]})
    assert setup.run("killed")[0] == 0
    assert database.blocks.count_documents({}) == 0


def test_settings_that_differ_are_mended_and_others_kept(setup):
    setup.admin.create_topics([NewTopic(
        "mend-topic", 8, 1, config={
            "retention.ms": "1000", "segment.bytes": "1048576"})])[
                "mend-topic"].result(20)

    status, said, complained = setup.run("mend")
    assert (status, complained) == (0, "")
    assert "topic mend-topic: retention.ms changed from 1000 to 604800000" \
        in said
    assert ("topic mend-topic: message.timestamp.type changed from "
            "CreateTime to LogAppendTime") in said

    settings = setup.settings("mend-topic")
    assert settings["retention.ms"] == "604800000"
    assert settings["segment.bytes"] == "1048576"

    status, said, _ = setup.run("mend", KAFKA_RETENTION="0")
    assert status == 0
    assert setup.settings("mend-topic")["retention.ms"] == "-1"
    assert setup.settings("mend-topic")["segment.bytes"] == "1048576"


def test_a_brokers_defaults_delete_nothing(setup):
    """
    Neither by size nor by an election: not of topics that it makes, nor of
    one that somebody has made by hand.
    """

    defaults = {"log_retention_bytes": "1048576",
                "unclean_leader_election_enable": "true"}

    # Also one whose values are right only because the broker's are.
    setup.admin.create_topics([NewTopic("earlier-topic", 8, 1)])[
        "earlier-topic"].result(20)
    assert setup.run("earlier")[0] == 0

    setup.alter(ResourceType.BROKER, "1", AlterConfigOpType.SET, **defaults)
    try:
        setup.admin.create_topics([NewTopic("defaults-topic", 8, 1)])[
            "defaults-topic"].result(20)
        wait_until(lambda: setup.settings("defaults-topic")["retention.bytes"]
                   == "1048576", 20, "the broker's default")

        status, said, complained = setup.run("defaults")
        assert (status, complained) == (0, "")
        assert ("topic defaults-topic: retention.bytes changed from 1048576 "
                "to -1") in said
        for topic in "topic", "stats_topic", "dead_topic":
            settings = setup.settings(f"defaults-{topic}")
            assert settings["retention.bytes"] == "-1", topic
            assert settings["unclean.leader.election.enable"] == "false", topic
        assert setup.settings("earlier-topic")["retention.bytes"] == "-1"
    finally:
        setup.alter(ResourceType.BROKER, "1", AlterConfigOpType.DELETE,
                    **defaults)


@pytest.mark.parametrize("name, by_hand", [
    ("longer", "2592000000"), ("ever", "-1")])
def test_retention_of_a_topic_is_lowered_only_when_told(setup, name, by_hand):
    """Raised by hand, so that nothing is lost while MongoDB is away."""

    def retention():
        return setup.settings(f"{name}-topic")["retention.ms"]

    assert setup.run(name)[0] == 0
    setup.alter(ResourceType.TOPIC, f"{name}-topic", AlterConfigOpType.SET,
                retention_ms=by_hand, min_insync_replicas="2")

    for again in range(2):
        # Another setting is mended, and does not take it along: with more
        # replicas than there are no write would succeed.
        status, said, complained = setup.run(name)
        assert (status, complained) == (0, "")
        assert (f"topic {name}-topic: retention.ms is {by_hand}, more than "
                "the configured 604800000: left as it is, --lower-retention "
                "to shorten it") in said
        assert any("min.insync.replicas changed" in line
                   for line in said) != again
        assert retention() == by_hand

    status, said, complained = setup.run(name, "--lower-retention")
    assert (status, complained) == (0, "")
    assert (f"topic {name}-topic: retention.ms changed from {by_hand} to "
            "604800000") in said
    assert retention() == "604800000"


def test_the_limit_of_dead_letters_is_not_lowered(setup):
    """Raised by hand, as the writer's log says where one is too large."""

    def limit():
        return setup.settings("size-dead_topic")["max.message.bytes"]

    assert setup.run("size")[0] == 0
    assert limit() == "16777216"
    for by_hand, after in ("33554432", "33554432"), ("1000", "16777216"):
        setup.alter(ResourceType.TOPIC, "size-dead_topic",
                    AlterConfigOpType.SET, max_message_bytes=by_hand)
        status, said, complained = setup.run("size")
        assert (status, complained) == (0, "")
        assert limit() == after, said


@pytest.mark.slow
def test_replicas_that_must_have_a_record_are_not_made_fewer(tmp_path):
    """Raised by hand, or by whoever made the topic."""

    def insync():
        return setup.settings("few-topic")["min.insync.replicas"]

    with Stack(tmp_path, build=BUILD, members=3) as stack:
        stack.start("kafka", "kafka-2", "kafka-3",
                    "mongod", "mongod-2", "mongod-3")
        setup = Setup(stack)
        assert setup.run("few", KAFKA_REPLICATION="3")[0] == 0
        assert insync() == "1"

        status, said, _ = setup.run("few", KAFKA_REPLICATION="3",
                                    KAFKA_MIN_INSYNC_REPLICAS="2")
        assert status == 0 and insync() == "2"
        assert ("topic few-topic: min.insync.replicas changed from 1 to 2"
                in said)

        for _ in range(2):
            status, said, complained = setup.run("few", KAFKA_REPLICATION="3")
            assert (status, complained, insync()) == (0, "", "2")
            assert ("topic few-topic: min.insync.replicas is 2, more than the "
                    "configured 1: left as it is, Kafka's kafka-configs to "
                    "lower it") in said
        setup.mongo.close()


def test_partitions_are_added_only_when_told(setup):
    assert setup.run("more", KAFKA_PARTITIONS="2")[0] == 0

    status, _, complained = setup.run("more", KAFKA_PARTITIONS="3")
    assert status == 1
    assert "has 2 partitions, [kafka] partitions is 3" in complained
    assert "--add-partitions" in complained
    assert setup.partitions("more-topic") == 2

    status, said, _ = setup.run("more", "--add-partitions",
                                KAFKA_PARTITIONS="3")
    assert status == 0
    assert any("extended from 2 to 3 partitions" in line for line in said)
    assert setup.partitions("more-topic") == 3

    # More than wanted: said, and left alone.
    status, said, _ = setup.run("more", KAFKA_PARTITIONS="2")
    assert status == 0
    assert any("has 3 partitions, more than the 2" in line for line in said)


def test_retention_of_events(setup):
    assert setup.run("keep")[0] == 0
    assert setup.ttl("keep") is None

    assert setup.run("keep", WRITER_RETENTION="30d")[0] == 0
    assert setup.ttl("keep") == 30 * 86400

    status, said, _ = setup.run("keep", WRITER_RETENTION="40d")
    assert status == 0 and setup.ttl("keep") == 40 * 86400
    assert "retention of events: was 2592000 s, now 3456000 s" in said

    status, said, _ = setup.run("keep")
    assert status == 0 and setup.ttl("keep") is None
    assert "retention of events: was 3456000 s, now for ever" in said

    # The longest that may be configured is one that MongoDB takes, for an
    # index that is new and for one that is there.
    longest = re.search(r"^\| `retention` .* 0 or 1h to (\w+)", subprocess.run(
        [setup.binary, "--document"], check=True, text=True,
        stdout=subprocess.PIPE).stdout.partition("## [writer]")[2], re.M)[1]
    for value in longest, "30d", longest:
        status, _, complained = setup.run("keep", WRITER_RETENTION=value)
        assert (status, complained) == (0, ""), value
        assert setup.ttl("keep") == int(value[:-1]) * 86400

    # Whether a type ever had events can no longer be told from the blocks.
    assert setup.mongo.keep.state.find_one("types")["trimmed"]


def test_event_types_with_statistics_of_their_own(setup):
    assert setup.run("types", STATS_MAX_TYPES="50")[0] == 0
    state = setup.mongo.types.state

    status, said, _ = setup.run("types", STATS_MAX_TYPES="60")
    assert status == 0 and state.find_one("types")["max"] == 60
    assert ("event types with statistics of their own: at most 50, now 60"
            in said)

    status, said, _ = setup.run("types", STATS_MAX_TYPES="40")
    assert status == 0 and state.find_one("types")["max"] == 60
    assert ("event types with statistics of their own: at most 60, which "
            "[stats] max_types = 40 does not lower" in said)
    assert "trimmed" not in state.find_one("types")

    assert setup.run("types", STATS_MAX_TYPES="60", WRITER_RETENTION="1d")[
        0] == 0
    assert state.find_one("types")["trimmed"]

    for value in ("0", "100001", "many"):
        status, _, complained = setup.run("types", STATS_MAX_TYPES=value)
        assert status == 1 and "MILLRACE_STATS_MAX_TYPES" in complained


def test_another_dedup_window_is_refused(setup):
    assert setup.run("window", WRITER_DEDUP_WINDOW="1000")[0] == 0

    status, _, complained = setup.run("window")
    assert status == 1
    assert "fixed at 1000 records" in complained
    assert setup.mongo.window.state.find_one("dedup")["window"] == 1000


def test_another_topic_is_refused(setup):
    state, ledger = setup.mongo.topic.state, setup.mongo.topic.ledger

    # A slip, before there was any event, is put right.
    assert setup.run("topic", "--timeout", "1", KAFKA_TOPIC="tpoic",
                     KAFKA_BROKERS="127.0.0.1:1")[0] == 1
    assert state.find_one("topic")["name"] == "tpoic"
    assert setup.run("topic")[0] == 0
    assert state.find_one("topic")["name"] == "topic-topic"
    ledger.insert_one({"_id": "topic-topic/0"})

    for _ in range(2):
        status, _, complained = setup.run("topic", KAFKA_TOPIC="another")
        assert status == 1
        assert 'the events of topic "topic-topic"' in complained
        assert setup.run("topic")[0] == 0
        assert state.find_one("topic")["name"] == "topic-topic"
        # Earlier versions did not say it.
        state.delete_one({"_id": "topic"})


def test_what_is_refused_has_removed_nothing(setup):
    assert setup.run("refused")[0] == 0
    status, _, complained = setup.run(
        "refused", KAFKA_PARTITIONS="16", WRITER_RETENTION="1h")
    assert status == 1
    assert "has 8 partitions" in complained
    assert setup.ttl("refused") is None
    assert setup.run("refused", WRITER_RETENTION="1h")[0] == 0
    assert setup.ttl("refused") == 3600


def test_a_newer_schema_is_refused(setup):
    setup.mongo.newer.state.insert_one({"_id": "schema", "version": 2})

    status, said, complained = setup.run("newer")
    assert (status, said) == (1, [])
    assert "schema version 2, this program knows 1" in complained
    assert setup.mongo.newer.list_collection_names() == ["state"]
    assert setup.partitions("newer-topic") == 0


def test_too_few_brokers(setup):
    """It tries until its time is over; what Kafka says is told even if that
    leaves no time for the last answer."""

    status, _, complained = setup.run(
        "brokers", "--timeout", "5", KAFKA_REPLICATION="3")
    assert status == 1
    assert "replication factor of 3" in complained


def test_servers_that_are_away(setup):
    free = f"127.0.0.1:{free_port(())}"

    status, _, complained = setup.run(
        "away", "--timeout", "1", KAFKA_BROKERS=free)
    assert status == 1
    assert f"Kafka at {free} does not answer" in complained

    status, said, complained = setup.run(
        "away", "--timeout", "1",
        MONGODB_URI=f"mongodb://u:hush@{free}/?replicaSet=rs0")
    assert (status, said) == (1, [])
    assert "cannot reach MongoDB's primary" in complained
    assert "hush" not in complained


@contextlib.contextmanager
def mongod(directory, *arguments):
    """A mongod that nobody has initiated; gives its address."""

    port = free_port(())
    os.makedirs(directory)
    with open(os.path.join(directory, "log"), "wb") as log:
        process = subprocess.Popen(
            [os.path.join(CACHE, "mongod", "mongod"), "--dbpath",
             str(directory), "--port", str(port), "--bind_ip", "127.0.0.1",
             "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket",
             *arguments], stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_initiate(setup, tmp_path):
    with mongod(tmp_path / "member", "--replSet", "mine") as address:
        uri = f"mongodb://{address}/?replicaSet=mine"

        status, _, complained = setup.run(
            "initiate", "--timeout", "4", MONGODB_URI=uri)
        assert status == 1
        assert "--initiate" in complained

        status, said, complained = setup.run(
            "initiate", "--initiate", MONGODB_URI=uri)
        assert (status, complained) == (0, "")
        assert said[0] == f"replica set mine: initiated with {address}"

        status, said, _ = setup.run("initiate", "--initiate", MONGODB_URI=uri)
        assert status == 0
        assert said[0] == "replica set mine: there already"

        status, _, complained = setup.run(
            "initiate", "--initiate",
            MONGODB_URI=f"mongodb://{address}/?replicaSet=other")
        assert status == 1
        assert 'in the replica set "mine"' in complained

    with mongod(tmp_path / "single") as address:
        status, _, complained = setup.run(
            "single", MONGODB_URI=f"mongodb://{address}/")
        assert status == 1
        assert "a single server, but transactions need a replica set" \
            in complained

        status, _, complained = setup.run(
            "single", "--initiate",
            MONGODB_URI=f"mongodb://{address}/?replicaSet=mine")
        assert status == 1
        assert "--replSet mine" in complained


@pytest.mark.parametrize("arguments, status, message", [
    (["--timeout", "0"], 2, "whole number of seconds, 1 to 3600"),
    (["--timeout", "5s"], 2, "whole number of seconds, 1 to 3600"),
    (["more"], 2, 'unexpected argument "more"'),
    (["--nonsense"], 2, "usage: millrace-setup"),
    (["-c", "/nowhere/millrace.conf"], 1, "cannot open /nowhere/"),
])
def test_bad_arguments(setup, arguments, status, message):
    got, said, complained = setup.run("arguments", *arguments)
    assert (got, said) == (status, [])
    assert message in complained
