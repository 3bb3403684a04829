"""
What a transaction can meet on its way: mongod itself is told to answer the
writer's commands with errors (its failpoint `failCommand`), each of the kind
that a real cluster gives.  Whatever it was, everything is stored once.
"""

import os
import re
import time

import pytest

from harness.pipeline import servers_alone
from harness.rig import Rig
from harness.waiting import wait_until
from harness.workload import Workload

BUILD = os.environ.get("MILLRACE_BUILD", "build")

WRITE_CONFLICT = {"errorCode": 112,
                  "errorLabels": ["TransientTransactionError"]}
# libmongoc gives its server up for the ten seconds that its monitor waits: a
# real one would tell the monitor too.  So this is tried but once.
STEPPED_DOWN = {"errorCode": 189,
                "errorLabels": ["TransientTransactionError"]}
NO_SUCH = {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}
UNKNOWN = {"errorCode": 262,
           "errorLabels": ["UnknownTransactionCommitResult"]}
CLOSED = {"closeConnection": True}
# The commit itself is done; that a majority has it is not known.
NOT_MAJORITY = {"writeConcernError": {
    "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting",
    "errInfo": {"wtimeout": True}}}
FORBIDDEN = {"errorCode": 13}

CASES = {
    "ledger, conflict": (["update"], WRITE_CONFLICT, 3),
    "ledger, stepped down": (["update"], STEPPED_DOWN, 1),
    "ledger, connection closed": (["update"], CLOSED, 2),
    "blocks, conflict": (["insert"], WRITE_CONFLICT, 3),
    "blocks, stepped down": (["insert"], STEPPED_DOWN, 1),
    "blocks, connection closed": (["insert"], CLOSED, 2),
    "blocks, forbidden for a while": (["insert"], FORBIDDEN, 4),
    "commit, unknown once": (["commitTransaction"], UNKNOWN, 1),
    "commit, unknown beyond all tries": (["commitTransaction"], UNKNOWN, 8),
    "commit, no such transaction": (["commitTransaction"], NO_SUCH, 2),
    "commit, connection closed once": (["commitTransaction"], CLOSED, 1),
    "commit, connection closed often": (["commitTransaction"], CLOSED, 9),
    "commit, no majority once": (["commitTransaction"], NOT_MAJORITY, 1),
    "commit, no majority in any try": (["commitTransaction"],
                                       NOT_MAJORITY, 7),
    "reads of the ledger and of sketches": (["find", "aggregate"], CLOSED, 3),
    "all of it": (["update", "insert", "find", "commitTransaction"],
                  CLOSED, 12),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    # A transaction that mongod does not know to be given up ends sooner.
    with servers_alone(tmp_path_factory.mktemp("transactions"), BUILD,
                       mongod_parameters={"enableTestCommands": "true"},
                       transactionLifetimeLimitSeconds=3) as stack:
        yield stack


@pytest.fixture
def rig(servers, request):
    name = re.sub(r"\W", "-", request.node.name[5:])[:40]
    one = Rig(servers, f"{name}-{time.time_ns() % 10**6}", partitions=3,
              flush_events=500).setup()
    yield one
    one.close()


def fail(rig, mode, commands=(), how=None):
    """Set the failpoint for the writer alone; how often it had struck."""

    data = {"failCommands": list(commands), "appName": "millrace-writer",
            **(how or {})}
    return rig.mongo.admin.command(
        "configureFailPoint", "failCommand", mode=mode,
        **({"data": data} if how else {}))["count"]


@pytest.mark.some(5)
@pytest.mark.parametrize("case", CASES)
def test_an_error_loses_and_repeats_nothing(rig, seed, case):
    commands, how, times = CASES[case]
    made = Workload(seed, time.time() - 30, users=300).events(9000)

    rig.produce(made[:3000])
    rig.start()
    rig.settle()
    before = fail(rig, "off")
    fail(rig, {"times": times}, commands, how)
    try:
        rig.produce(made[3000:])
        # The failpoint counts what it has struck.
        wait_until(lambda: fail_count(rig) >= before + times, 60,
                   lambda: f"{times} errors of {commands}:\n"
                   + rig.log()[-2000:])
    finally:
        fail(rig, "off")

    shot = rig.audit(90)
    assert sum(d["stored"] for d in shot.ledger.values()) == len(set(made))
    assert "STOPPED" not in rig.log()
    rig.stop()


@pytest.mark.slow
def test_a_flush_that_is_given_up_again_and_again_is_made_smaller(servers):
    """mongod ends a transaction that takes longer than it may."""

    admin = servers.mongo.admin
    name = "transactionLifetimeLimitSeconds"
    before = admin.command("getParameter", 1, **{name: 1})[name]
    one = Rig(servers, f"large-{time.time_ns() % 10**6}", partitions=1,
              flush_events=6000).setup()
    made = Workload(7, time.time() - 30, users=300).events(12_000)
    one.produce(made)
    admin.command("setParameter", 1, **{name: 1})
    fail(one, "alwaysOn", ["commitTransaction"],
         {"blockConnection": True, "blockTimeMS": 2500})
    try:
        one.start()
        wait_until(lambda: one.metrics()[
            'millrace_writer_halts_total{reason="large"}'] >= 1, 90,
            lambda: "a smaller flush:\n" + one.log()[-2000:])
    finally:
        fail(one, "off")
        admin.command("setParameter", 1, **{name: before})

    shot = one.audit(90)
    ledger, = shot.ledger.values()
    assert ledger["stored"] == len(set(made))
    assert ledger["flush"] > 2
    assert "has been aborted" in one.log() or "NoSuch" in one.log()
    one.stop()


def fail_count(rig):
    return rig.mongo.admin.command(
        {"getParameter": 1, "failpoint.failCommand": 1})[
            "failpoint.failCommand"]["timesEntered"]
