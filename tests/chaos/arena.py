"""
A stack that faults can be done to: one server of a kind or three, with what
the faults need to know of it.
"""

import os
import subprocess

import pymongo

from harness.clock import Clock
from harness.pipeline import Pipeline
from harness.waiting import wait_until

CLOCKED = ("nginx", "millrace-writer", "millrace-stats", "millrace-query")

# Ten minutes at 4,000 events/s are a gigabyte of mongod's with its oplog: what
# is full has to be the ballast's doing.
DISK = "1800m"


class ChaosStack(Pipeline):
    """Gives each of our processes a clock of its own, if it is to have one."""

    clocks = {}

    def _command(self, name):
        command, extra = super()._command(name)
        if name in self.clocks:
            extra = {**extra, **self.clocks[name].environment}
        return command, extra


class Arena:

    def __init__(self, directory, build, members=1, clock=False,
                 network=False, disks=False, options=None, **settings):
        kafka = {"session.timeout.ms": "3000", "heartbeat.interval.ms": "500"}
        if members > 1:
            kafka.update({"replication": members,
                          "min_insync_replicas": members - 1})
        self.stack = ChaosStack(directory, build=build, members=members,
                                options={"kafka": kafka,
                                         "stats": {"lease": "2s"},
                                         **(options or {})}, **settings)
        if clock:
            self.stack.clocks = {
                name: Clock(self.stack.directory, f"clock-{name}")
                for name in CLOCKED}
        self.several = members > 1
        self.clock = clock
        self.network = network
        self.disks = disks
        self.members = members
        self.mounted = []
        numbers = range(2, members + 1)
        self.brokers = ["kafka", *(f"kafka-{n}" for n in numbers)]
        self.mongods = ["mongod", *(f"mongod-{n}" for n in numbers)]

    def __enter__(self):
        if self.disks:
            for part in (self.brokers[-1], self.mongods[-1]):
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}",
                                "tmpfs", self.disk(part)], check=True)
                self.mounted.append(self.disk(part))
        try:
            self.stack.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()
        for folder in self.mounted:
            subprocess.run(["umount", "-l", folder], check=False)

    def disk(self, part):
        return self.stack.path(f"data/{part}")

    def start(self, *parts):
        """Start what does not run; whether it has recovered is asked later."""

        missing = [part for part in parts if not self.stack.running(part)]
        if missing:
            self.stack.start(*missing, wait=False)

    def start_all(self):
        self.start("nginx", "writer", "stats", "query", *self.brokers,
                   *self.mongods)

    def set_clock(self, part, offset):
        """The time of day of a process, in seconds ahead of the real one."""

        name = part if part == "nginx" else f"millrace-{part}"
        self.stack.clocks[name].set(offset)

    def port_names(self, part):
        """Of a broker its controller's as well."""

        if part.startswith("kafka"):
            return part, part.replace("kafka", "controller")
        return (part,)

    def mongod(self, part):
        return pymongo.MongoClient(
            "127.0.0.1", self.stack.ports[part], directConnection=True,
            serverSelectionTimeoutMS=2000, socketTimeoutMS=5000)

    def primary(self):
        """The mongod that is primary now."""

        if not self.several:
            return "mongod"

        def find():
            for part in self.mongods:
                try:
                    with self.mongod(part) as client:
                        hello = client.admin.command("hello")
                        if hello["isWritablePrimary"]:
                            return part
                except pymongo.errors.PyMongoError:
                    continue
            return None

        return wait_until(find, 60, "a primary")

    def controller(self):
        """The broker whose quorum log says that it leads; else any."""

        best, found = -1, self.brokers[0]
        for part in self.brokers:
            for line in reversed(self.stack.log_text(part).splitlines()):
                if "Completed transition to Leader" in line:
                    epoch = int(line.rpartition("epoch=")[2].split(",")[0]
                                if "epoch=" in line else 0)
                    if epoch > best:
                        best, found = epoch, part
                    break
        return found
