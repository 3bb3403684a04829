"""
docs/security.md's table of rights: each part with a user of Kafka's own, and
what the table gives it, and nothing else.
"""

import re
import subprocess
import time

import confluent_kafka
import httpx
import pytest
from confluent_kafka.admin import (AclBinding, AclOperation,
                                   AclPermissionType, AdminClient,
                                   ResourcePatternType, ResourceType)

from conftest import BUILD
from harness.pipeline import Pipeline
from harness.sender import Sender, SentLog
from harness.waiting import wait_until

pytestmark = pytest.mark.slow

REPO = __file__.rsplit("/", 3)[0]
PARTS = ["nginx", "writer", "stats", "query", "audit", "setup", "erase"]
KINDS = {"group": ResourceType.GROUP,
         "transactional id": ResourceType.TRANSACTIONAL_ID}


def secret(user):
    return f"{user}-secret"


def rights():
    """{part: [(kind, name, operation)]}, as the table has them."""

    with open(f"{REPO}/docs/security.md", encoding="utf-8") as f:
        rows = re.findall(r"^\| (`millrace-\w+`|nginx) \| (.*?) \|", f.read(),
                          re.M)
    found = {}
    for part, text in rows:
        made = found.setdefault(part.strip("`").removeprefix("millrace-"), [])
        for operations, names in re.findall(
                r"((?:(?:, | and )?`[A-Z]\w+`)+) on (.*?)(?=, `|$)", text):
            kind = ResourceType.TOPIC
            if "three topics" in names:
                names = "`events`, `events-dead`, `event-stats`"
            for before, name in re.findall(r"([^`]*)`([^`]+)`", names):
                kind = next((k for word, k in KINDS.items()
                             if word in before), kind)
                made += [(kind, name, operation)
                         for operation in re.findall(r"`(\w+)`", operations)]
    return found


class Guarded(Pipeline):

    def __init__(self, directory, build, **settings):
        super().__init__(directory, build, **settings)
        users = " ".join(f'user_{user}="{secret(user)}"'
                         for user in ("admin", *PARTS))
        self.options["kafka"].update({
            "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"})
        self.kafka_properties = {
            "listeners": f"SASL_PLAINTEXT://127.0.0.1:{self.ports['kafka']},"
                         f"CONTROLLER://127.0.0.1:{self.ports['controller']}",
            "advertised.listeners":
                f"SASL_PLAINTEXT://127.0.0.1:{self.ports['kafka']}",
            "listener.security.protocol.map":
                "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SASL_PLAINTEXT",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config":
                "org.apache.kafka.common.security.plain.PlainLoginModule "
                f'required username="admin" password="{secret("admin")}" '
                f"{users};",
            "authorizer.class.name":
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS"}
        self.nginx_changes = {"millrace_topic   events;": "\n    ".join((
            "millrace_topic   events;",
            "millrace_kafka security.protocol SASL_PLAINTEXT;",
            "millrace_kafka sasl.mechanism PLAIN;",
            "millrace_kafka sasl.username nginx;",
            f"millrace_kafka sasl.password {secret('nginx')};"))}

    def login(self, user):
        return {"bootstrap.servers": self.brokers,
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN", "sasl.username": user,
                "sasl.password": secret(user)}

    def as_user(self, part):
        return {"MILLRACE_KAFKA_SASL_USERNAME": part,
                "MILLRACE_KAFKA_SASL_PASSWORD": secret(part)}

    def _is_ready(self, name):
        if name != "kafka":
            return super()._is_ready(name)
        try:
            admin = AdminClient(self.login("admin"))
            return len(admin.list_topics(timeout=5).brokers) == 1
        except confluent_kafka.KafkaException:
            return False

    def _command(self, name):
        command, extra = super()._command(name)
        part = name.removeprefix("millrace-")
        return command, {**extra, **self.as_user(part)}

    def _setup(self):
        self.environment.update(self.as_user("setup"))
        super()._setup()

    def program(self, name, *arguments):
        return subprocess.run(
            [self._binary(f"millrace-{name}"), "-c", self.conf, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=self.directory, text=True,
            env=self._environment(self.as_user(name)), timeout=120,
            check=False)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    one = Guarded(tmp_path_factory.mktemp("rights"), build=BUILD, options={
        "kafka": {"session.timeout.ms": "3000",
                  "heartbeat.interval.ms": "500"},
        "stats": {"lease": "2s"}})
    try:
        one.start("kafka", "mongod")
        admin = AdminClient(one.login("admin"))
        bindings = [AclBinding(
            kind, name, ResourcePatternType.LITERAL, f"User:{part}", "*",
            getattr(AclOperation, re.sub(
                r"(?<=[a-z])([A-Z])", r"_\1", operation).upper()),
            AclPermissionType.ALLOW)
            for part, given in rights().items()
            for kind, name, operation in given]
        for future in admin.create_acls(bindings).values():
            future.result(20)
        one.start("setup", "query", "writer", "stats", "nginx")
        wait_until(one.ready, 60, "/readyz")
        yield one
        problems = one.deaths()
        one.stop()
        problems += one.problems()
        assert not problems, "\n".join(problems)
    finally:
        one.close()


def test_the_table_is_understood():
    found = rights()
    assert sorted(found) == sorted(PARTS)
    assert (ResourceType.TRANSACTIONAL_ID, "millrace-stats-event-stats",
            "Write") in found["stats"]
    assert (ResourceType.GROUP, "millrace-writer", "Read") in found["writer"]
    assert found["query"] == [(ResourceType.TOPIC, "event-stats", "Read"),
                              (ResourceType.TOPIC, "event-stats", "Describe")]


def test_every_part_does_its_work(stack):
    now = int(time.time())
    log = SentLog()
    with Sender(stack.url, log) as sender:
        sender.deliver([
            {"event_id": f"r{i}", "user_id": f"user-{i % 7}",
             "event_type": "rights", "timestamp": now, "metadata": {}}
            for i in range(100)])
    admin = confluent_kafka.Producer(stack.login("admin"))
    admin.produce("events", key="u", value=b"no event")
    assert admin.flush(20) == 0

    with httpx.Client(base_url=stack.url, timeout=30) as client:
        wait_until(lambda: len(client.get("/events", params={
            "event_type": "rights", "limit": 1000}).json()["events"]) == 100,
            30, "the events")
        with client.stream("GET", "/stats/stream", params={
                "event_type": "rights", "time_interval": "1h"}) as stream:
            assert stream.status_code == 200, stream.read()
            deadline = time.monotonic() + 30
            for line in stream.iter_lines():
                if '"count":100' in line.replace(" ", ""):
                    break
                assert time.monotonic() < deadline, "the statistics"

    done = stack.program("audit", "--settle")
    assert done.returncode == 0, done.stdout
    done = stack.program("erase", "--user", "user-3")
    assert done.returncode == 0, done.stdout
