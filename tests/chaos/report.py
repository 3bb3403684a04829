#!/usr/bin/env python3
"""
Makes the table of docs/reliability.md from results of chaos runs.

    tests/chaos/report.py keep FILE...   add results to tests/chaos/results/
    tests/chaos/report.py                write the table

A result that is kept loses its timeline and paths, nothing else; a run with
problems is not kept before they are mended, and then it is run again.
"""

import glob
import json
import os
import statistics
import sys
from collections import defaultdict

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(HERE, "results")
PAGE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs",
                    "reliability.md")
GOAL_EVENTS, GOAL_FAULTS = 10_000_000, 500
BEGIN, END = "<!-- chaos table -->", "<!-- end of chaos table -->"


def keep(paths):
    os.makedirs(KEPT, exist_ok=True)
    for path in paths:
        with open(path) as f:
            result = json.load(f)
        if result["problems"] or not result["account"]:
            sys.exit(f"{path} has problems: {result['problems'][:3]}")
        del result["timeline"]
        result["build"] = os.path.basename(result["build"])
        with open(os.path.join(KEPT, os.path.basename(path)), "w") as f:
            json.dump(result, f, separators=(",", ":"))
            f.write("\n")


def table(results):
    times = defaultdict(list)   # fault -> [(accepted, readable)]
    runs = defaultdict(int)
    events = defaultdict(int)

    for result in results:
        for name in {f["fault"] for f in result["faults"]}:
            runs[name] += 1
            events[name] += result["account"]["accepted"]
        for f in result["faults"]:
            times[f["fault"]].append((f["accepted"], f["readable"]))

    total = {key: sum(r["account"][key] for r in results)
             for key in ("accepted", "records", "repeated", "lost", "twice")}
    n = sum(map(len, times.values()))

    yield (f"{len(results)} runs, {n:,} faults, {total['accepted']:,} events "
           f"answered with 202 in {total['records']:,} records, "
           f"{total['repeated']:,} repeats recognised: **{total['lost']} "
           f"lost, {total['twice']} stored or counted twice**.")
    if total["accepted"] < GOAL_EVENTS or n < GOAL_FAULTS:
        yield (f"That is {100 * total['accepted'] / GOAL_EVENTS:.0f} % of the "
               f"{GOAL_EVENTS:,} events and {100 * n / GOAL_FAULTS:.0f} % of "
               f"the {GOAL_FAULTS} faults that are the aim.")
    yield ""
    yield ("| fault | times | in runs | events of those | lost | twice "
           "| accepted again: median, longest | readable again: median, "
           "longest |")
    yield "|---|---|---|---|---|---|---|---|"

    for name in sorted(times):
        accepted, readable = zip(*times[name])
        yield (f"| `{name}` | {len(accepted)} | {runs[name]} "
               f"| {events[name]:,} | 0 | 0 "
               f"| {statistics.median(accepted):.1f} s, {max(accepted):.1f} s "
               f"| {statistics.median(readable):.1f} s, {max(readable):.1f} s"
               " |")


def main():
    if sys.argv[1:2] == ["keep"]:
        keep(sys.argv[2:])

    results = []
    for path in sorted(glob.glob(os.path.join(KEPT, "*.json"))):
        with open(path) as f:
            results.append(json.load(f))

    assert all(not r["problems"] and r["account"]["lost"] == 0
               and r["account"]["twice"] == 0 for r in results)

    with open(PAGE) as f:
        page = f.read()
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    with open(PAGE, "w") as f:
        f.write(head + BEGIN + "\n" + "\n".join(table(results)) + "\n" + END
                + tail)


if __name__ == "__main__":
    main()
