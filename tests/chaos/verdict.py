"""
The verdict on a chaos run, from what the senders know:

    the sender's log against Kafka, record by record    topic_tool audit
    Kafka against accounts, blocks and windows          millrace-audit
    events that differ in Kafka = events stored          the ledgers
    GET /stats over all of time = the same number        nginx, query
    the probes, each 202'd one stored once               GET /events

So an event that got a 202 and is missing, one that is stored or counted twice,
or one that was never sent, is a problem in at least one of them.
"""

import json
import os
import subprocess
import time

import httpx

from harness.waiting import wait_until


def judge(arena, logs, probes, timeline, seconds=300):
    """
    ({what was counted}, [problems]).  All has to be stored within `seconds`.
    """

    stack = arena.stack
    problems = []

    wait_until(stack.ready, 120, "/readyz after all was mended")
    begin = time.monotonic()
    stack.settle(seconds)
    timeline.say(f"settled in {time.monotonic() - begin:.1f} s")

    sent = _topic_tool(stack, logs)
    report = _audit(stack)
    ledgers = list(stack.database.ledger.find())
    stored = sum(d["stored"] for d in ledgers)

    for name in ("missing", "misplaced"):
        if sent[name]:
            problems.append(f"sender's log against Kafka: {sent[name]} events "
                            f"are {name}")

    for finding in report["findings"][:20]:
        problems.append(f"millrace-audit: {finding['check']} partition "
                        f"{finding['partition']}: {finding['text']}")

    found = probes.stored()
    problems += [f"probe {i} got a 202 and is not stored"
                 for i in probes.accepted - set(found)]
    problems += [f"probe {i} is stored {found.count(i)} times"
                 for i in set(found) if found.count(i) != 1]
    problems += [f"probe {i} was never sent, and is stored"
                 for i in set(found) - probes.accepted - probes.unsure]

    distinct = sent["distinct"] + len(found)
    if stored != distinct:
        problems.append(f"{stored} events are stored, and Kafka holds "
                        f"{distinct} different ones")

    counted = _counted(stack)
    if counted != distinct:
        problems.append(f"GET /stats counts {counted} events of {distinct}")

    problems += stack.deaths()
    problems += [line for line in stack.problems()
                 if not expected(line)][:20]

    account = {"sent": sent["sent"], "accepted": sent["acknowledged"],
               "records": sent["records"], "distinct": distinct,
               "stored": stored, "counted": counted,
               "repeated": sum(d["repeated"] for d in ledgers),
               "probes": len(found),
               # librdkafka sends again what a broker that answered too late
               # had taken: the writer drops these like any repeat.
               "resent": sent["surplus"],
               "lost": sent["missing"] + max(0, distinct - stored),
               "twice": max(0, stored - distinct)}
    timeline.say(f"account: {account}")
    return account, problems


def _topic_tool(stack, logs):
    done = subprocess.run(
        [os.path.join(stack.build, "topic_tool"), stack.brokers, "audit",
         stack.topic, *logs], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, check=False)
    # It fails for the probes, which are in no log of a sender's.
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def _audit(stack):
    """millrace-audit over the whole run."""

    done = subprocess.run(
        [os.path.join(stack.build, "millrace-audit"), "-c", stack.conf,
         "--json", "--settle", "--timeout", "240",
         "--from", str(int(time.time()) - 6 * 3600)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def _counted(stack):
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        answer = client.get("/stats", params={
            "time_interval": "1d", "from": int(time.time()) - 30 * 86400,
            "to": int(time.time()) + 30 * 86400})
        answer.raise_for_status()
        return answer.json()["total"]["count"]


def expected(line):
    """What nginx says of a worker that was killed, and of full tables."""

    return ("exited on signal 9" in line
            or "(24: Too many open files)" in line)
