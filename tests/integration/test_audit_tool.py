"""
millrace-audit: balanced over a real run, and every damage to what is stored is
reported as exactly that.
"""

import itertools
import json
import os
import subprocess
import threading
import time
from datetime import datetime, timezone

import confluent_kafka
import httpx
import pytest
from confluent_kafka.admin import (
    AlterConfigOpType, ConfigEntry, ConfigResource)

import process

from harness.pipeline import REPO
from harness.rig import Rig
from harness.waiting import wait_until
from harness.workload import Workload

EVENTS = 4_000


class Tool:

    def __init__(self, stack):
        self.stack = stack
        self.path = os.path.join(stack.build, "millrace-audit")

    def run(self, *arguments, conf=None, **environment):
        return subprocess.run(
            [self.path, "-c", conf or self.stack.conf, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=90, check=False, cwd=self.stack.directory,
            env={**os.environ, "LSAN_OPTIONS": "suppressions=" + os.path.join(
                REPO, "tests", "lsan.supp") + ":print_suppressions=0",
                "ASAN_OPTIONS": "fast_unwind_on_malloc=0", **environment})

    def report(self, *arguments, **environment):
        done = self.run("--json", "--settle", *arguments, **environment)
        assert done.returncode in (0, 1), done.stderr
        report = json.loads(done.stdout)
        assert report["balanced"] == (done.returncode == 0)
        assert report["balanced"] == (not report["findings"])
        return report


@pytest.fixture
def tool(stack):
    return Tool(stack)


@pytest.fixture
def filled(stack, sender, name, seed):
    """Some thousand events with repeats, settled: the time before them."""

    before = time.time()
    events = Workload(seed, time.time() - 30, prefix=name, span=30,
                      users=500).events(EVENTS)
    for batch in Workload.batches(events):
        sender.deliver(batch)
    stack.settle()
    return before


def findings(report):
    return [(f["check"], f["partition"], f["difference"])
            for f in report["findings"]]


def test_a_real_run_is_balanced(stack, tool, filled, log):
    report = tool.report()
    assert report["findings"] == []
    assert report["merged"]

    total = report["sum"]
    records = sum(end for end in stack.ends().values())
    acknowledged = sum(e.acked for e in log.entries())
    ledgers = list(stack.database.ledger.find())

    assert acknowledged <= total["records"] <= records
    assert total["waiting"] == 0
    for name in ("stored", "repeated", "dead"):
        assert total[name] == sum(d[name] for d in ledgers), name
    assert total["records"] == (
        total["stored"] + total["repeated"] + total["dead"])
    assert total["blocks"] == total["stored"]
    assert total["repeated"] > 0
    assert total["events"] == total["counted"] == total["windows"] > 0

    assert set(report["uncompared"].values()) == {0}

    done = tool.run("--settle")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(
        "\nbalanced: records = stored + repeated + dead, stored = blocks, "
        "events = counted, counted = windows\n")
    done = tool.run("--metrics")
    assert "\nmillrace_audit_balanced 1\n" in done.stdout
    assert ('\nmillrace_audit_uncompared{check="events"} 0\n'
            in done.stdout)
    assert (f'millrace_audit_records{{state="stored"}} {total["stored"]}\n'
            in done.stdout)


def test_what_was_acknowledged_is_there(stack, tool, filled, tmp_path):
    """Of what nginx says, and of what it would say had Kafka lost an event."""

    answer = httpx.get(stack.url + "/acknowledged")
    said = answer.json()
    minutes = next(t["minutes"] for t in said["topics"]
                   if t["topic"] == "events")
    path = tmp_path / "acknowledged"
    path.write_bytes(answer.content)
    done = tool.run("--settle", "--acknowledged", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("\n")[0].endswith(" acknowledged")

    report = tool.report("--acknowledged", str(path))
    assert report["findings"] == []
    assert sum(m["acknowledged"] for m in minutes
               if m["minute"] > filled - 60) >= EVENTS
    rows = {m["minute"]: m for m in report["minutes"]}
    for m in minutes:
        if m["minute"] in rows:
            row = rows[m["minute"]]
            assert row["acknowledged"] == m["acknowledged"]
            assert row["acknowledged"] <= row["records"]

    last = minutes[-1]
    lost = 2 + rows[last["minute"]]["records"] - last["acknowledged"]
    more = json.dumps({"topics": [{"topic": "events", "minutes": [
        {"minute": last["minute"], "acknowledged": lost}]}]})
    path.write_text(answer.text + more)
    report = tool.report("--acknowledged", str(path))
    assert findings(report) == [("acknowledged", None, -2)]

    path.write_text("not found")
    done = tool.run("--acknowledged", str(path))
    assert done.returncode == 2 and str(path) in done.stderr
    done = tool.run("--acknowledged", str(tmp_path / "none"))
    assert done.returncode == 2 and "No such file" in done.stderr


def test_what_is_not_stored_yet_waits(stack, tool, sender, name, log):
    stack.settle()
    stack.stop("writer")
    sender.post([{"event_id": f"{name}{i}", "user_id": name,
                  "event_type": name, "timestamp": time.time()}
                 for i in range(7)])
    done = tool.run("--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert report["sum"]["waiting"] == 7

    done = tool.run("--settle", "--timeout", "2")
    assert done.returncode == 2
    assert "not all that Kafka holds was stored" in done.stderr
    stack.start("writer")


@pytest.fixture
def damage(stack):
    """Take documents away; they are put back at the end."""

    gone = []

    def take(collection, *filters):
        for filter_ in filters:
            document = stack.database[collection].find_one_and_delete(filter_)
            assert document is not None
            gone.append((collection, document))
        return document

    yield take
    for collection, document in gone:
        stack.database[collection].replace_one(
            {"_id": document["_id"]}, document, upsert=True)


def newest(stack, collection, key):
    return stack.database[collection].find_one(sort=[(key, -1)])["_id"]


def test_a_lost_block(stack, tool, filled, damage):
    block = damage("blocks", {"_id": newest(stack, "blocks", "received")})
    n, partition = block["n"], block["_id"]["partition"]

    report = tool.report()
    lost = [f for f in findings(report) if f[0] == "blocks"]
    assert sum(f[2] for f in lost) == -n
    assert {f[1] for f in lost} == {partition}
    assert not [f for f in findings(report) if f[0] in ("kafka", "accounts")]
    counts = [f for f in report["findings"] if f["check"] == "partials"
              and "all types" in f["text"]]
    assert sum(f["difference"] for f in counts) <= n
    assert report["sum"]["blocks"] == report["sum"]["stored"] - n
    assert sum(not m["balanced"] for m in report["minutes"]) >= 1


def test_a_block_that_is_there_twice(stack, tool, filled):
    block = stack.database.blocks.find_one(sort=[("received", -1)])
    twin = {**block, "_id": {**block["_id"], "number": 999}}
    stack.database.blocks.insert_one(twin)
    try:
        report = tool.report()
    finally:
        stack.database.blocks.delete_one({"_id": twin["_id"]})

    twice = [f for f in report["findings"] if f["check"] == "blocks"
             and f["text"].endswith("is in the blocks twice")]
    assert len(twice) == min(block["n"], 1000)
    assert {f["partition"] for f in twice} == {block["_id"]["partition"]}


def test_a_lost_account(stack, tool, filled, damage):
    account = damage("accounts", {"_id": newest(stack, "accounts",
                                                "_id.minute")})
    n = account["last"] + 1 - account["first"]
    partition = account["_id"]["partition"]

    report = tool.report()
    assert ("kafka", partition, -n) in findings(report)
    assert {f[0] for f in findings(report)} <= {"kafka", "accounts"}
    assert {f[1] for f in findings(report)} == {partition}


def test_an_account_that_says_less(stack, tool, filled):
    key = newest(stack, "accounts", "_id.minute")
    stack.database.accounts.update_one({"_id": key}, {"$inc": {"stored": -3}})
    try:
        report = tool.report()
    finally:
        stack.database.accounts.update_one(
            {"_id": key}, {"$inc": {"stored": 3}})

    assert sorted(findings(report)) == [
        ("accounts", key["partition"], -3), ("blocks", key["partition"], 3)]


@pytest.mark.parametrize("width", [60, 3600, 86400])
def test_a_lost_partial(stack, tool, filled, damage, width):
    key = stack.database.partials.find_one(
        {"_id.width": width, "_id.event_type": {"$ne": ""}},
        sort=[("_id.start", -1)])["_id"]
    partial = damage("partials", {"_id": key})

    report = tool.report()
    check = "partials" if width == 60 else "totals"
    assert (check, key["partition"], -partial["count"]) in findings(report)
    if width == 60:
        [text] = [f["text"] for f in report["findings"]
                  if f["check"] == "partials"]
        assert key["event_type"][:30] in text
        assert {f[0] for f in findings(report)} == {"partials", "windows"}
    else:
        assert len(report["findings"]) == 1


def test_a_window_that_counts_more(stack, tool, filled):
    key = stack.database.windows.find_one(
        {"_id.width": 60}, sort=[("_id.start", -1)])["_id"]
    stack.database.windows.update_one({"_id": key}, {"$inc": {"count": 2}})
    try:
        report = tool.report()
    finally:
        stack.database.windows.update_one(
            {"_id": key}, {"$inc": {"count": -2}})

    assert findings(report) == [("windows", None, 2)]


def test_a_window_is_wrong_while_others_are_not_merged(
        stack, tool, sender, name):
    """On a busy service there is always a flush that is not merged yet."""

    def event(i, at):
        return {"event_id": f"{name}{i}", "user_id": name,
                "event_type": "view", "timestamp": at}

    now = time.time()
    earlier = int(now - 1800) // 60 * 60
    sender.post([event("early", earlier)])
    stack.settle()
    stack.stop("stats")
    key = {"_id.width": 60, "_id.event_type": "view",
           "_id.start": datetime.fromtimestamp(earlier, timezone.utc)}
    count = stack.database.windows.find_one(key)["count"]
    try:
        sender.post([event("late", now)])
        stack.database.windows.update_one(key, {"$inc": {"count": 2}})

        def stored():
            done = tool.run("--json")
            report = json.loads(done.stdout)
            return (not report["merged"] and report["sum"]["waiting"] == 0
                    and (done.returncode, report))

        status, report = wait_until(stored, 30, "the late event")
    finally:
        stack.database.windows.update_one(key, {"$set": {"count": count}})
        stack.start("stats")

    assert findings(report) == [("windows", None, 2)] and status == 1
    assert 1 <= report["uncompared"]["windows"] <= 2
    assert all(m["windows"] == m["counted"] for m in report["minutes"]
               if m["windows"] is not None)


def test_what_was_found_settled_is_audited(stack, tool, sender, name):
    """However much is stored while the audit begins."""

    over = threading.Event()

    def send():
        for i in itertools.count():
            sender.post([{"event_id": f"{name}-{i}-{k}", "user_id": f"u{k}",
                          "event_type": "view", "timestamp": time.time()}
                         for k in range(100)])
            if over.wait(0.02):
                break

    thread = threading.Thread(target=send)
    thread.start()
    try:
        reports = [tool.report("--timeout", "30") for _ in range(5)]
    finally:
        over.set()
        thread.join()

    assert [r["findings"] for r in reports] == [[]] * 5
    assert [r["merged"] for r in reports] == [True] * 5
    assert [r["uncompared"]["windows"] for r in reports] == [0] * 5


@pytest.mark.parametrize("hours", [0, 24, 25, 48])
def test_retention_hides_no_loss(stack, tool, filled, hours):
    """With 24 hours or less no minute's events are all known to be there."""

    known = hours != 24
    retention = {"MILLRACE_WRITER_RETENTION": f"{hours}h" if hours else "0"}
    report = tool.report(**retention)
    assert report["findings"] == []
    assert report["uncompared"] == {
        "records": 0, "blocks": 0, "windows": 0,
        "events": 0 if known else len(report["minutes"])}
    assert (report["sum"]["events"] is not None) == known
    assert report["sum"]["counted"] == report["sum"]["windows"] > 0
    if not known:
        said = tool.run("--settle", **retention).stdout.splitlines()[-1]
        assert said.startswith("balanced: records = ")
        assert "counted = windows; NOT compared: events = counted in " in said

    newest_minute = stack.database.partials.find_one(
        {"_id.width": 60, "_id.event_type": ""},
        sort=[("_id.start", -1)])["_id"]
    minute = {"_id.width": 60, "_id.start": newest_minute["start"],
              "_id.partition": newest_minute["partition"]}
    changed = stack.database.partials.update_many(minute, {"$inc": {
        "count": -1}}).modified_count
    try:
        report = tool.report(**retention)
    finally:
        stack.database.partials.update_many(minute, {"$inc": {"count": 1}})
    assert changed > 1
    assert sorted(findings(report), key=str) == (
        [("partials", newest_minute["partition"], -1)] * changed
        + [("windows", None, 1)] * changed)


def create_time(rig):
    """Records are of the time that the test says."""

    admin = rig.admin()  # the future ends with it
    topic = ConfigResource(
        ConfigResource.Type.TOPIC, rig.topic, incremental_configs=[
            ConfigEntry("message.timestamp.type", "CreateTime",
                        incremental_operation=AlterConfigOpType.SET)])
    admin.incremental_alter_configs([topic])[topic].result(20)


def put(rig, *times, producer=None):
    """Records received at these times, one after the other."""

    producer = producer or rig.producer
    for at in times:
        producer.produce(rig.topic, key="u", partition=0, value=json.dumps({
            "event_id": f"e{time.time_ns()}", "user_id": "u",
            "event_type": "t", "timestamp": time.time()}),
            timestamp=int(at * 1000))
        assert producer.flush(30) == 0


def audit_alone(rig, *arguments, **options):
    status, said = rig.run("--json", *map(str, arguments), options=options,
                           binary="millrace-audit")
    assert status in (0, 1), said
    return json.JSONDecoder().raw_decode(said)[0]


@pytest.fixture
def alone(stack, name):
    """A writer of the test's own, whose records have the times it says."""

    rig = Rig(stack, f"alone{name}", partitions=1).setup()
    create_time(rig)
    rig.start()
    yield rig
    rig.close()


def test_kafka_deletes_while_it_is_asked(alone):
    """A week is ten thousand questions, and retention does not wait."""

    now = time.time()
    put(alone, *(now - 6.9 * 86400 + i * 3600 for i in range(160)))
    alone.settle()
    alone.stop()

    def timed(*period):
        begun = time.monotonic()
        assert audit_alone(alone, *period)["findings"] == []
        return time.monotonic() - begun

    week = ("--from", int(now - 7 * 86400 + 3600))
    middle = (timed("--from", int(now)) + timed(*week)) / 2
    deleted = threading.Timer(middle, alone.delete_before, (0, 150))
    deleted.start()
    during = audit_alone(alone, *week)
    deleted.join()
    after = audit_alone(alone, *week)
    assert during["findings"] == after["findings"] == []
    assert after["uncompared"]["records"] == 150


def test_a_marker_at_the_end_of_the_period(alone):
    """It stands in the account of the next record, which came later."""

    minute = int(time.time()) // 60 * 60
    transactional = confluent_kafka.Producer({
        "bootstrap.servers": alone.stack.brokers,
        "transactional.id": alone.name})
    transactional.init_transactions(20)
    transactional.begin_transaction()
    put(alone, *[minute - 600] * 10, producer=transactional)
    transactional.commit_transaction()
    # The marker, which is of the broker's time.
    wait_until(lambda: alone.ends()[0] == 11, 30, "the marker")
    put(alone, minute + 600)
    alone.settle()

    report = audit_alone(alone, "--from", minute - 1200, "--to", minute + 300)
    assert report["findings"] == []
    assert report["sum"]["records"] == 10


def test_a_period_that_ends_where_time_goes_back(alone):
    minute = int(time.time()) // 60 * 60 - 600
    put(alone, *(minute + at for at in (-0.5, 0.5, -0.2, 1, 2)))
    alone.settle()

    for period, stored, unknown in (("--from", minute - 600), 5, 0), (
            ("--from", minute), 3, 1), (("--to", minute), 2, 1):
        report = audit_alone(alone, *period)
        assert report["findings"] == [], period
        assert report["sum"]["stored"] == stored
        assert report["uncompared"]["records"] == unknown


def test_what_an_earlier_epoch_stored_is_audited(alone, tmp_path):
    """Its topic is gone, and the events of it are there all the same."""

    minute = int(time.time()) // 60 * 60
    put(alone, *[minute - 600] * 5, *[minute - 540] * 6, *[minute - 480] * 7)
    alone.settle()
    alone.stop()
    alone.recreate(1, **{"message.timestamp.type": "CreateTime"})
    status, said = alone.run("--new-epoch", "0")
    assert status == 0, said
    alone.start()
    put(alone, *[minute - 60] * 3)
    wait_until(lambda: alone.ledger()["epoch"] == 2
               and alone.ledger()["next"] == 3, 30, "the new epoch")

    path = tmp_path / "acknowledged"
    path.write_text(json.dumps({"topics": [{
        "topic": alone.topic, "minutes": [
            {"minute": minute - 600, "acknowledged": 5},
            {"minute": minute - 60, "acknowledged": 3}]}]}))
    report = audit_alone(alone, "--acknowledged", path)
    assert report["findings"] == []
    assert report["sum"]["stored"] == report["sum"]["blocks"] == 21
    assert report["uncompared"]["records"] == 3

    account = alone.database.accounts.find_one_and_delete({
        "_id.epoch": 1, "_id.minute": datetime.fromtimestamp(
            minute - 540, timezone.utc)})
    report = audit_alone(alone)
    assert ("accounts", 0, -6) in findings(report)
    assert "epoch 1: the offsets 5 to 10 are in no account" in [
        f["text"] for f in report["findings"]]
    alone.database.accounts.insert_one(account)

    alone.database.blocks.delete_many({"_id.epoch": 1})
    assert [f for f in findings(audit_alone(alone)) if f[0] == "blocks"] == [
        ("blocks", 0, -5), ("blocks", 0, -6), ("blocks", 0, -7)]


def test_accounts_that_are_kept_for_less_than_before(alone):
    """One of before outlives those that came after it."""

    now = time.time()
    put(alone, now - 5 * 3600)
    alone.settle()
    alone.stop()
    alone.options["writer"]["keep_accounts"] = "2h"
    alone.start()
    put(alone, *[now - 3 * 3600] * 3, now - 60)
    alone.settle()
    alone.stop()
    alone.database.accounts.delete_many(
        {"expire": {"$lt": datetime.now(timezone.utc)}})
    assert alone.database.accounts.count_documents({}) == 2

    assert audit_alone(alone)["findings"] == []


def test_a_topic_made_anew_with_fewer_partitions(stack, name):
    """What the others held stays in the windows."""

    def event(i):
        return json.dumps({"event_id": i, "user_id": "u", "event_type": "t",
                           "timestamp": time.time()})

    rig = Rig(stack, f"fewer{name}", partitions=3).setup()
    rig.start()
    try:
        for p in range(3):
            rig.produce([event(f"{p}-{i}") for i in range(4)], partition=p)
        rig.settle()
        rig.stop()
        rig.recreate(1)
        rig.options["kafka"]["partitions"] = 1
        rig.setup()
        status, said = rig.run("--new-epoch", "0")
        assert status == 0, said
        rig.start()
        rig.produce([event("new")])
        wait_until(lambda: rig.ledger()["epoch"] == 2
                   and rig.ledger()["next"] == 1, 30, "the new epoch")
        rig.writer = os.path.join(stack.build, "millrace-stats")
        rig.options["stats"]["metrics"] = "127.0.0.1:%d" % process.free_port(
            stack.ports.values())
        rig.start("stats")
        report = audit_alone(rig, "--settle")
    finally:
        rig.close()

    assert report["merged"] and report["findings"] == []


def test_accounts_past_their_time(stack, name):
    """Kafka has the records, and what became of them is not known any more."""

    now = time.time()
    hour = 3600
    rig = Rig(stack, f"aged{name}", partitions=1, keep_accounts="1h").setup()
    try:
        create_time(rig)
        rig.start()
        put(rig, *(now - age for age in
                   [2 * hour] * 4 + [1.5 * hour] * 3 + [600] * 2))
        rig.settle()
        rig.stop()

        accounts = rig.database.accounts
        assert accounts.count_documents({}) <= 3
        accounts.delete_many({"_id.minute": {
            "$lt": datetime.fromtimestamp(now - hour, timezone.utc)}})
        assert accounts.count_documents({}) == 1

        def audit(*arguments, **options):
            return rig.run("--from", str(int(now - 3 * hour)), "--json",
                           *arguments, options=options, binary="millrace-audit")

        status, said = audit()
        report = json.JSONDecoder().raw_decode(said)[0]
        assert report["findings"] == [] and status == 0
        assert report["uncompared"]["records"] == 2
        assert "keep_accounts is less than [kafka] retention" in said
        known = {m["stored"] for m in report["minutes"]}
        assert known == {0, 2, None}
        assert all(m["records"] is m["blocks"] is None
                   for m in report["minutes"] if m["stored"] is None)

        # Of the accounts that have to be there one is missed.
        (account,) = accounts.find()
        accounts.delete_one({"_id": account["_id"]})
        status, said = audit()
        report = json.JSONDecoder().raw_decode(said)[0]
        assert status == 1
        assert ("kafka", 0, -2) in findings(report)
        accounts.insert_one(account)

        # And where Kafka has deleted the records too, nothing is known.
        rig.delete_before(0, 8)
        status, said = audit(
            "--to", str(int(now - 1.2 * hour)), writer={"retention": "1h"},
            stats={"grace": "1m", "keep_second": "1m", "keep_minute": "1h"})
        assert status == 2, said
        assert "nothing of the period can be compared any more" in said
    finally:
        rig.close()


@pytest.mark.parametrize("arguments, message", [
    (["--max-future", "1d"], "--max-future is a whole number of hours"),
    (["--from", "yesterday"], "--from: "),
    (["--to", "x"], "--to: "),
    (["--from", "2000", "--to", "1000"], "the period is empty"),
    (["--from", "0", "--to", "1000000000"], "at most 10080"),
    (["--from", "2062-01-01T00:00:00Z", "--to", "2062-01-01T01:00:00Z"],
     "the period lies in the future: --from must not be after now"),
    (["--to", "2062-01-01T01:00:00Z"], "the period lies in the future"),
    (["--timeout", "0"], "--timeout is a whole number of seconds"),
    (["now"], 'unexpected argument "now"'),
    (["-c", "/nowhere"], "/nowhere"),
])
def test_bad_arguments(tool, arguments, message):
    done = tool.run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_an_empty_database_is_not_balanced(tool):
    done = tool.run(MILLRACE_MONGODB_DATABASE="nowhere-at-all")
    assert done.returncode == 2
    assert "was not set up by millrace-setup" in done.stderr
    assert done.stdout == ""


def test_servers_that_are_away(tool, stack, tmp_path):
    conf = tmp_path / "millrace.conf"
    conf.write_text("[kafka]\nbrokers = 127.0.0.1:1\n")
    done = tool.run("--timeout", "1", conf=conf)
    assert done.returncode == 2
    assert "127.0.0.1:1 does not answer" in done.stderr

    conf.write_text(f"[kafka]\nbrokers = {stack.brokers}\n[mongodb]\n"
                    "uri = mongodb://u:geheim@127.0.0.1:1/?replicaSet=rs0\n")
    done = tool.run("--timeout", "1", conf=conf)
    assert done.returncode == 2
    assert "geheim" not in done.stderr + done.stdout
