"""
millrace-erase: one user's events are gone from the blocks, everything else
is as it was, whatever happens meanwhile.
"""

import os
import re
import signal
import struct
import subprocess
import time
import uuid

import bson
import confluent_kafka
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from harness import columns, storage
from harness.pipeline import servers_alone
from harness.rig import Rig
from harness.waiting import wait_until
from test_writer import Stream, event, events

BUILD = os.environ.get("MILLRACE_BUILD", "build")
AWARE = CodecOptions(tz_aware=True)

# libmongoc's word on a transaction that mongod has ended already.
ABORTED = re.compile(r".* mongoc: Error in abortTransaction: .*\n")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with servers_alone(tmp_path_factory.mktemp("erase"), BUILD,
                       mongod_parameters={"enableTestCommands": "true"}) as stack:
        yield stack


@pytest.fixture
def rig(servers, request):
    name = re.sub(r"\W", "-", request.node.name[5:])[:30]
    one = Rig(servers, f"{name}-{time.time_ns() % 10**6}",
              flush_events=2000).setup()
    yield one
    one.close()


def erase(rig, user, *arguments):
    status, said = rig.run("--user", user, *arguments,
                           binary="millrace-erase")
    assert status == 0, said
    said = ABORTED.sub("", said)
    found = re.fullmatch(r"(?:erased|found) (\d+) events in (\d+) blocks\n",
                         said)
    assert found, said
    return int(found.group(1)), int(found.group(2))


def blocks(rig):
    """{id: the block's bytes}"""

    raw = rig.database.get_collection(
        "blocks", CodecOptions(document_class=RawBSONDocument))
    return {bson.encode(document["_id"]): bytes(document.raw)
            for document in raw.find()}


def without(before, user):
    """What blocks() must be without the user, and how much that changes."""

    after, n, changed = {}, 0, 0
    for key, raw in before.items():
        block = bson.decode(raw, AWARE)
        if user not in storage.users_of(block):
            after[key] = raw
            continue
        changed += 1
        rest = [event for event in storage.events_of(block)
                if event["user_id"] != user]
        n += block["n"] - len(rest)
        if rest:
            made = remade(block, rest, storage.form_of(block))
            if "who" in block:
                made["who"] = [one for one in block["who"]
                               if one["u"] != user]
            after[key] = bson.encode(made)
    return after, n, changed


def remade(block, events, form):
    """The block with these events instead."""

    made = storage.block(events, 0, 0, 0, 0, form)
    made.update({name: block[name] for name in ("_id", "span", "received")})
    return made


def make_earlier(rig, forms):
    """Turn the blocks into ones of these forms, one after the other."""

    if forms != (storage.COUNTS,):
        storage.index(rig.database, storage.EARLIER_INDEXES)

    for i, raw in enumerate(blocks(rig).values()):
        block, form = bson.decode(raw, AWARE), forms[i % len(forms)]
        if form != storage.COUNTS:
            made = remade(block, storage.events_of(block), form)
            rig.database.blocks.replace_one({"_id": block["_id"]}, made)


def forms_in(rig):
    return {storage.form_of(bson.decode(raw)) for raw in blocks(rig).values()}


def users_in(rig):
    """In the order of blocks."""

    return sorted({user for raw in blocks(rig).values()
                   for user in storage.users_of(bson.decode(raw))},
                  key=str.encode)


def others(rig):
    """All that must not change."""

    return {name: list(rig.database[name].find(sort=[("_id", 1)]))
            for name in ("ledger", "partials")}


@pytest.mark.parametrize("forms", [
    *(pytest.param((form,), marks=pytest.mark.slow)
      for form in storage.FORMS), storage.FORMS], ids="-".join)
def test_only_that_user_is_gone(rig, forms):
    """To the byte, with all kinds of users: the first, the last, alone."""

    made = events(6000, users=40)
    made += [event(f"a{i}", "alone" + "x" * 200, "rare", **{"": i, "$a.b": -0.0})
             for i in range(3)]
    made += [event(f"d{i}", "a.$b%") for i in range(7)]
    made += [event(case(str(uuid.UUID(int=i << 90 | 0xabc))), f"by-uuid{i % 2}")
             for i in range(1, 20) for case in (str.lower, str.upper)]
    rig.start()
    rig.produce(made)
    rig.settle()
    rig.produce([event(f"z{i}", "only-one-in-its-block") for i in range(5)])
    rig.settle()
    rig.stop()

    assert forms_in(rig) == {storage.COUNTS}
    make_earlier(rig, forms)
    assert forms_in(rig) == set(forms)

    erased = 0
    users = users_in(rig)
    assert users[:5] == ["a.$b%", "alone" + "x" * 200, "by-uuid0", "by-uuid1",
                         "only-one-in-its-block"]
    for user in (*users[:3], *users[4:6], users[-1], users[len(users) // 2]):
        before, rest = blocks(rig), others(rig)
        expected, n, changed = without(before, user)
        assert n > 0
        assert erase(rig, user, "--count") == (n, changed)
        assert blocks(rig) == before
        assert erase(rig, user) == (n, changed)
        assert blocks(rig) == expected
        assert others(rig) == rest
        assert erase(rig, user) == (0, 0)
        erased += n
        assert rig.database.state.find_one(
            {"_id": "erased"})["events"] == erased

    # Everything that was stored is still there or was erased.
    assert sum(doc["stored"] for doc in rig.database.ledger.find()) == sum(
        doc["n"] for doc in rig.database.blocks.find()) + erased


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("forms", [(storage.COUNTS,), storage.FORMS],
                         ids="-".join)
def test_found_by_an_index(rig, forms, indexed):
    """Only blocks that have no index of theirs are all read."""

    made = []
    for i in range(300):
        users = ["both", f"u{i}"] if i < 6 else [f"u{i}", f"v{i}"]
        made.append(storage.block([
            {"event_id": f"e{i}", "user_id": user, "event_type": "t",
             "timestamp": 1_760_000_000_000 + i, "metadata": {}, "offset": i}
            for user in users], 1, 0, i, 0, forms[i % len(forms)]))
    rig.database.blocks.insert_many(made)
    if indexed:
        storage.index(rig.database, storage.EARLIER_INDEXES)
    assert forms_in(rig) == set(forms)

    rig.database.command("profile", 2)
    assert erase(rig, "both", "--count") == (6, 6)
    rig.database.command("profile", 0)

    (find,) = rig.database["system.profile"].find(
        {"command.find": "blocks", "appName": "millrace-erase"})
    assert "IXSCAN" in find["planSummary"]
    assert "COLLSCAN" not in find["planSummary"]
    if indexed or forms == (storage.COUNTS,):
        assert find["docsExamined"] < 60
    assert erase(rig, "both") == (6, 6)
    assert "both" not in users_in(rig)
    assert erase(rig, "both") == (0, 0)


def test_nobody_of_that_name(rig):
    rig.start()
    rig.produce(events(100))
    rig.settle()
    rig.stop()
    before = blocks(rig)
    assert erase(rig, "nobody") == (0, 0)
    assert blocks(rig) == before
    assert rig.database.state.find_one({"_id": "erased"}) is None


def test_killed_and_run_again(rig, servers, request, seed):
    """A block is whole at any moment, and counted exactly once."""

    rig.start()
    for i in range(12):
        rig.produce(events(2000, seed=seed + i, users=20, prefix=f"p{i}-"))
        rig.settle()
    rig.stop()

    before = blocks(rig)
    user = rig.database.blocks.find_one()["who"][0]["u"]
    expected, n, _ = without(before, user)

    # Long enough to be killed in the middle.
    rig.mongo.admin.command(
        "configureFailPoint", "failCommand", mode="alwaysOn", data={
            "failCommands": ["commitTransaction"], "appName": "millrace-erase",
            "blockConnection": True, "blockTimeMS": 100})
    request.addfinalizer(lambda: servers.mongo.admin.command(
        "configureFailPoint", "failCommand", mode="off"))

    for _ in range(4):
        child = subprocess.Popen(
            [os.path.join(rig.stack.build, "millrace-erase"), "-c",
             rig.configuration(), "--user", user],
            env=rig.stack._environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        left = rig.database.blocks.count_documents({"who.u": user})
        try:
            wait_until(lambda: child.poll() is not None
                       or rig.database.blocks.count_documents(
                           {"who.u": user}) < left, 60, "a block less",
                       interval=0)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert child.returncode == -signal.SIGKILL, "it was done too soon"

    rig.mongo.admin.command("configureFailPoint", "failCommand", mode="off")
    erase(rig, user)
    assert blocks(rig) == expected
    assert rig.database.state.find_one({"_id": "erased"})["events"] == n


def insert(rig, users, blocks=1, n=2, offset=1000):
    """So many blocks, in each of which every one of the users has n events."""

    made = [storage.block([
        {"event_id": f"{b}-{i}", "user_id": user, "event_type": "t",
         "timestamp": 1_760_000_000_000 + i, "metadata": {}, "offset": i}
        for i, user in enumerate(sorted(users * n))], 1, 0, offset * (b + 1), 0)
        for b in range(blocks)]
    rig.database.blocks.insert_many(made)
    return made


# What mongod calls transient, in each command of the transaction.
@pytest.mark.parametrize("command, users, code", [
    ("update", "ab", 112), ("update", "ab", 189), ("delete", "a", 112),
    ("commitTransaction", "ab", 251)])
def test_a_transient_error_is_tried_again(rig, command, users, code):
    insert(rig, list(users), 3)

    def fail(mode, **data):
        return rig.mongo.admin.command(
            "configureFailPoint", "failCommand", mode=mode,
            **({"data": data} if data else {}))["count"]

    before = fail("off")
    fail({"times": 1 if code == 189 else 4}, failCommands=[command],
         appName="millrace-erase", errorCode=code,
         errorLabels=["TransientTransactionError"])
    try:
        assert erase(rig, "a") == (6, 3)
    finally:
        struck = fail("off") - before
    assert struck >= 1
    assert users_in(rig) == [user for user in users if user != "a"]
    assert rig.database.state.find_one({"_id": "erased"}) == {
        "_id": "erased", "events": 6, "blocks": 3}


def test_several_at_once(rig):
    """All of them change the same blocks, and the same count."""

    users = ["a", "b", "c", "d"]
    insert(rig, [*users, "e"], 20)
    configuration = rig.configuration()  # writes it: once, before it is read
    running = [subprocess.Popen(
        [os.path.join(rig.stack.build, "millrace-erase"), "-c",
         configuration, "--user", user], env=rig.stack._environment(),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for user in users]
    for child in running:
        said, _ = child.communicate(timeout=60)
        assert child.returncode == 0, said
        assert ABORTED.sub("", said) == "erased 40 events in 20 blocks\n"
    assert users_in(rig) == ["e"]
    assert rig.database.state.find_one({"_id": "erased"}) == {
        "_id": "erased", "events": 160, "blocks": 80}


def test_while_events_come_in(rig):
    """The writer goes on, and what it stores meanwhile is exact."""

    made = [event(f"e{i}", f"u{i % 7}", "t") for i in range(20_000)]
    rig.start()
    with Stream(rig, made):
        wait_until(lambda: rig.database.blocks.find_one(), 30, "a block")
        erase(rig, "u3")
    rig.settle()
    erase(rig, "u3")
    rig.stop()

    stored = {}
    for doc in rig.database.blocks.find():
        for row in storage.rows_of(doc):
            key = row["user_id"], row["event_id"]
            assert key not in stored
            stored[key] = row
    assert set(stored) == {(f"u{i % 7}", f"e{i}") for i in range(20_000)
                           if i % 7 != 3}
    # Statistics count what was received.
    assert sum(doc["count"] for doc in rig.database.partials.find(
        {"_id.width": 3600, "_id.event_type": ""})) == 20_000
    # And a repeat of an erased event is still a repeat.
    rig.start()
    rig.produce([event("e3", "u3", "t")])
    rig.settle()
    rig.stop()
    assert rig.database.blocks.count_documents({"who.u": "u3"}) == 0


def test_what_kafka_still_holds_is_no_success(rig):
    """Acknowledged but not stored: the writer will store it after all."""

    def tried(*arguments, options=None):
        return rig.run("--user", "ada", *arguments, options=options,
                       binary="millrace-erase")

    rig.produce([event(f"e{i}", "ada") for i in range(3)], partition=1)
    status, said = tried("--timeout", "1")
    assert status == 1
    assert "erased 0 events in 0 blocks" in said
    assert "in 1 of 4 partitions not all that Kafka holds was stored" in said
    assert "partition=1 next=0 Kafka holds 3 offsets" in said
    status, said = tried("--no-wait")
    assert status == 0
    assert "erased 0 events in 0 blocks" in said
    assert "they may still come" in said

    rig.start()
    assert erase(rig, "ada") == (3, 1)
    assert rig.next()[1] == 3
    rig.stop()
    assert users_in(rig) == []
    assert erase(rig, "ada") == (0, 0)

    # What is stored goes though something waits, or Kafka is away.
    insert(rig, ["ada", "bob"])
    rig.produce([event("e9", "bob")], partition=2)
    assert erase(rig, "bob", "--count") == (2, 1)
    status, said = tried("--timeout", "1")
    assert status == 1
    assert "erased 2 events in 1 blocks" in said
    insert(rig, ["ada"], offset=7000)
    status, said = tried("--timeout", "1", options={
        "kafka": {"brokers": "127.0.0.1:1"}})
    assert status == 1
    assert "erased 2 events in 1 blocks" in said
    assert "Kafka at 127.0.0.1:1 does not answer" in said
    assert users_in(rig) == ["bob"]


def test_markers_in_the_log_are_no_events(rig):
    transact = rig.transactions()
    rig.start()
    transact([event("e1", "u", "t")], commit=True)
    transact([event("e2", "u", "t")], commit=False)
    (partition, end), = ((p, end) for p, end in rig.ends().items() if end)
    wait_until(lambda: (rig.ledger(partition) or {}).get("reached", 0) >= end,
               30, "the log's end")
    rig.stop()
    assert rig.ledger(partition)["next"] < end
    assert erase(rig, "u") == (1, 1)


def test_events_behind_an_open_transaction_may_still_come(rig):
    """They are acknowledged, and nobody sees them until it has ended."""

    producer = confluent_kafka.Producer({
        "bootstrap.servers": rig.stack.brokers, "transactional.id": rig.name})
    producer.init_transactions(20)
    rig.start()
    producer.begin_transaction()
    producer.produce(rig.topic, event("x", "stranger"), "x", partition=0)
    producer.flush(30)
    rig.produce([event("e", "ada")], partition=0)
    status, said = rig.run("--user", "ada", "--timeout", "2",
                           binary="millrace-erase")
    assert status == 1
    assert "in 1 of 4 partitions not all that Kafka holds was stored" in said
    producer.commit_transaction()
    assert erase(rig, "ada") == (1, 1)
    rig.stop()


def test_another_log_is_no_success(rig):
    """The topic was made anew: what it holds waits for the operator."""

    rig.start()
    rig.produce([event(f"e{i}", "u") for i in range(5)], partition=0)
    rig.settle()
    rig.stop()
    rig.recreate(4)
    assert erase(rig, "nobody") == (0, 0)
    rig.produce([event("new", "u")], partition=0)
    status, said = rig.run("--user", "u", binary="millrace-erase")
    assert status == 1
    assert "erased 5 events in 1 blocks" in said
    assert "1 of 4 partitions have another log" in said


@pytest.mark.parametrize("options, message", [
    ({"mongodb": {"database": "nowhere-at-all"}},
     'the database "nowhere-at-all" was not set up by millrace-setup'),
    ({"kafka": {"topic": "others"}}, "the configuration says [kafka] topic"),
])
@pytest.mark.parametrize("arguments", [(), ("--count",), ("--no-wait",)],
                         ids="".join)
def test_a_wrong_database_is_no_success(rig, options, message, arguments):
    status, said = rig.run("--user", "a", *arguments, options=options,
                           binary="millrace-erase")
    assert status == 1
    assert message in said
    assert " events in " not in said


def instead(block, name, **fields):
    """Change the block to have these fields in the place of that one."""

    whole = dict(block)
    block.clear()
    for key, value in whole.items():
        block.update(fields if key == name else {key: value})


def second(**fields):
    """A damage to the second user's element of `who`."""

    return lambda block: block["who"].__setitem__(1, fields)


def eights(block):
    """Its times as blocks of earlier versions had them."""

    return struct.pack(f"<{block['n']}q", *columns.times(
        block, storage.ms(block["tmin"])))


DAMAGES = {
    "a field too many": lambda block: block.update(extra=1),
    "no columns": lambda block: block.pop("counts"),
    "no times": lambda block: block.pop("since"),
    "times of both forms": lambda block: instead(
        block, "since", since=block["since"], times=eights(block)),
    "times of the other form": lambda block: instead(
        block, "since", since=eights(block)),
    "a tmin too late": lambda block: block.update(
        tmin=bson.DatetimeMS(10**14)),
    "a tmin too early": lambda block: block.update(tmin=bson.DatetimeMS(-1)),
    "times too short": lambda block: block.update(
        since=block["since"][:-1]),
    "columns of both forms": lambda block: instead(
        block, "counts", counts=block["counts"], ends=storage.column([1, 2, 4])),
    "ends for counts": lambda block: instead(
        block, "counts", counts=storage.column([1, 2, 4])),
    "counts for ends": lambda block: instead(
        block, "counts", ends=block["counts"]),
    "a count less": lambda block: instead(
        block, "counts", counts=storage.column([1, 1])),
    "a count too many": lambda block: instead(
        block, "counts", counts=storage.column([1, 1, 2, 1])),
    "too few events of a user": lambda block: instead(
        block, "counts", counts=storage.column([1, 1, 1])),
    "none of a user": lambda block: instead(
        block, "counts", counts=storage.column([1, 0, 3])),
    "a user's event counted for another": lambda block: instead(
        block, "counts", counts=storage.column([1, 2, 1])),
    "another layout": lambda block: block.update(layout=2),
    "a list": lambda block: block.update(events=[]),
    "no layout": lambda block: block.pop("layout"),
    "a user less": lambda block: block["events"].pop("c"),
    "a user too many": lambda block: block["events"].update(d={}),
    "no events of a user": lambda block: block["events"].update(b={}),
    "an event less": lambda block: block["events"]["c"].popitem(),
    "another place": lambda block: block["events"]["c"].update(
        {"9": block["events"]["c"].pop("3")}),
    "another's event": lambda block: block["events"].update(
        b={**block["events"]["b"], **block["events"]["c"]}, c={}),
    "users that are none": lambda block: block["who"].__setitem__(1, "b"),
    "no list of users": lambda block: block.update(who=block["who"][0]),
    "a user without types": second(u="b"),
    "types without a user": second(t=1),
    "types first": second(t=1, u="b"),
    "more of a user": second(u="b", t=1, v=1),
    "a user that is a number": second(u=2, t=1),
    "no types": second(u="b", t=0),
    "too many types": second(u="b", t=128),
    "types that are long": second(u="b", t=bson.Int64(1)),
    "users of both forms": lambda block: instead(
        block, "who", who=block["who"], users=["a", "b", "c"]),
    "users of both forms, the other way round": lambda block: instead(
        block, "who", users=["a", "b", "c"], who=block["who"]),
    "users of the earlier form that are none": lambda block: instead(
        block, "who", users=["a", 2, 3]),
}


@pytest.mark.some(7)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_block_is_left_alone(rig, damage):
    block = storage.block([
        {"event_id": str(i), "user_id": user, "event_type": "t",
         "timestamp": 1_760_000_000_000 + i, "metadata": {}, "offset": i}
        for i, user in enumerate("abcc")], 1, 0, 0, 0)
    DAMAGES[damage](block)
    rig.database.blocks.insert_one(block)
    before = blocks(rig)
    status, said = rig.run("--user", "a", binary="millrace-erase")
    assert status == 1
    assert "a block is damaged, or was written by another version" in said
    assert "erased 0 events in 0 blocks" in said
    assert blocks(rig) == before


@pytest.mark.parametrize("which", [0, 2, 4])
def test_one_that_is_damaged_does_not_keep_the_others(rig, which):
    damaged = insert(rig, ["a", "b"], 5)[which]["_id"]
    rig.database.blocks.update_one({"_id": damaged}, {"$set": {"extra": 1}})
    shown = (f'{{ "_id" : {{ "epoch" : 1, "partition" : 0, "offset" : '
             f'{damaged["offset"]}, "number" : 0 }} }}: a block is damaged')

    for arguments, expected in (["--count"], "found 8 events in 4 blocks"), (
            [], "erased 8 events in 4 blocks"), (
            [], "erased 0 events in 0 blocks"):
        status, said = rig.run("--user", "a", *arguments,
                               binary="millrace-erase")
        assert status == 1, said
        assert expected in said
        assert said.count(shown) == 1, said
        assert "1 blocks were left as they are" in said

    assert [block["_id"] for block in rig.database.blocks.find(
        {"who.u": "a"})] == [damaged]
    assert rig.database.blocks.count_documents({"who.u": "b"}) == 5


@pytest.mark.parametrize("arguments, message", [
    ([], "--user is a user_id of 1 to 256 bytes"),
    (["--user", ""], "--user is a user_id of 1 to 256 bytes"),
    (["--user", "x" * 257], "--user is a user_id of 1 to 256 bytes"),
    (["--user", b"M\xfcller"], "256 bytes, in UTF-8 and without"),
    (["--user", "a\tb"], "256 bytes, in UTF-8 and without"),
    (["--user", "a\u0085b"], "256 bytes, in UTF-8 and without"),
    (["--user", "a", "b"], 'unexpected argument "b"'),
    (["--users", "a"], "--users"),
])
def test_a_wrong_command_line(servers, arguments, message):
    done = subprocess.run(
        [os.path.join(servers.build, "millrace-erase"), *arguments],
        text=True, capture_output=True, timeout=30)
    assert done.returncode == 2
    assert message in done.stderr
