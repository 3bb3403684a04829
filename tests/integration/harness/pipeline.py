"""
The stack of scripts/stack.py as the tests use it: it remembers which process
ought to run, so that one that died by itself is noticed, and it can wait
until everything that was sent has been stored and counted.
"""

import contextlib
import os
import re
import sys
import threading

import confluent_kafka
import pymongo

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(REPO, "scripts"))

import stack as processes  # noqa: E402

from .link import Link  # noqa: E402
from .waiting import wait_until  # noqa: E402

WORKER = re.compile(r"nginx: worker process")

# So that what libmongoc loses (tests/lsan.supp) is told from what we lose.
UNWINDING = {"ASAN_OPTIONS": "fast_unwind_on_malloc=0"}


class Pipeline(processes.Stack):

    topic, stats_topic, dead_topic = "events", "event-stats", "events-dead"

    def __init__(self, directory, build, options=None, **settings):
        super().__init__(directory, build=build, options=options, **settings)
        self.expected = {}        # part -> pid that ought to run
        self.killed_workers = []  # of nginx, by the tests
        self.excused = set()      # lines of logs that a test has asked for
        self._mongo = None
        self._starting = threading.Lock()

    @property
    def dedup_window(self):
        return int(self.options.get("writer", {}).get("dedup_window", 500000))

    @property
    def mongo(self):
        if self._mongo is None:
            self._mongo = pymongo.MongoClient(
                self.mongo_uri, serverSelectionTimeoutMS=10000)
        return self._mongo

    @property
    def database(self):
        return self.mongo["millrace"]

    # Which processes ought to run.

    def start(self, *parts, wait=True):
        with self._starting:  # it writes the configuration files anew
            super().start(*parts, wait=wait)
        for name in map(processes.part_name, parts or processes.ORDER):
            if self.pid(name):
                self.expected.setdefault(name, self.pid(name))

    def stop(self, *parts):
        for name in parts or list(self.expected):
            self.expected.pop(processes.part_name(name), None)
        return super().stop(*parts)

    def kill(self, part):
        self.expected.pop(processes.part_name(part), None)
        return super().kill(part)

    def deaths(self):
        """Sentences on processes that are gone though nobody asked."""

        found = []
        for name, pid in self.expected.items():
            if self.pid(name) != pid:
                child = self.children.get(name)
                status = None if child is None else child.poll()
                found.append(f"{name} (pid {pid}) ended by itself with "
                             f"status {status}; the end of its log:\n"
                             + self.log_text(name)[-2000:])
        return found

    def finish(self):
        """Stop all; sentences on what was wrong, up to the last exit."""

        problems = self.deaths()
        status = self.stop()
        problems += [f"{part} ended with status {code} when it was stopped"
                     for part, code in status.items()
                     if part.startswith(("millrace", "nginx"))
                     and code not in (0, None)]
        return problems + self.problems()

    def revive(self):
        """Start what does not run; after a test that failed half-way."""

        self.expected = {name: pid for name, pid in self.expected.items()
                         if self.pid(name) == pid}
        missing = [name for name in processes.ORDER
                   if name != "millrace-setup" and name not in self.expected]
        if missing:
            self.start(*missing)
            wait_until(self.ready, 60, "/readyz")

    # nginx's workers.

    def nginx_workers(self):
        """Process ids of the workers that nginx's master has."""

        master = self.pid("nginx")
        found = []
        for pid in self.group("nginx"):
            try:
                with open(f"/proc/{pid}/cmdline", errors="replace") as f:
                    if pid != master and WORKER.search(f.read()):
                        found.append(pid)
            except OSError:
                continue
        return found

    def kill_nginx_worker(self, pid):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            return  # it was told to stop meanwhile
        self.killed_workers.append(pid)

    def problems(self):
        """As Stack's, without the alerts on workers that a test killed."""

        ours = [f"worker process {pid} exited on signal 9"
                for pid in self.killed_workers]
        return [line for line in super().problems()
                if line not in self.excused
                and not any(text in line for text in ours)]

    def excuse(self, expected):
        """Problems that the logs hold by now, where expected(line) is true."""

        self.excused |= set(filter(expected, super().problems()))

    # At rest.

    def consumer(self):
        return confluent_kafka.Consumer({
            "bootstrap.servers": self.brokers, "group.id": "audit"})

    def ends(self):
        """{partition: offset after the last record} of the topic."""

        consumer = self.consumer()
        try:
            about = consumer.list_topics(self.topic, timeout=10)
            return {p: consumer.get_watermark_offsets(
                        confluent_kafka.TopicPartition(self.topic, p),
                        timeout=10)[1]
                    for p in about.topics[self.topic].partitions}
        finally:
            consumer.close()

    def settle(self, seconds=60):
        """
        Wait until all that Kafka holds now is stored, merged and published.
        """

        ends = self.ends()
        database = self.database
        state = {}

        def stored():
            state["ledger"] = {
                int(d["_id"].rsplit("/", 1)[1]): (d["next"], d["flush"])
                for d in database.ledger.find()}
            return all(state["ledger"].get(p, (0, 0))[0] >= end
                       for p, end in ends.items())

        def merged():
            merge = database.state.find_one({"_id": "merge"})
            state["merged"] = {} if merge is None else {
                d["partition"]: d["flush"] for d in merge["partitions"]}
            return (all(state["merged"].get(p, 0) >= flush
                        for p, (_, flush) in state["ledger"].items())
                    and database.windows.count_documents(
                        {"dirty": True}) == 0)

        wait_until(stored, seconds, lambda: (
            f"ledger (next, flush) {state.get('ledger')} has not reached the "
            f"log's ends {ends}"))
        wait_until(merged, seconds, lambda: (
            f"merged flushes {state.get('merged')} have not reached the "
            f"ledger's {state['ledger']}, or windows are still dirty"))


@contextlib.contextmanager
def query_alone(directory, build, options=None, mongod_parameters=None):
    """mongod and the query daemon; nothing else runs, and nothing fails."""

    stack = Pipeline(directory, build=build, options=options)
    stack.mongod_parameters = mongod_parameters or {}
    try:
        stack.start("mongod", "query")
        yield stack
        problems = stack.finish()
        assert not problems, "\n".join(problems)
    finally:
        stack.close()


@contextlib.contextmanager
def servers_alone(directory, build, link=False, mongod_parameters=None,
                  **parameters):
    """
    Kafka and mongod for daemons that a test starts itself.

    `parameters` are mongod's, set while it runs.  With `link` Kafka has a
    second listener, which is reached through the stack's `link` alone.
    """

    stack = Pipeline(directory, build=build)
    stack.environment = UNWINDING
    stack.mongod_parameters = mongod_parameters or {}
    with contextlib.ExitStack() as ends:
        if link:
            stack.link = Link(stack._port("kafka_behind"))
            ends.callback(stack.link.close)
            stack.kafka_properties = _behind(stack)
        ends.callback(stack.close)
        stack.start("kafka", "mongod")
        if parameters:
            stack.mongo.admin.command("setParameter", 1, **parameters)
        yield stack
        problems = stack.problems()
        assert not problems, "\n".join(problems)


def _behind(stack):
    plain = f"PLAINTEXT://127.0.0.1:{stack.ports['kafka']}"
    behind = f"BEHIND://127.0.0.1:{stack.ports['kafka_behind']}"
    controller = f"CONTROLLER://127.0.0.1:{stack.ports['controller']}"
    linked = f"BEHIND://127.0.0.1:{stack.link.port}"
    return {
        "listeners": f"{plain},{behind},{controller}",
        "advertised.listeners": f"{plain},{linked}",
        "listener.security.protocol.map":
            "PLAINTEXT:PLAINTEXT,BEHIND:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT"}
