#!/usr/bin/env python3
"""
`make chaos`: one run after the other, each with other faults and servers, for
CHAOS_SECONDS (600) each at CHAOS_RATE (4000) events a second.  CHAOS_SEED
repeats a suite; without it each has seeds of its own.  The results lie in
build/chaos/; `tests/chaos/report.py` makes the table of docs/reliability.md.
"""

import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# What each run is about.
RUNS = (
    ["--members", "1", "--clock"],
    ["--members", "3", "--network"],
    ["--members", "3", "--network", "--disks", "--faults",
     "full_disk_kafka,full_disk_mongod,cut_broker,cut_primary,kill_primary,"
     "freeze_broker,kill_writer,freeze_writer,kill_nginx_worker"],
)


def main():
    seconds = os.environ.get("CHAOS_SECONDS", "600")
    rate = os.environ.get("CHAOS_RATE", "4000")
    seed = int(os.environ.get("CHAOS_SEED")
               or random.SystemRandom().getrandbits(30))
    failed = []

    for i, arguments in enumerate(RUNS):
        command = [sys.executable, os.path.join(HERE, "run.py"),
                   "--seed", str(seed + i), "--seconds", seconds,
                   "--rate", rate, *arguments]
        print("chaos:", " ".join(command[1:]), flush=True)
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(seed + i)

    print(f"chaos: {len(RUNS)} runs, {len(failed)} failed"
          + (f", seeds {failed}" if failed else "")
          + f"; CHAOS_SEED={seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
