#!/usr/bin/env python3
"""
A chaos run: load with repeats, a seeded schedule of faults, and the verdict.

    tests/chaos/run.py --seed 7 --seconds 300 [--members 3] [--network]
                       [--disks] [--clock] [--faults a,b] [--rate 3000]

Events come from build/millrace-load, which writes down what it sent and what
was answered.  After each fault the time is taken until an event is accepted,
and until it can be read.  At the end all is mended, the load is stopped, and
everything is compared (verdict.py).  A run that fails prints its seed and the
timeline; the same arguments repeat the schedule.

With --network and --disks the run moves into namespaces of its own, so that
nothing it does to the network or mounts touches the machine.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(REPO, "tests", "integration")]

import faults  # noqa: E402
import verdict  # noqa: E402
from arena import Arena  # noqa: E402
from probes import Probes  # noqa: E402
from process import end_by_signals  # noqa: E402

RESULTS = os.path.join(REPO, "build", "chaos")
ALONE = "CHAOS_NAMESPACE"


class Timeline:

    def __init__(self):
        self.start = time.monotonic()
        self.lines = []

    def say(self, text):
        line = f"{time.monotonic() - self.start:8.1f} s  {text}"
        self.lines.append(line)
        print(line, flush=True)


class Load:
    """millrace-load, running until it is told to stop."""

    def __init__(self, arena, seed, rate, batch, seconds):
        self.log = arena.stack.path("sent.log")
        self.out = arena.stack.path("load.log")
        self.result = arena.stack.path("load.json")
        self.process = subprocess.Popen(
            [os.path.join(arena.stack.build, "millrace-load"), "-q", "--retry",
             "-s", str(seed), "-k", str(batch), "-c", "16",
             "-r", str(rate / batch), "-d", str(int(seconds)),
             "--timeout", "60", "--log", self.log,
             "--json", self.result,
             arena.stack.url + "/events"],
            stdin=subprocess.DEVNULL, stdout=open(self.out, "wb"),
            stderr=subprocess.STDOUT, start_new_session=True)

    def finish(self, seconds):
        """
        (requests that have no answer, after they were sent again as well;
        [problems]).  An event without an answer may be stored or not.
        """

        code = self.process.wait(timeout=seconds)
        with open(self.out, errors="replace") as f:
            text = f.read()
        unanswered = 0
        if os.path.exists(self.result):
            with open(self.result) as f:
                unanswered = json.load(f)["all"].get("0", {}).get(
                    "requests", 0)
        worse = [line for line in text.splitlines() if "WARNING" not in line]
        if code == 0 or (code == 1 and unanswered and not worse):
            return unanswered, []
        return unanswered, [f"millrace-load ended with {code}: {text[-500:]}"]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def apart(arguments):
    """Run the same in network and mount namespaces of its own."""

    script = 'ip link set lo up && exec "$@"'
    flags = ["--net", "--mount"] + ([] if os.geteuid() == 0
                                    else ["--map-root-user"])
    os.environ[ALONE] = "1"
    os.execvp("unshare", ["unshare", *flags, "--", "sh", "-c", script, "sh",
                          sys.executable, os.path.abspath(__file__),
                          *arguments])


def one_fault(arena, name, rng, probes, timeline, results, limit):
    entry = {"fault": name, "at": round(time.monotonic() - timeline.start, 1)}
    timeline.say(f"{name} ...")
    entry["what"] = faults.FAULTS[name](arena, rng)
    begin = time.monotonic()
    accepted, readable = probes.recover(begin + limit)
    entry["accepted"] = round(accepted - begin, 2)
    entry["readable"] = round(readable - begin, 2)
    timeline.say(f"{name}: {entry['what']}; accepted after "
                 f"{entry['accepted']} s, readable after {entry['readable']}"
                 f" s")
    results.append(entry)


def run(arguments):
    rng = random.Random(arguments.seed)
    timeline = Timeline()
    results, problems, account = [], [], {}
    directory = tempfile.mkdtemp(prefix="millrace-chaos-",
                                 dir=arguments.directory)
    load = None

    try:
        with Arena(directory, arguments.build, members=arguments.members,
                   clock=arguments.clock, network=arguments.network,
                   disks=arguments.disks) as arena:
            names = arguments.faults or faults.available(arena)
            timeline.say(f"seed {arguments.seed}, {arguments.members} of each "
                         f"server, faults: {', '.join(names)}")
            probes = Probes(arena.stack, arguments.seed)
            load = Load(arena, arguments.seed, arguments.rate, arguments.batch,
                        arguments.seconds)
            try:
                schedule(arena, arguments, names, rng, probes, timeline,
                         results)
                arena.start_all()
                timeline.say("all mended; waiting for the sender")
                unanswered, found = load.finish(240)
                problems += found
                account, found = verdict.judge(arena, [load.log], probes,
                                               timeline)
                account["unanswered"] = unanswered
                problems += found
            except Exception as error:
                problems.append(f"{type(error).__name__}: {error}")
            finally:
                load.kill()
                if problems:
                    keep_logs(arena, arguments.seed)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

    for problem in problems:
        timeline.say(f"PROBLEM: {problem}")

    return {"seed": arguments.seed, "members": arguments.members,
            "network": arguments.network, "disks": arguments.disks,
            "clock": arguments.clock, "build": arguments.build,
            "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
            "seconds": round(time.monotonic() - timeline.start),
            "account": account, "faults": results, "problems": problems,
            "timeline": timeline.lines}


def schedule(arena, arguments, names, rng, probes, timeline, results):
    """
    Every fault once in a drawn order, then drawn ones; the load must still
    have a while to go when the last begins.
    """

    end = time.monotonic() + arguments.seconds - 10
    queue = []

    while time.monotonic() < end and len(results) < arguments.most:
        if not queue:
            queue = rng.sample(names, len(names))
        one_fault(arena, queue.pop(), rng, probes, timeline, results,
                  arguments.recover)
        faults.pause(rng.uniform(0, arguments.pause))


def keep_logs(arena, seed):
    folder = os.path.join(RESULTS, f"failed-{seed}")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name in os.listdir(arena.stack.directory):
        if name.endswith(".log") and not name.startswith(("sent", "access")):
            shutil.copy(arena.stack.path(name), folder)
    print(f"logs: {folder}")


def main(argv=None):
    parser = argparse.ArgumentParser(description="One chaos run.")
    parser.add_argument("--seed", type=int,
                        default=random.SystemRandom().getrandbits(31))
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--members", type=int, choices=(1, 3), default=1)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--disks", action="store_true")
    parser.add_argument("--clock", action="store_true")
    parser.add_argument("--rate", type=int, default=3000,
                        help="events a second")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--most", type=int, default=100_000, help="faults")
    parser.add_argument("--pause", type=float, default=2,
                        help="seconds between faults at most")
    parser.add_argument("--recover", type=int, default=120, help="seconds that"
                        " recovery may take, more on a busy machine")
    parser.add_argument("--faults", type=lambda s: s.split(","))
    parser.add_argument("-b", "--build", default="build")
    parser.add_argument("--directory", default=None)
    arguments = parser.parse_args(argv)

    for name in arguments.faults or ():
        if name not in faults.FAULTS:
            parser.error(f"there is no fault {name!r}; there are: "
                         + ", ".join(faults.FAULTS))

    if (arguments.network or arguments.disks) and ALONE not in os.environ:
        apart(sys.argv[1:] if argv is None else argv)

    end_by_signals()
    result = run(arguments)
    os.makedirs(RESULTS, exist_ok=True)
    path = os.path.join(RESULTS, f"run-{arguments.seed}.json")
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
    print(f"{path}: {len(result['faults'])} faults, "
          f"{result['account'].get('accepted', 0)} events, "
          f"{len(result['problems'])} problems; seed {arguments.seed}")
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
