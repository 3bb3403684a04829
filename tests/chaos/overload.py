#!/usr/bin/env python3
"""
`make overload`: ten times the load that the machine takes, and what is left
of the service while it lasts and after it.

    peak       as many events as are accepted: closed loops of 64 and of 256
               connections, the better one counts
    normal     a third of that, as it is due, for the latency of single events
    overload   --factor times the peak is due: each request by the clock, once,
               whatever became of others, on the first of thousands of
               connections that has nothing to do; no sender looks at
               Retry-After
    recovery   single events, from the overload's end on
    again      the better of the two peaks once more, since a database with
               more in it is slower: what is accepted in the overload is
               compared with the mean of both

The generator has a core of its own, in all phases, and the service the others:
so its work is not taken for the service's, and the peak is one under the same
conditions.  What the kernel does for a connection is partly done on the
generator's core, as it would be by another machine's.

What must hold: answers are 202, or 503 or 429 with a Retry-After; at least
0.8 of the peak is accepted; no process takes more memory than its bound; what
is read is answered all the time; 10 s after the end events are accepted as
fast as before, and what has piled up in Kafka is being stored.  Then
everything is compared (verdict.py): each event that got a 202 is stored once
and counted once.

Prints a line a phase, and writes build/chaos/overload.json.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import httpx

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(REPO, "tests", "integration"),
                os.path.join(REPO, "loadtest")]

# Before what puts other folders in front, with a run.py of their own.
from run import RESULTS, Timeline  # noqa: E402

import verdict  # noqa: E402
import cpu  # noqa: E402
from arena import Arena  # noqa: E402
from memory_ingest import bound, resident  # noqa: E402
from probes import Probes  # noqa: E402
from process import end_by_signals  # noqa: E402

MIB = 1 << 20
RECOVERY = 10         # seconds
CLEAR = {202, 429, 503}
DAEMONS = ("millrace-writer", "millrace-stats", "millrace-query")
DAEMON_BOUND = 1024 * MIB
SOCKETS_BOUND = 2048 * MIB
PEAK_CONNECTIONS = 64, 256
# A probe is a single event; a batch ahead of it may take its time.
NORMAL_LEAST = 0.1


class Phase:
    """A run of millrace-load; its result is millrace-load's JSON."""

    def __init__(self, run, name, *options):
        self.run = run
        self.before = cpu.sample(run.processes())
        self.log = run.stack.path(f"sent-{name}.log")
        self.out = run.stack.path(f"load-{name}.json")
        run.logs.append(self.log)
        self.process = subprocess.Popen(
            [os.path.join(run.stack.build, "millrace-load"), "-q",
             "-s", str(len(run.logs)), "-k", str(run.args.batch),
             "--timeout", "60", "--log", self.log, "--json", self.out,
             *map(str, options), run.stack.url + "/events"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, run.sender))
        run.phases.append(self)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def finish(self):
        """With the CPU time of each part, in seconds a second."""

        self.process.wait()
        after = cpu.sample(self.run.processes())
        with open(self.out) as f:
            found = json.load(f)
        used = cpu.difference(self.before, after)
        found["cpu"] = {
            name: round(value / (1 if name in ("idle", "foreign")
                                 else used["seconds"]), 3)
            for name, value in used.items() if name != "seconds"}
        return found


class Poster(threading.Thread):
    """
    Single events, one after the other with a little pause, on a connection
    of its own; what became of each, and whether a refusal says for how long.
    """

    def __init__(self, run, pause=0.1):
        super().__init__(daemon=True)
        self.probes, self.url, self.pause = run.probes, run.stack.url, pause
        self.answers = []      # (when it was sent, status, seconds)
        self.problems = []
        self.done = threading.Event()

    def run(self):
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self.done.is_set():
                sent = time.monotonic()
                answer = self.probes.post(client)
                took = time.monotonic() - sent
                status = 0 if answer is None else answer.status_code
                self.answers.append((sent, status, took))
                if status not in CLEAR:
                    self.problems.append(f"a probe was answered by {status}")
                elif status != 202 and not answer.headers.get(
                        "retry-after", "").isdigit():
                    self.problems.append(f"a {status} without Retry-After")
                self.done.wait(self.pause)

    def stop(self):
        self.done.set()
        self.join()
        return self.answers


class Reader(threading.Thread):
    """Asks /readyz twice a second: nginx, query and MongoDB have a say."""

    def __init__(self, run):
        super().__init__(daemon=True)
        self.url = run.stack.url
        self.times, self.problems = [], []
        self.done = threading.Event()

    def run(self):
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self.done.wait(0.5):
                begin = time.monotonic()
                try:
                    status = client.get("/readyz").status_code
                except httpx.TransportError as error:
                    status = repr(error)
                self.times.append(time.monotonic() - begin)
                if status != 200:
                    self.problems.append(f"/readyz was answered by {status}")

    def stop(self):
        self.done.set()
        self.join()
        return self.times


class Memory(threading.Thread):
    """
    The resident size of every process of ours, twice a second, and what the
    kernel keeps for all TCP connections of the machine.
    """

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack = stack
        self.highest = {}
        self.done = threading.Event()

    def run(self):
        pids = {"nginx": self.stack.nginx_workers(),
                **{name: [self.stack.pid(name)] for name in DAEMONS}}
        while not self.done.wait(0.5):
            for name, those in pids.items():
                self.note(name, max(map(resident, those)))
            self.note("sockets", self.sockets())

    def note(self, name, size):
        self.highest[name] = max(size, self.highest.get(name, 0))

    @staticmethod
    def sockets():
        with open("/proc/net/sockstat") as f:
            [pages] = re.findall(r"^TCP: .* mem (\d+)$", f.read(), re.M)
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        self.done.set()
        self.join()
        return self.highest


class Overload:

    def __init__(self, args, arena, timeline):
        self.args, self.arena, self.timeline = args, arena, timeline
        self.stack = arena.stack
        self.sender = args.sender
        self.probes = Probes(self.stack, 1)
        self.logs, self.problems, self.result = [], [], {}
        self.phases = []

    def run(self):
        # The audit reads so many blocks in one snapshot.
        self.stack.mongo.admin.command(
            "setParameter", 1, minSnapshotHistoryWindowInSeconds=1800)
        self.first_peak()
        self.normal()
        self.overload()
        self.recovery()
        self.second_peak()

        if self.args.rates_only:
            return

        account, found = verdict.judge(self.arena, self.logs, self.probes,
                                       self.timeline, self.args.settle)
        self.problems += found
        self.result["account"] = account

    def processes(self):
        stack = self.stack
        return {"nginx": stack.nginx_workers(),
                **{name: [stack.pid(name)]
                   for name in ("kafka", "mongod", *DAEMONS)}}

    def first_peak(self):
        rates = {n: self.peak("peak", n) for n in PEAK_CONNECTIONS}
        self.best, self.rate = max(rates.items(), key=lambda item: item[1])

    def second_peak(self):
        """What the overload has come to."""

        rate = (self.rate + self.peak("again", self.best)) / 2
        share = self.good / rate
        worst = self.worst / rate
        self.result["share_of_peak"] = round(share, 3)
        self.result["worst_ten_seconds"] = round(worst, 3)
        self.timeline.say(
            f"accepted in the overload: {share:.2f} of the mean of both peaks,"
            f" {worst:.2f} in the worst ten seconds")
        if share < self.args.goodput:
            self.problems.append(f"only {share:.2f} of the peak were accepted")

    def peak(self, name, connections):
        load = Phase(self, f"{name}-{connections}", "-c", connections,
                     "-w", 3, "-d", self.args.peak)
        found = load.finish()
        rate = found["events_per_second"]
        self.result[f"{name}_{connections}"] = {
            "events_per_second": round(rate), "cpu": found["cpu"],
            "sender_busy": found["busiest_thread"]}
        self.timeline.say(f"{name}, {connections} connections: {rate:,.0f} "
                          "events/s were accepted")
        self.check_answers(name, found)
        return rate

    def normal(self):
        load = Phase(self, "normal", "-c", 64, "-d", self.args.peak,
                     "-r", self.rate / 3 / self.args.batch)
        poster = Poster(self)
        poster.start()
        found = load.finish()
        times = [took for _, status, took in poster.stop() if status == 202]
        self.problems += poster.problems
        self.limit = max(NORMAL_LEAST, 2 * max(times))
        self.result["normal"] = {"median": statistics.median(times),
                                 "longest": max(times)}
        self.timeline.say(
            f"at a third of it: a probe takes {statistics.median(times):.3f}"
            f" s, at most {max(times):.3f} s")
        self.check_answers("normal", found)

    def overload(self):
        args = self.args
        load = Phase(self, "overload", "-c", args.connections,
                     "-d", args.seconds,
                     "-r", self.rate * args.factor / args.batch)
        watchers = Poster(self), Reader(self), Memory(self.stack)
        for one in watchers:
            one.start()
        found = load.finish()
        answers, reads, highest = [one.stop() for one in watchers]
        for one in watchers[:2]:
            self.problems += one.problems[:5]
        self.ended = time.monotonic()

        good = self.good = found["events_per_second"]
        seconds = found["acknowledged_by_second"][:args.seconds]
        self.worst = min(sum(seconds[i:i + 10]) / 10
                         for i in range(max(1, len(seconds) - 9)))
        taken = [took for _, status, took in answers if status == 202]
        sent = found["sent"] * args.batch / args.seconds
        self.result["overload"] = {
            "factor": args.factor, "seconds": args.seconds,
            "connections": args.connections,
            "answers": {status: counts["requests"]
                        for status, counts in found["all"].items()},
            "sender_busy": found["busiest_thread"], "cpu": found["cpu"],
            "due_per_second": round(self.rate * args.factor),
            "sent_per_second": round(sent),
            "events_per_second": round(good),
            "latency_ms": found.get("latency_ms"),
            "probes": len(answers), "probes_accepted": len(taken),
            "probes_longest": max(took for *_, took in answers),
            "reads": {"median": statistics.median(reads),
                      "longest": max(reads)},
            "memory": highest, "lag": self.lag()}
        self.timeline.say(
            f"overload: {self.rate * args.factor:,.0f} events/s were due, "
            f"{sent:,.0f} sent ({sent / self.rate:.1f} times the peak), "
            f"{good:,.0f} accepted; {self.result['overload']['answers']}; "
            f"probes: {len(taken)} of {len(answers)} accepted; /readyz took "
            f"{max(reads):.2f} s at most")
        self.timeline.say("highest sizes: " + ", ".join(
            f"{name} {size / MIB:.0f} MiB" for name, size in highest.items()))

        self.check_answers("overload", found)
        for name, size in highest.items():
            if name == "nginx":
                # The workers share the connections, evenly or not.
                most = bound(args.connections)
            elif name == "sockets":
                most = SOCKETS_BOUND
            else:
                most = DAEMON_BOUND
            if size > most:
                self.problems.append(
                    f"{name} took {size / MIB:.0f} MiB; its bound is "
                    f"{most / MIB:.0f} MiB")

    def recovery(self):
        """Ten probes in a row, as fast as at other times; then the lag."""

        poster = Poster(self, pause=0.05)
        poster.start()
        recovered = None
        while recovered is None and time.monotonic() < self.ended + 60:
            time.sleep(0.05)
            last = list(poster.answers)[-10:]
            if len(last) == 10 and all(
                    status == 202 and took <= self.limit
                    for _, status, took in last):
                recovered = last[0][0] - self.ended
        before, at = self.lag(), time.monotonic()
        while self.lag() >= before > 0 and time.monotonic() < at + RECOVERY:
            time.sleep(0.5)
        after = self.lag()
        poster.stop()
        self.problems += poster.problems

        self.result["recovery"] = {"seconds": recovered, "lag": [before,
                                                                 after]}
        if recovered is None or recovered > RECOVERY:
            self.problems.append(f"accepted as before only {recovered} s "
                                 "after the overload")
        if after >= before > 0:
            self.problems.append(f"the lag does not shrink: {before} records,"
                                 f" then {after}")
        self.timeline.say(
            f"recovery: accepted as before {recovered} s after the end; lag "
            f"{before:,} records, and {after:,} {time.monotonic() - at:.1f} s "
            "later")

    def lag(self):
        """Records that Kafka holds and that are not stored."""

        ends = self.stack.ends()
        ledger = {int(d["_id"].rsplit("/", 1)[1]): d["next"]
                  for d in self.stack.database.ledger.find()}
        return sum(end - ledger.get(p, 0) for p, end in ends.items())

    def check_answers(self, name, found):
        for status, counts in found["all"].items():
            if int(status) not in CLEAR and counts["requests"]:
                self.problems.append(
                    f"{name}: {counts['requests']} requests were answered by "
                    f"{status if status != '0' else 'nothing'}")


def run(args):
    timeline = Timeline()
    problems, result = [], {}
    directory = tempfile.mkdtemp(prefix="millrace-overload-")

    try:
        arena = Arena(directory, args.build, heap="512m", mongo_cache=2)
        if args.queue_wait is not None:
            arena.stack.nginx_changes = {
                "# millrace_queue_wait     4s;":
                f"millrace_queue_wait {args.queue_wait};"}
        with arena:
            overload = Overload(args, arena, timeline)
            try:
                overload.run()
            except Exception as error:
                overload.problems.append(f"{type(error).__name__}: {error}")
            finally:
                for phase in overload.phases:
                    phase.end()
            problems, result = overload.problems, overload.result
    finally:
        shutil.rmtree(directory, ignore_errors=True)

    for problem in problems:
        timeline.say(f"PROBLEM: {problem}")
    return {**result, "problems": problems,
            "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}


def main():
    parser = argparse.ArgumentParser(description="Ten times too much load.")
    parser.add_argument("--seconds", type=int, default=300,
                        help="of overload")
    parser.add_argument("--peak", type=int, default=30,
                        help="seconds in which the peak is measured")
    parser.add_argument("--factor", type=float, default=10)
    parser.add_argument("--connections", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--queue-wait", metavar="TIME",
                        help="millrace_queue_wait, instead of its default")
    parser.add_argument("--rates-only", action="store_true",
                        help="without the account at the end")
    parser.add_argument("--goodput", type=float, default=0.8,
                        help="the share of the peak that must be accepted")
    parser.add_argument("--settle", type=int, default=1800, help="seconds "
                        "until all that was accepted must be stored")
    parser.add_argument("-b", "--build", default="build")
    args = parser.parse_args()

    end_by_signals()

    args.sender = os.sched_getaffinity(0)
    if len(args.sender) > 1:
        # What is started from now on has all cores but that one.
        args.sender = {max(args.sender)}
        os.sched_setaffinity(0, os.sched_getaffinity(0) - args.sender)

    result = run(args)
    os.makedirs(RESULTS, exist_ok=True)
    path = os.path.join(RESULTS, "overload.json")
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
    print(f"overload: {path}: {len(result['problems'])} problems")
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
