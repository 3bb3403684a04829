"""
Kafka by TLS and SCRAM, MongoDB by TLS and passwords, end to end: every
program through both, and what each says when a password or a certificate is
not right.  No log holds a password.
"""

import glob
import json
import os
import re
import subprocess
import time

import confluent_kafka
import httpx
import pymongo
import pytest

from conftest import BUILD
from harness import secure
from harness.sender import Sender, SentLog
from harness.waiting import wait_until

pytestmark = pytest.mark.slow

WRONG = "wr0ng-Zq8"
DAEMONS = ["writer", "stats", "query"]
ONE_SHOT = ["setup", "audit"]

KAFKA_PASSWORD = r"SASL authentication error|Authentication failed"
KAFKA_CA = r"certificate verify failed|broker certificate could not be verif"
MONGO_PASSWORD = r"Authentication failed"
MONGO_CA = r"TLS handshake failed|certificate verify failed"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    one = secure.SecurePipeline(
        tmp_path_factory.mktemp("tls"), build=BUILD, options={
            "kafka": {"session.timeout.ms": "3000",
                      "heartbeat.interval.ms": "500",
                      "debug": "security,broker"},
            "stats": {"lease": "2s"}})
    one.environment["MILLRACE_LOG"] = "debug"
    try:
        one.start("kafka", "mongod")
        one.initiate()
        one.start("setup", "query", "writer", "stats", "nginx")
        wait_until(one.ready, 60, "/readyz")
        yield one
        problems = one.deaths()
        one.stop()
        problems += one.problems()
        assert not problems, "\n".join(problems)
    finally:
        one.close()


def test_the_servers_take_nothing_else(stack):
    plain = confluent_kafka.Consumer({
        "bootstrap.servers": stack.brokers, "group.id": "plain"})
    with pytest.raises(confluent_kafka.KafkaException):
        plain.list_topics(timeout=3)
    plain.close()

    nobody = stack.client(confluent_kafka.Consumer, **{
        "sasl.password": WRONG})
    with pytest.raises(confluent_kafka.KafkaException):
        nobody.list_topics(timeout=3)
    nobody.close()

    with pymongo.MongoClient("127.0.0.1", stack.ports["mongod"],
                             directConnection=True,
                             serverSelectionTimeoutMS=2000) as client:
        with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
            client.admin.command("ping")
    with stack.direct() as client:
        with pytest.raises(pymongo.errors.OperationFailure):
            client.millrace.blocks.find_one()


def test_every_part_through_both(stack):
    now = int(time.time())
    log = SentLog()
    events = [{"event_id": f"tls-{i}", "user_id": f"user-{i % 7}",
               "event_type": "tls", "timestamp": now - i,
               "metadata": {"value": i}} for i in range(500)]
    with Sender(stack.url, log) as sender:
        sender.deliver(events)
        sender.deliver(events[:20])
    assert sum(entry.acked > 0 for entry in log.entries()) == 500
    stack.settle()

    with httpx.Client(base_url=stack.url, timeout=30) as client:
        found = client.get("/events", params={
            "event_type": "tls", "limit": 1000}).json()["events"]
        assert sorted(e["event_id"] for e in found) \
            == sorted(e["event_id"] for e in events)
        stats = client.get("/stats", params={
            "event_type": "tls", "time_interval": "1d",
            "from": now - 86400}).json()
        assert stats["total"]["count"] == 500

    # What stats has published can be read as well.
    consumer = stack.client(confluent_kafka.Consumer, **{
        "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([stack.stats_topic])
        record = wait_until(lambda: consumer.poll(1), 30, "a statistic")
        assert record.error() is None
    finally:
        consumer.close()

    done = stack.program("audit", "--json", "--settle", MILLRACE_LOG="warn",
                         MILLRACE_MONGODB_URI=stack.uri(
                             secure.READER, secure.READER_PASSWORD))
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout[done.stdout.index("{"):])
    assert report["balanced"] and report["sum"]["records"] >= 520


def said(stack, name, environment, pattern, tmp_path):
    """What a program says until it has said the pattern; then it is ended."""

    path = tmp_path / "log"
    more = ["--timeout", "5"] if name in ONE_SHOT else []
    free = {f"MILLRACE_{part}_{key}".upper():
            f"127.0.0.1:{secure.free_port()}"
            for part, key in (("writer", "metrics"), ("stats", "metrics"),
                              ("query", "metrics"), ("query", "listen"))}
    with open(path, "wb") as out:
        process = subprocess.Popen(
            [stack._binary(f"millrace-{name}"), "-c", stack.conf, *more],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            cwd=stack.directory,
            env=stack._environment({**free, "MILLRACE_WRITER_GROUP": "wrong",
                                    **environment}))
    try:
        wait_until(lambda: re.search(pattern, path.read_text()), 40,
                   lambda: path.read_text()[-3000:])
        if name in ONE_SHOT:
            assert process.wait(60) != 0, path.read_text()
    finally:
        process.terminate()
        process.wait(60)
    return path.read_text()


@pytest.mark.parametrize("name", [*ONE_SHOT, *DAEMONS])
@pytest.mark.parametrize("what", ["password", "ca"])
def test_mongodb_that_does_not_match(stack, name, what, tmp_path):
    uri = stack.uri(secure.WRITER, WRONG) if what == "password" else \
        stack.uri(secure.WRITER, secure.WRITER_PASSWORD, stack.other_ca)
    text = said(stack, name, {"MILLRACE_MONGODB_URI": uri},
                MONGO_PASSWORD if what == "password" else MONGO_CA, tmp_path)
    no_secret(text)


@pytest.mark.parametrize("name", [*ONE_SHOT, *DAEMONS])
@pytest.mark.parametrize("what", ["password", "ca"])
def test_kafka_that_does_not_match(stack, name, what, tmp_path):
    environment = {"MILLRACE_KAFKA_SASL_PASSWORD": WRONG} \
        if what == "password" else \
        {"MILLRACE_KAFKA_SSL_CA_LOCATION": stack.other_ca}
    if name == "stats":
        # Kafka is needed by who holds the lease and has what to publish.
        stack.stop("stats")
        assert httpx.post(stack.url + "/events", timeout=30, json={
            "event_id": f"publish-{what}", "user_id": "u",
            "event_type": "tls", "timestamp": int(time.time())
        }).status_code == 202
    try:
        text = said(stack, name, environment, KAFKA_PASSWORD
                    if what == "password" else KAFKA_CA, tmp_path)
    finally:
        stack.start("stats")
    no_secret(text)


@pytest.mark.parametrize("what, pattern", [
    ("password", KAFKA_PASSWORD), ("ca", KAFKA_CA)])
def test_nginx_that_does_not_match(stack, what, pattern):
    right = dict(stack.nginx_changes)
    change = (secure.WRITER_PASSWORD, WRONG) if what == "password" \
        else (stack.ca, stack.other_ca)
    stack.stop("nginx")
    begin = len(stack.log_text("nginx"))
    stack.nginx_changes = {old: new.replace(*change)
                           for old, new in right.items()}
    try:
        stack.start("nginx")
        answer = wait_until(lambda: httpx.post(
            stack.url + "/events", timeout=30, json={
                "event_id": f"wrong-{what}", "user_id": "u",
                "event_type": "tls", "timestamp": int(time.time())}),
            40, "an answer")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        wait_until(lambda: re.search(pattern, stack.log_text("nginx")[begin:]),
                   30, lambda: stack.log_text("nginx")[begin:])
    finally:
        stack.stop("nginx")
        stack.nginx_changes = right
        stack.start("nginx")
    wait_until(stack.ready, 30, "/readyz")


def no_secret(text):
    for secret in (*secure.SECRETS, WRONG):
        assert secret not in text


def test_no_log_holds_a_password(stack):
    logs = glob.glob(stack.path("*.log"))
    assert {"nginx.log", "millrace-writer.log", "kafka.log"} \
        <= {os.path.basename(log) for log in logs}
    for log in logs:
        with open(log, errors="replace") as f:
            no_secret(f.read())
    for part in ("writer", "stats", "query", "nginx"):
        with open(f"/proc/{stack.pid(part)}/cmdline") as f:
            no_secret(f.read())
