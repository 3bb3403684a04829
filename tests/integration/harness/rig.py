"""
Writers alone: Kafka and mongod of a stack, and topics and a database of the
test's own, so that many tests share the servers and none sees the other.
Records are produced straight to Kafka, by librdkafka's own Python client.
"""

import json
import os
import re
import signal
import subprocess
import time

import confluent_kafka
import confluent_kafka.admin
import httpx
import pymongo
import pytest

import process
import stackconf

from .audit import audit
from .snapshot import (
    Snapshot, read_collection, read_partials, read_topic)
from .waiting import wait_until

CHECKS = ["ledger", "tiling", "blocks", "partials", "types", "dead"]


class Rig:

    def __init__(self, stack, name, partitions=4, stats=None, **options):
        self.stack = stack
        self.topic, self.dead_topic = f"events-{name}", f"dead-{name}"
        self.window = int(options.get("dedup_window", 500_000))
        self.name = name
        self.options = {
            "kafka": {"topic": self.topic, "dead_topic": self.dead_topic,
                      "stats_topic": f"stats-{name}",
                      "partitions": partitions,
                      # A successor waits for a dead member as long as this.
                      "session.timeout.ms": 3000,
                      "heartbeat.interval.ms": 500},
            "mongodb": {"database": f"millrace-{name}"},
            "writer": {"group": f"writer-{name}", **options},
            "stats": stats or {},
        }
        self.writer = os.path.join(stack.build, "millrace-writer")
        self.processes = {}
        self.logs = {}
        self.begins = {}  # where in its log a process begins
        self.metrics_ports = {}
        self.foreign = []  # what a test wrote, as SentLog.note_foreign()
        self.mongo = pymongo.MongoClient(
            stack.mongo_uri, serverSelectionTimeoutMS=10000)
        self.database = self.mongo[f"millrace-{name}"]
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": stack.brokers, "linger.ms": 5,
            "enable.idempotence": True, "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000})

    # Processes.

    def run(self, *arguments, options=None, binary="millrace-writer"):
        """Run a program to its end: its status and what it said."""

        done = subprocess.run(
            [os.path.join(self.stack.build, binary), "-c",
             self.configuration(options), *arguments],
            cwd=self.stack.directory, env=self.stack._environment(),
            capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def configuration(self, options=None):
        merged = {section: dict(values)
                  for section, values in self.options.items()}
        for section, values in (options or {}).items():
            merged.setdefault(section, {}).update(values)
        path = self.stack.path(f"conf/{self.name}.conf")
        with open(path, "w") as f:
            f.write(stackconf.millrace(self.stack.ports, merged))
        return path

    def setup(self, **options):
        status, said = self.run(binary="millrace-setup",
                                options={"writer": options})
        assert status == 0, said
        return self

    def start(self, part="writer", **environment):
        port = process.free_port(self.stack.ports.values())
        self.metrics_ports[part] = port
        self.logs.setdefault(
            part, self.stack.path(f"{self.name}-{part}.log"))
        env = self.stack._environment({
            "MILLRACE_WRITER_METRICS": f"127.0.0.1:{port}", **environment})
        with open(self.logs[part], "ab") as log:
            self.begins[part] = log.tell()
            self.processes[part] = subprocess.Popen(
                [self.writer, "-c", self.configuration()],
                cwd=self.stack.directory, env=env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True)

    def pid(self, part="writer"):
        running = self.processes.get(part)
        return None if running is None else running.pid

    def signal(self, number, part="writer"):
        self.processes[part].send_signal(number)

    def kill(self, part="writer"):
        running = self.processes.pop(part)
        running.kill()
        running.wait()

    def stop(self, part="writer", seconds=30):
        running = self.processes.pop(part)
        running.terminate()
        status = running.wait(seconds)
        if os.path.getsize(self.logs[part]) == self.begins[part]:
            assert status in (0, -signal.SIGTERM)  # it had hardly begun
            return
        assert status == 0, f"status {status}:\n{self.log(part)[-3000:]}"

    def close(self):
        for part in list(self.processes):
            self.signal(signal.SIGCONT, part)
            self.kill(part)
        self.mongo.close()

    def log(self, part="writer"):
        with open(self.logs[part], errors="replace") as f:
            return f.read()

    def check_alive(self):
        for part, running in self.processes.items():
            assert running.poll() is None, (
                f"{part} ended with {running.returncode}:\n"
                + self.log(part)[-3000:])

    def metrics(self, part="writer"):
        text = httpx.get(
            f"http://127.0.0.1:{self.metrics_ports[part]}/metrics",
            trust_env=False).text
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in text.splitlines()
                if line and not line.startswith("#")}

    # Kafka.

    def produce(self, values, key=None, partition=None):
        """Values in their order; the key is the event's user_id if not given.
        Returns when all are acknowledged."""

        failed = []

        def report(error, _):
            if error is not None:
                failed.append(error)

        for value in values:
            who = json.loads(value)["user_id"] if key is None else key
            where = {} if partition is None else {"partition": partition}
            while True:
                try:
                    self.producer.produce(self.topic, key=who, value=value,
                                          on_delivery=report, **where)
                    break
                except BufferError:
                    self.producer.poll(0.1)
            self.producer.poll(0)

        assert self.producer.flush(60) == 0
        assert not failed, failed[0]

    def transactions(self):
        """A function that writes values of one user in a transaction, and
        commits or aborts it."""

        producer = confluent_kafka.Producer({
            "bootstrap.servers": self.stack.brokers,
            "transactional.id": self.name})
        producer.init_transactions(20)

        def transact(values, commit):
            producer.begin_transaction()
            for value in values:
                producer.produce(self.topic, key="u", value=value)
            producer.flush()
            if commit:
                producer.commit_transaction()
            else:
                producer.abort_transaction()

        return transact

    def ends(self, isolation="read_committed"):
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.stack.brokers, "group.id": "audit",
            "isolation.level": isolation})
        try:
            about = consumer.list_topics(self.topic, timeout=10)
            return {p: consumer.get_watermark_offsets(
                        confluent_kafka.TopicPartition(self.topic, p),
                        timeout=10)[1]
                    for p in about.topics[self.topic].partitions}
        finally:
            consumer.close()

    def admin(self):
        return confluent_kafka.admin.AdminClient(
            {"bootstrap.servers": self.stack.brokers})

    def delete_before(self, partition, offset):
        admin = self.admin()  # the futures end with it
        where = confluent_kafka.TopicPartition(self.topic, partition, offset)
        for future in admin.delete_records([where]).values():
            future.result(20)

    def recreate(self, partitions, **config):
        admin = self.admin()
        admin.delete_topics([self.topic])[self.topic].result(20)
        wait_until(lambda: self.topic not in admin.list_topics(
            timeout=5).topics, 30, f"the end of {self.topic}")
        new = confluent_kafka.admin.NewTopic(self.topic, partitions, 1,
                                             config=config)
        wait_until(lambda: admin.create_topics([new])[self.topic].result(20)
                   is None, 30, f"a new {self.topic}")
        wait_until(lambda: len(admin.list_topics(timeout=5).topics[
            self.topic].partitions) == partitions, 30, "its partitions")

    # MongoDB.

    def ledger(self, partition=0):
        return self.database.ledger.find_one(
            {"_id": f"{self.topic}/{partition}"})

    def next(self):
        return {int(d["_id"].rsplit("/", 1)[1]): d["next"]
                for d in self.database.ledger.find()}

    def settle(self, seconds=60):
        """Wait until all that Kafka holds now is stored."""

        ends = self.ends()

        def stored():
            self.check_alive()
            at = self.next()
            return all(at.get(p, 0) >= end for p, end in ends.items())

        wait_until(stored, seconds, lambda: (
            f"ledger {self.next()} has not reached {ends}\n"
            + "\n".join(self.log(part)[-2000:] for part in self.logs)))

    def snapshot(self):
        shot = Snapshot(window=self.window, taken=int(time.time() * 1000))
        shot.records, shot.ends = read_topic(self.stack.brokers, self.topic)
        shot.partitions = len(shot.ends)
        shot.foreign = list(self.foreign)
        shot.dead = read_topic(self.stack.brokers, self.dead_topic)[0]
        shot.ledger = {int(doc["_id"].rsplit("/", 1)[1]): doc
                       for doc, _ in read_collection(self.database, "ledger")}
        shot.blocks = read_collection(self.database, "blocks")
        shot.partials = read_partials(self.database)
        shot.registry = self.database.state.find_one({"_id": "types"})
        shot.types = [d for d, _ in read_collection(self.database, "types")]
        return shot

    def violations(self, seconds=60, only=CHECKS):
        """Settle, and compare everything with the log: what is wrong, and
        the snapshot."""

        self.settle(seconds)
        shot = self.snapshot()
        return audit(shot, only=only), shot

    def audit(self, seconds=60, only=CHECKS):
        """The same where nothing may be wrong; the snapshot."""

        violations, shot = self.violations(seconds, only)
        assert not violations, "\n".join(violations)
        return shot


@pytest.fixture
def rig(servers, request):
    """A function that makes a rig of the test's own, set up."""

    made = []

    def make(**options):
        name = re.sub(r"\W", "-", request.node.name[5:])[:30]
        made.append(Rig(servers, f"{name}-{time.time_ns() % 10**6}",
                        **options).setup())
        return made[-1]

    yield make
    for one in made:
        one.close()
