"""
Fixtures of the integration tests; tests/README.md is the tour.

MILLRACE_BUILD names the build directory to be tested (default: build), and
MILLRACE_SEED repeats a run of the tests that draw at random.
"""

import os
import random
import time

import httpx
import pytest

from harness.audit import audit
from harness.pipeline import Pipeline
from harness.sender import Sender, SentLog
from harness.snapshot import take

BUILD = os.environ.get("MILLRACE_BUILD", "build")
SEED = os.environ.get("MILLRACE_SEED")

# As in scripts/stack.py, for programs that a test starts by itself.
os.environ.setdefault("MONGOC_DISABLE_SHM", "1")


# An audit looks at all that was sent before: the large ones come last.
LAST = ["test_clickstream.py", "test_crash.py"]


def pytest_addoption(parser):
    parser.addoption(
        "--part", choices=["alone", "shared"],
        help="only the files with servers of their own, or only those of the "
        "shared pipeline: two runs that can go on at the same time")


def mark_all_but_some(items):
    """Of the parameters of a test marked `some(n)` all but n are slow."""

    alike = {}
    for item in items:
        some = item.get_closest_marker("some")
        if some is not None and "slow" not in item.keywords:
            key = item.nodeid.partition("[")[0]
            alike.setdefault(key, (some.args[0], []))[1].append(item)

    for n, group in alike.values():
        kept = {i * len(group) // n for i in range(n)}
        for i, item in enumerate(group):
            if i not in kept:
                item.add_marker("slow")


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(config, items):
    """Files with servers of their own first, then those of the pipeline."""

    mark_all_but_some(items)
    shared = {item.path for item in items if "pipeline" in item.fixturenames}
    part = config.getoption("--part")

    if part is not None:
        left = [item for item in items
                if (item.path in shared) != (part == "shared")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]

    items.sort(key=lambda item: (
        item.path in shared,
        LAST.index(item.path.name) + 1 if item.path.name in LAST else 0))


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """
    The whole pipeline on free ports.  The run fails if a log of it holds an
    alert or a sanitizer's report, or if a process ended by itself.
    """

    stack = Pipeline(tmp_path_factory.mktemp("stack"), build=BUILD, options={
        # The successor of a process that was killed waits less than by
        # default.
        "kafka": {"session.timeout.ms": "3000",
                  "heartbeat.interval.ms": "500"},
        "stats": {"lease": "2s"},
    })

    try:
        stack.start()
        yield stack
        problems = stack.finish()
        assert not problems, "\n".join(problems)
    finally:
        stack.close()


@pytest.fixture
def stack(pipeline):
    """The pipeline with all its parts running, also at the test's end."""

    pipeline.revive()
    yield pipeline
    deaths = pipeline.deaths()
    assert not deaths, "\n".join(deaths)


@pytest.fixture(scope="session")
def log():
    """What was sent to the pipeline and answered, by the sender's account."""

    return SentLog()


@pytest.fixture
def sender(stack, log):
    with Sender(stack.url, log) as sender:
        yield sender


@pytest.fixture
def client(stack):
    """
    A client for everything but POST /events, which goes by `sender`.  It asks
    for what is so now, not for what nginx has kept of GET /stats.
    """

    with httpx.Client(base_url=stack.url, timeout=30,
                      headers={"Cache-Control": "no-cache"}) as client:
        yield client


@pytest.fixture
def check_all(stack, log):
    """
    A function that waits until the pipeline is at rest and audits everything
    that was sent since it was started; returns the snapshot.
    """

    def check(seconds=60):
        times = [time.monotonic()]
        stack.settle(seconds)
        times.append(time.monotonic())
        shot = take(stack, log)
        times.append(time.monotonic())
        violations = audit(shot)
        times.append(time.monotonic())
        print("settled, taken, audited in",
              *(f"{b - a:.1f} s" for a, b in zip(times, times[1:])))
        assert not violations, "\n".join(violations)
        return shot

    return check


@pytest.fixture
def seed():
    """A seed; pytest shows it when the test fails."""

    value = int(SEED) if SEED else random.SystemRandom().getrandbits(32)
    print(f"MILLRACE_SEED={value}")
    return value


@pytest.fixture
def name(request):
    """A word that no other test of this run uses: for users and types."""

    return f"{request.node.name[5:40]}-{time.time_ns() % 10**9}-"
