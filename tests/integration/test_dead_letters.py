"""
Dead letters over a slow network: the writer's own connections to Kafka go
through harness/link.py.
"""

import os
import time

import pytest

from harness.pipeline import servers_alone
from harness.rig import Rig
from harness.snapshot import read_topic
from harness.waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with servers_alone(tmp_path_factory.mktemp("dead"), BUILD,
                       link=True) as stack:
        yield stack


@pytest.mark.parametrize("stop", [False, True], ids=["stored", "stopped"])
def test_slow_dead_letters_are_waited_for(servers, stop):
    """As long as some of them arrive, unless the writer is to stop."""

    one = Rig(servers, f"slow-{time.time_ns() % 10**6}", partitions=1).setup()
    one.options["kafka"].update({
        "brokers": f"127.0.0.1:{servers.link.port}", "batch.num.messages": 1,
        "session.timeout.ms": 30000})
    bad = [b"%d " % i + b"x" * 60_000 for i in range(20)]
    one.produce(bad, key="k")
    servers.link.rate = 100_000
    try:
        one.start()
        began = time.monotonic()
        if stop:
            wait_until(lambda: "reading from offset" in one.log(), 20, one.log)
            time.sleep(3)
            one.stop(seconds=20)
        else:
            wait_until(lambda: one.next()[0] == len(bad), 28, one.log)
            assert time.monotonic() - began > 8
            assert "dead letters, attempt" not in one.log()
            letters = read_topic(servers.brokers, one.dead_topic)[0]
            assert [r.value for r in letters] == bad
    finally:
        servers.link.rate = None
        one.close()
