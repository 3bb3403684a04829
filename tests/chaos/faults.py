"""
The faults: each breaks something of a running stack, holds it for a while,
and mends it again.  All that is random about one is drawn from the random
generator that it is given, so that a seed repeats a schedule.

A fault is a function (arena, rng) -> what was done, in words.  When it returns
everything runs again, though it need not have recovered.  `needs` says what an
arena must have for it.
"""

import os
import resource
import signal
import subprocess
import time

import pymongo.errors

HOLD = (0.0, 2.0)       # seconds that a killed process stays away
DAEMONS = ("writer", "stats", "query")

FAULTS = {}


def fault(needs=()):
    def add(function):
        FAULTS[function.__name__] = function
        function.needs = needs
        return function
    return add


def available(arena):
    """Names of the faults that the arena can have."""

    return [name for name, function in FAULTS.items()
            if all(getattr(arena, need) for need in function.needs)]


def pause(seconds):
    """A fault lasts; nothing is waited for here."""

    time.sleep(seconds)


# Our own processes.

def _kill(arena, rng, part):
    arena.stack.kill(part)
    pause(rng.uniform(*HOLD))
    arena.start(part)
    return part


@fault()
def kill_writer(arena, rng):
    return _kill(arena, rng, "writer")


@fault()
def kill_stats(arena, rng):
    return _kill(arena, rng, "stats")


@fault()
def kill_query(arena, rng):
    return _kill(arena, rng, "query")


@fault()
def kill_nginx(arena, rng):
    """Master and workers at once."""
    return _kill(arena, rng, "nginx")


@fault()
def kill_nginx_worker(arena, rng):
    workers = sorted(arena.stack.nginx_workers())
    if not workers:
        return "no worker was there"
    worker = rng.choice(workers)
    arena.stack.kill_nginx_worker(worker)
    return f"one of {len(workers)} workers"


@fault()
def terminate(arena, rng):
    part = rng.choice((*DAEMONS, "nginx"))
    arena.stack.stop(part)
    pause(rng.uniform(0, 1))
    arena.start(part)
    return part


def _freeze(arena, part, pids, seconds):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        pause(seconds)
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
    return f"{part} for {seconds:.1f} s"


@fault()
def freeze_writer(arena, rng):
    """Past its session with the group: a zombie when it wakes."""
    return _freeze(arena, "writer", [arena.stack.pid("writer")],
                   rng.uniform(1, 9))


@fault()
def freeze_stats(arena, rng):
    """Past its lease."""
    return _freeze(arena, "stats", [arena.stack.pid("stats")],
                   rng.uniform(1, 6))


@fault()
def freeze_query(arena, rng):
    return _freeze(arena, "query", [arena.stack.pid("query")],
                   rng.uniform(0.5, 4))


@fault()
def freeze_nginx_workers(arena, rng):
    return _freeze(arena, "all workers", arena.stack.nginx_workers(),
                   rng.uniform(0.5, 6))


@fault()
def reload_storm(arena, rng):
    n = rng.randrange(3, 9)
    for _ in range(n):
        arena.stack.signal("nginx", signal.SIGHUP)
        pause(rng.uniform(0.02, 0.4))
    return f"{n} reloads"


@fault()
def no_descriptors(arena, rng):
    """Every process of nginx may open no file or connection more."""
    pids = [arena.stack.pid("nginx"), *arena.stack.nginx_workers()]
    seconds = rng.uniform(0.5, 3)
    before = {}
    for pid in pids:
        before[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE,
                         (max(3, used - 2), before[pid][1]))
    try:
        pause(seconds)
    finally:
        _restore(before)
    return f"nginx for {seconds:.1f} s"


def _restore(before):
    for pid, limits in before.items():
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        except ProcessLookupError:
            pass


@fault(needs=("clock",))
def jump_clock(arena, rng):
    """One process alone, ahead or back, and to the right time again."""
    part = rng.choice((*DAEMONS, "nginx"))
    offset = rng.choice((-3600, -90, -5, 5, 90, 3600, 40_000))
    seconds = rng.uniform(2, 6)
    arena.set_clock(part, offset)
    pause(seconds)
    arena.set_clock(part, 0)
    return f"{part} by {offset} s for {seconds:.1f} s"


# Kafka.

@fault()
def kill_broker(arena, rng):
    broker = rng.choice(arena.brokers)
    arena.stack.kill(broker)
    pause(rng.uniform(*HOLD))
    arena.start(broker)
    return broker


@fault(needs=("several",))
def kill_controller(arena, rng):
    broker = arena.controller()
    arena.stack.kill(broker)
    pause(rng.uniform(*HOLD))
    arena.start(broker)
    return broker


@fault(needs=("several",))
def kill_all_brokers(arena, rng):
    for broker in arena.brokers:
        arena.stack.kill(broker)
    pause(rng.uniform(*HOLD))
    arena.start(*arena.brokers)
    return ", ".join(arena.brokers)


@fault(needs=("several",))
def freeze_broker(arena, rng):
    """Past its session with the controller."""
    broker = rng.choice(arena.brokers)
    return _freeze(arena, broker, [arena.stack.pid(broker)],
                   rng.uniform(1, 9))


# MongoDB.

@fault()
def kill_primary(arena, rng):
    primary = arena.primary()
    arena.stack.kill(primary)
    pause(rng.uniform(*HOLD))
    arena.start(primary)
    return primary


@fault(needs=("several",))
def step_down(arena, rng):
    primary = arena.primary()
    try:
        with arena.mongod(primary) as client:
            client.admin.command("replSetStepDown", 5, force=True)
    except pymongo.errors.PyMongoError as error:
        return f"{primary}: {type(error).__name__}"
    return primary


@fault(needs=("several",))
def freeze_primary(arena, rng):
    """Past the election: another one is primary when it wakes."""
    primary = arena.primary()
    return _freeze(arena, primary, [arena.stack.pid(primary)],
                   rng.uniform(2, 14))


@fault(needs=("several",))
def kill_all_mongods(arena, rng):
    for mongod in arena.mongods:
        arena.stack.kill(mongod)
    pause(rng.uniform(*HOLD))
    arena.start(*arena.mongods)
    return ", ".join(arena.mongods)


# The network, in a namespace of our own.

def _nft(script):
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True,
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _cut(arena, rng, part, low, high):
    """Nothing reaches the part's port, and nothing leaves it."""
    seconds = rng.uniform(low, high)
    ports = ", ".join(str(arena.stack.ports[name])
                      for name in arena.port_names(part))
    _nft(f"table inet chaos {{ chain cut {{ type filter hook input priority 0;"
         f" tcp dport {{ {ports} }} drop; tcp sport {{ {ports} }} drop; }}; }}")
    try:
        pause(seconds)
    finally:
        _nft("delete table inet chaos")
    return f"{part} for {seconds:.1f} s"


@fault(needs=("network",))
def cut_broker(arena, rng):
    return _cut(arena, rng, rng.choice(arena.brokers), 1, 9)


@fault(needs=("network",))
def cut_primary(arena, rng):
    """A primary that cannot be reached, and does not reach the others."""
    return _cut(arena, rng, arena.primary(), 1, 14)


@fault(needs=("network",))
def slow_network(arena, rng):
    """All of the loopback at a few megabits a second."""
    seconds = rng.uniform(2, 6)
    rate = rng.choice((4, 10, 30))
    subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate",
                    f"{rate}mbit", "burst", "64kb", "latency", "300ms"],
                   check=True)
    try:
        pause(seconds)
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"],
                       check=True)
    return f"{rate} Mbit/s for {seconds:.1f} s"


# Disks: small file systems of our own, one broker and one mongod on them.

def _fill(arena, part, seconds):
    ballast = os.path.join(arena.disk(part), "ballast")
    written = 0
    with open(ballast, "wb") as f:
        block = b"\0" * (1 << 20)
        try:
            while True:
                written += f.write(block)
                f.flush()
        except OSError:
            pass
    pause(seconds)
    try:
        os.unlink(ballast)
    except FileNotFoundError:
        pass
    # Most servers rather end than write half of something.
    if not arena.stack.running(part):
        arena.stack.expected.pop(part, None)
    arena.start(part)
    return f"{part} for {seconds:.1f} s"


@fault(needs=("disks",))
def full_disk_kafka(arena, rng):
    return _fill(arena, arena.brokers[-1], rng.uniform(2, 8))


@fault(needs=("disks",))
def full_disk_mongod(arena, rng):
    return _fill(arena, arena.mongods[-1], rng.uniform(2, 8))
