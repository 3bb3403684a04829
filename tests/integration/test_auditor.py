"""
The auditor's own tests: an audit that overlooks a fault would make every other
test here worthless.  A small consistent snapshot is made by hand; then it is
damaged in every way that an audit must notice, one at a time.
"""

import copy
import itertools
import json
import math
import pickle
import struct
import uuid

import pytest

from harness import columns, ids, storage, values
from harness.audit import CHECKS, OTHER, QUANTILES, audit, fold, judged
from harness.bsondoc import Date, Long
from harness.partition import partition_of
from harness.sender import ACKED, REFUSED, UNSURE, SentLog
from harness.snapshot import Record, Series, Snapshot
from harness.workload import Workload

PARTITIONS = 3
NOW = 1_700_003_600_000
NAMES = {1: "1s", 60: "1m", 3600: "1h"}

# The first types to come, and as many as may have windows of their own.
KNOWN = ["view", "extra", "search", "add_to_cart", "purchase"]


def counted(event_type):
    return event_type if event_type in KNOWN else OTHER


def made_log():
    """A sender's log with every outcome, and the raws in Kafka's order."""

    events = Workload(7, NOW / 1000 - 300, users=20).events(120)
    extra = [values.dump({"event_id": f"e{i}", "user_id": "u", "metadata":
                          {"value": i}, "event_type": "extra",
                          "timestamp": NOW // 1000 - i}) for i in range(4)]
    log = SentLog()
    log.note(events, ACKED)
    log.note(events[:2], ACKED)       # repeats, byte for byte
    log.note(extra[:1], UNSURE)       # came to be stored
    log.note(extra[1:2], UNSURE)      # did not
    log.note(extra[2:3], REFUSED)
    log.note([b'{"event_id":'], REFUSED)
    return log, events + events[:2] + extra[:1], extra


def made_snapshot():
    log, raws, extra = made_log()
    shot = Snapshot(window=1000, partitions=PARTITIONS, taken=NOW)
    tops = dict.fromkeys(range(PARTITIONS), 0)

    def produce(raw, key, partition):
        shot.records.append(Record(partition, tops[partition], key, raw,
                                   NOW + len(shot.records), {}))
        tops[partition] += 1
        return tops[partition] - 1

    for raw in raws:
        user = json.loads(raw)["user_id"]
        produce(raw, user.encode(), partition_of(user, PARTITIONS))
    for value, valid in ((b"no json", False), (extra[3], True)):
        log.note_foreign(1, produce(value, b"k", 1), b"k", value, valid)

    shot.registry = {"_id": "types", "max": len(KNOWN), "known": len(KNOWN)}
    shot.types = [{"_id": name, "number": i, "max": len(KNOWN)}
                  for i, name in enumerate(KNOWN)]
    shot.records.sort()
    shot.sent, shot.foreign = log.entries(), log.foreign
    shot.ends = tops
    verdicts = list(judged(shot))

    for p in tops:
        make_partition(shot, p, [v for v in verdicts if v[0].partition == p])

    shot.dead = [Record(0, i, r.key, r.value, NOW, {
        "millrace-error": b"no event", "millrace-topic": b"events",
        "millrace-partition": str(r.partition).encode(),
        "millrace-offset": str(r.offset).encode()})
        for i, (r, v, _) in enumerate(verdicts) if v == "dead"]

    kept = [event for _, verdict, event in verdicts if verdict == "kept"]
    shot.ascending = sorted(copy.deepcopy(kept), key=values.order)
    shot.descending = copy.deepcopy(shot.ascending[::-1])
    make_windows(shot, kept)
    make_stats(shot, kept)
    return shot


def make_partition(shot, p, verdicts):
    """Flushes of ten records, blocks of six events."""

    count = {v: sum(1 for x in verdicts if x[1] == v)
             for v in ("kept", "repeated", "dead")}
    last = verdicts[-1][0]
    flushes = range(0, len(verdicts), 10)
    shot.ledger[p] = {
        "_id": f"events/{p}", "epoch": Long(1), "next": shot.ends[p],
        "flush": len(flushes), "stored": count["kept"],
        "repeated": count["repeated"], "dead": count["dead"],
        "last": {"offset": last.offset, "time": Date(last.time)}}

    for start in flushes:
        events = [{**copy.deepcopy(event), "offset": record.offset,
                   "timestamp": Date(event["timestamp"]), "time": record.time}
                  for record, verdict, event in verdicts[start:start + 10]
                  if verdict == "kept"]
        events.sort(key=lambda e: (e["user_id"], e["timestamp"], e["offset"]))
        for number, i in enumerate(range(0, len(events), 6)):
            shot.blocks.append((made_block(
                p, verdicts[start][0].offset, number, events[i:i + 6]), 5000))

    kept = [event for _, verdict, event in verdicts if verdict == "kept"]
    others = sum(counted(e["event_type"]) == OTHER for e in kept)
    shot.ledger[p]["other"] = {str(len(KNOWN)): {"events": others}}

    for (width, name, start), (n, numbers) in fold(kept, counted).items():
        shot.partials.append({
            "_id": {"width": width, "event_type": name, "start": start,
                    "partition": p},
            "flush": len(flushes), "count": n, **made_measures(numbers)})


def made_block(partition, offset, number, events):
    users = sorted({e["user_id"] for e in events})
    types = sorted({e["event_type"] for e in events})
    times = [e["timestamp"] for e in events]
    received = Date(max(e["time"] for e in events))
    counts = [sum(e["user_id"] == u for e in events) for u in users]
    who = storage.who_of(events, {name: i for i, name in enumerate(KNOWN)})
    for event in events:
        if ids.is_uuid(event["event_id"]):
            event["event_id"] = uuid.UUID(event["event_id"])
    fields = "event_id", "metadata", "offset"
    return {
        "_id": {"epoch": Long(1), "partition": partition, "offset": offset,
                "number": number},
        "span": 4, "tmin": min(times), "tmax": max(times),
        "received": received, "n": len(events), "layout": 1, "types": types,
        "who": who,
        "since": columns.since(times),
        "kinds": columns.uint16s(types.index(e["event_type"])
                                 for e in events),
        "counts": columns.uint16s(counts),
        "events": {u: {str(i): {name: e[name] for name in fields}
                       for i, e in enumerate(events) if e["user_id"] == u}
                   for u in users}}


def made_measures(numbers):
    return {} if not numbers else {"measures": {"value": {
        "count": len(numbers), "sum": math.fsum(numbers),
        "min": min(numbers), "max": max(numbers)}}}


def made_estimates(kept, width, name, start, numbers):
    users = {e["user_id"] for e in kept
             if name in ("", counted(e["event_type"]))
             and start <= e["timestamp"] < start + width * 1000}
    made = {"unique_users": len(users), **made_measures(numbers)}
    for quantile, q in QUANTILES.items() if numbers else ():
        made["measures"]["value"][quantile] = sorted(numbers)[
            int(q * (len(numbers) - 1))] * 1.009
    return made


def make_windows(shot, kept):
    for (width, name, start), (n, numbers) in fold(kept, counted).items():
        shown = name and width in NAMES
        shot.windows.append({
            "_id": {"width": width, "event_type": name, "start": start},
            "count": n, "revision": 2, "published": 2 if shown else 0,
            "final": False, "dirty": False,
            **made_estimates(kept, width, name, start, numbers)})
        if not shown:
            continue
        for revision in (1, 2, 2):
            value = values.dump({
                "width": NAMES[width], "event_type": name, "final": False,
                "start": start // 1000, "revision": revision,
                "count": n if revision == 2 else n - 1,
                "measures": made_measures(numbers).get("measures", {})})
            shot.published.append(Record(
                0, len(shot.published),
                f"{name}|{NAMES[width]}|{start // 1000}".encode(), value,
                NOW, {}))


def made_point(window):
    n, numbers = window
    total = math.fsum(numbers)
    return {"count": n, "measured": len(numbers),
            "sum": total if numbers else None,
            "average": total / len(numbers) if numbers else None,
            "min": min(numbers) if numbers else None,
            "max": max(numbers) if numbers else None}


def make_stats(shot, kept):
    for width, name, grouped in ((60, "1m", True), (86400, "1d", True),
                                 (86400, "1d", False)):
        low, high = 0, NOW // 1000 + 86400
        params = {"time_interval": name, "from": low, "to": high}
        if grouped:
            params["group_by"] = "event_type"
        series, total = [], [0, []]
        for (w, kind, start), window in fold(kept, counted).items():
            if w == width and bool(kind) == grouped:
                series.append({"event_type": kind, "start": start // 1000,
                               **made_point(window)})
                total[0] += window[0]
                total[1] += window[1]
        shot.stats.append(Series(params, {
            "series": series, "total": made_point(total)}))


# What an audit must notice: (name, damage, the checks that must complain).

def replace(records, i, **changes):
    records[i] = records[i]._replace(**changes)


def busy_block(shot):
    return next(doc for doc, _ in shot.blocks if doc["n"] > 3
                and len(doc["who"]) > 1 and len(doc["types"]) > 1)


def somebody(shot, all_types=False):
    """One of a block's `who`, of which one type was not registered, or all
    were."""

    return next(one for doc, _ in shot.blocks for one in doc["who"]
                if (one["t"] == storage.ALL_TYPES) == all_types)


def measured(documents):
    return next(d for d in documents if "measures" in d)


def wrong_column(shot):
    block = busy_block(shot)
    block["kinds"] = block["kinds"][:-1] + b"\x07"


def short_column(shot):
    block = busy_block(shot)
    block["since"] = block["since"][:-1]


def wide_column(shot):
    """The same times, in a byte more each."""

    block = busy_block(shot)
    block["since"] += bytes(block["n"])


def swap_kinds(shot):
    """Two events take each other's type: only the log knows better."""

    block = busy_block(shot)
    kinds = list(struct.unpack(f"<{block['n']}H", block["kinds"]))
    i = next(i for i, kind in enumerate(kinds) if kind != kinds[0])
    kinds[0], kinds[i] = kinds[i], kinds[0]
    block["kinds"] = struct.pack(f"<{block['n']}H", *kinds)


def move_time(shot):
    """
    An event between the first and the last comes a millisecond later, and is
    where it belongs all the same: only the log tells.
    """

    block = busy_block(shot)
    times = columns.times(block, block["tmin"])
    ends = set(itertools.accumulate(struct.unpack(
        f"<{len(block['counts']) // 2}H", block["counts"])))
    i = next(i for i, time in enumerate(times[:-1])
             if block["tmin"] < time < block["tmax"]
             and (i + 1 in ends or time + 1 < times[i + 1]))
    times[i] += 1
    block["since"] = columns.since(times)


def full_events(shot):
    """As they were until their type and time were in the columns alone."""

    block = busy_block(shot)
    for event, known in zip(rows(block), storage.events_of(block)):
        event.update(event_type=known["event_type"],
                     timestamp=Date(known["timestamp"]))


def users_alone(shot):
    """As it was until it said each user's types."""

    block = busy_block(shot)
    block["users"] = storage.users_of(block)
    del block["who"]
    block["events"] = block.pop("events")


def text_for_uuid(shot):
    event = next(event for doc, _ in shot.blocks for event in rows(doc)
                 if isinstance(event["event_id"], uuid.UUID))
    event["event_id"] = str(event["event_id"])


def rows(block):
    return [event for mine in block["events"].values()
            for event in mine.values()]


def reorder_fields(shot):
    event = rows(busy_block(shot))[0]
    event["metadata"] = event.pop("metadata")


def swap_users(shot):
    block = busy_block(shot)
    block["events"] = dict(reversed(block["events"].items()))


def swap_events(shot):
    """Of two users, each in the other's place."""

    events = busy_block(shot)["events"]
    first, last = next(iter(events.values())), list(events.values())[-1]
    one, other = next(iter(first)), next(iter(last))
    first[one], last[other] = last[other], first[one]


def misplace(shot):
    events = busy_block(shot)["events"]
    mine = list(events.values())[-1]
    place, event = mine.popitem()
    mine[str(int(place) + 1)] = event


def swap_pages(shot):
    pages = shot.ascending
    pages[3], pages[4] = pages[4], pages[3]
    shot.descending = pages[::-1]


def drop_both(shot):
    gone = values.identity(shot.ascending.pop(17))
    shot.descending = [e for e in shot.descending
                       if values.identity(e) != gone]


def twice_in_both(shot):
    shot.ascending.insert(5, shot.ascending[5])
    shot.descending = shot.ascending[::-1]


def change_value(shot):
    event = measured_event(shot)
    event["metadata"]["value"] += 0.01
    shot.descending = shot.ascending[::-1]


def measured_event(shot):
    return next(e for e in shot.ascending
                if isinstance(e["metadata"].get("value"), float))


def integer_for_double(shot):
    measured_event(shot)["metadata"]["value"] = 17
    shot.descending = shot.ascending[::-1]


def never_sent(shot):
    stranger = {**shot.ascending[0], "event_id": "stranger"}
    shot.ascending.append(stranger)
    shot.ascending.sort(key=values.order)
    shot.descending = shot.ascending[::-1]


def drop_record(shot):
    i = next(i for i, r in enumerate(shot.records)
             if r.value == shot.sent[5].raw)
    del shot.records[i]


def move_block(shot):
    last = max((d for d, _ in shot.blocks if d["_id"]["partition"] == 0),
               key=lambda d: d["_id"]["offset"])
    last["_id"]["offset"] = 0
    last["_id"]["number"] = 7


def drop_block(shot):
    del shot.blocks[2]


def event_twice(shot):
    block = busy_block(shot)
    mine = list(block["events"].values())[-1]
    mine[str(block["n"])] = copy.deepcopy(list(mine.values())[-1])
    times = columns.times(block, block["tmin"])
    block["n"] += 1
    block["since"] = columns.since([*times, times[-1]])
    block["kinds"] += block["kinds"][-2:]
    block["counts"] = block["counts"][:-2] + len(mine).to_bytes(2, "little")


def wide_integer(shot):
    for doc, _ in shot.blocks:
        for event in doc["events"].get("u", {}).values():
            event["metadata"]["value"] = Long(event["metadata"]["value"])


def bump(documents, key="count", by=1):
    documents[0][key] += by


def bump_measure(documents, key):
    measured(documents)["measures"]["value"][key] += 1


def fading_window(shot, by):
    """A window of a second, at the end of the hour that it is kept."""

    window = next(d for d in shot.windows if d["_id"]["width"] == 1)
    shot.taken = window["_id"]["start"] + 1000 + 3_600_000
    window["count"] += by


def drop_window(shot, width):
    shot.windows = [d for d in shot.windows if d["_id"]["width"] != width]


def drop_partial(shot, width):
    i = next(i for i, d in enumerate(shot.partials)
             if d["_id"]["width"] == width)
    del shot.partials[i]


def bucket(shot, i, grouped=True):
    return shot.stats[i].answer["series"][0]


def measured_bucket(shot):
    return next(p for p in shot.stats[0].answer["series"] if p["measured"])


def empty_bucket(shot):
    return next(p for p in shot.stats[0].answer["series"]
                if not p["measured"])


def republish(shot, change):
    last = shot.published[-1]
    message = values.parse(last.value)
    change(message)
    shot.published.append(last._replace(offset=last.offset + 1,
                                        value=values.dump(message)))


DAMAGES = [
    ("event missing in both orders", drop_both, {"sender"}),
    ("event twice in both orders", twice_in_both, {"sender", "pages"}),
    ("event with another number", change_value, {"sender"}),
    ("integer for a double", integer_for_double, {"sender"}),
    ("event that was never sent", never_sent, {"sender"}),
    ("event missing in one order", lambda s: s.descending.pop(4), {"pages"}),
    ("event twice in one order",
     lambda s: s.descending.insert(4, s.descending[4]), {"pages"}),
    ("pages out of order", swap_pages, {"pages"}),
    ("acknowledged, but not in Kafka", drop_record, {"log"}),
    ("another key", lambda s: replace(s.records, 0, key=b"x"), {"log"}),
    ("no key", lambda s: replace(s.records, 0, key=None), {"log"}),
    ("another partition",
     lambda s: replace(s.records, 0, partition=2, offset=999), {"log"}),
    ("another value",
     lambda s: replace(s.records, 0, value=s.records[0].value + b" "),
     {"log"}),
    ("refused, but produced",
     lambda s: s.records.append(Record(0, 999, b"u", b'{"event_id":', 1, {})),
     {"log"}),
    ("a foreign record is gone",
     lambda s: s.records.remove(next(
         r for r in s.records if r.value == b"no json")), {"log", "dead"}),
    ("ledger short of the end",
     lambda s: bump([s.ledger[1]], "next", -1), {"ledger"}),
    ("ledger beyond the end", lambda s: bump([s.ledger[1]], "next"),
     {"ledger"}),
    ("ledger: stored", lambda s: bump([s.ledger[0]], "stored"), {"ledger"}),
    ("ledger: repeated", lambda s: bump([s.ledger[0]], "repeated"),
     {"ledger"}),
    ("ledger: dead", lambda s: bump([s.ledger[1]], "dead", -1), {"ledger"}),
    ("ledger: last", lambda s: bump([s.ledger[1]["last"]], "offset"),
     {"ledger"}),
    ("ledger: last time", lambda s: bump([s.ledger[1]["last"]], "time"),
     {"ledger"}),
    ("ledger gone", lambda s: s.ledger.pop(2), {"ledger"}),
    ("ledger: flush", lambda s: bump([s.ledger[0]], "flush", -1),
     {"tiling"}),
    ("block gone", drop_block, {"tiling"}),
    ("block twice", lambda s: s.blocks.append(copy.deepcopy(s.blocks[0])),
     {"tiling"}),
    ("block of another flush", move_block, {"tiling"}),
    ("block number skipped",
     lambda s: bump([s.blocks[0][0]["_id"]], "number"), {"tiling"}),
    ("event twice in a block", event_twice, {"tiling"}),
    ("offset changed",
     lambda s: bump(rows(busy_block(s)), "offset", 500), {"tiling"}),
    ("block: n", lambda s: bump([busy_block(s)], "n"), {"blocks"}),
    ("block: tmin", lambda s: bump([busy_block(s)], "tmin"), {"blocks"}),
    ("block: tmax", lambda s: bump([busy_block(s)], "tmax"), {"blocks"}),
    ("block: span", lambda s: [d.update(span=0) for d, _ in s.blocks],
     {"blocks"}),
    ("block: no such span", lambda s: busy_block(s).update(span=6),
     {"blocks"}),
    ("block: received", lambda s: bump([busy_block(s)], "received"),
     {"blocks"}),
    ("block: users", lambda s: busy_block(s)["who"].reverse(), {"blocks"}),
    ("block: a user less", lambda s: busy_block(s)["who"].pop(), {"blocks"}),
    ("block: users alone", users_alone, {"blocks"}),
    ("block: a user without types", lambda s: somebody(s).pop("t"),
     {"blocks"}),
    ("block: types ahead of a user",
     lambda s: somebody(s).update(u=somebody(s).pop("u")), {"blocks"}),
    ("block: a user's type too few", lambda s: somebody(s).update(
        t=somebody(s)["t"] & somebody(s)["t"] - 1), {"blocks"}),
    ("block: a user's type too many", lambda s: somebody(s).update(
        t=somebody(s)["t"] | 64), {"blocks"}),
    ("block: one of a user's types is not registered",
     lambda s: somebody(s, True).update(t=storage.ALL_TYPES - 1), {"blocks"}),
    ("block: a user's types in 64 bits", lambda s: somebody(s).update(
        t=Long(somebody(s)["t"])), {"blocks"}),
    ("block: a UUID as text", text_for_uuid, {"blocks"}),
    ("block: types", lambda s: busy_block(s)["types"].append("zz"),
     {"blocks"}),
    ("block: a column", wrong_column, {"blocks"}),
    ("block: a column too short", short_column, {"blocks"}),
    ("block: a column too wide", wide_column, {"blocks"}),
    ("block: a type that is another event's", swap_kinds, {"blocks"}),
    ("block: a time", move_time, {"blocks"}),
    ("block: types out of order",
     lambda s: busy_block(s)["types"].reverse(), {"blocks"}),
    ("block: counts", lambda s: busy_block(s).update(
        counts=busy_block(s)["counts"][2:] + b"\0\0"), {"blocks"}),
    *((f"block: {name} is no date", lambda s, name=name: busy_block(s).update(
        {name: int(busy_block(s)[name])}), {"blocks"})
      for name in ("tmin", "tmax", "received")),
    ("block: layout", lambda s: busy_block(s).pop("layout"), {"blocks"}),
    ("block: events of an earlier version", full_events, {"blocks"}),
    ("block: an event with a field too many",
     lambda s: rows(busy_block(s))[-1].update(more=1), {"blocks"}),
    ("block: an event without metadata",
     lambda s: rows(busy_block(s))[-1].pop("metadata"), {"blocks"}),
    ("block: an event's fields in another order", reorder_fields,
     {"blocks"}),
    ("block: order", swap_events, {"blocks"}),
    ("block: order of users", swap_users, {"blocks"}),
    ("block: an event in another place", misplace, {"blocks"}),
    ("block: too large",
     lambda s: s.blocks.append((s.blocks.pop()[0], 5_000_000)), {"blocks"}),
    ("block: columns behind events",
     lambda s: busy_block(s).update(
         since=busy_block(s).pop("since")), {"blocks"}),
    ("block: event changed",
     lambda s: rows(busy_block(s))[1]["metadata"].update(page=1),
     {"blocks"}),
    ("block: integer too wide", wide_integer, {"blocks"}),
    ("partial: count", lambda s: bump(s.partials), {"partials"}),
    ("partial: sum", lambda s: bump_measure(s.partials, "sum"),
     {"partials"}),
    ("partial: min", lambda s: bump_measure(s.partials, "min"),
     {"partials"}),
    ("partial: flush", lambda s: bump(s.partials, "flush", 100),
     {"partials"}),
    ("partial of a minute gone", lambda s: drop_partial(s, 60),
     {"partials"}),
    ("partial of a day gone", lambda s: drop_partial(s, 86400),
     {"partials"}),
    ("window: count", lambda s: bump(s.windows), {"windows"}),
    ("window: max", lambda s: bump_measure(s.windows, "max"), {"windows"}),
    ("window: measured", lambda s: bump_measure(s.windows, "count"),
     {"windows"}),
    ("window past its time: too many", lambda s: fading_window(s, 1),
     {"windows"}),
    ("window: users", lambda s: next(
        d for d in s.windows if d["_id"]["width"] > 1).update(
            unique_users=99), {"sketches"}),
    ("window without users", lambda s: next(
        d for d in s.windows if d["_id"]["width"] > 1).pop("unique_users"),
     {"sketches"}),
    ("window: percentile", lambda s: next(
        d for d in s.windows if d["_id"]["width"] > 1 and "measures" in d)[
            "measures"]["value"].update(p95=1e9), {"sketches"}),
    ("a type more than may be", lambda s: s.types.append(
        {"_id": "never", "number": len(KNOWN), "max": len(KNOWN)}), {"types"}),
    ("more types known than there may be",
     lambda s: s.registry.update(max=len(KNOWN) - 1), {"types"}),
    ("a type not registered, and there is room",
     lambda s: s.registry.update(max=len(KNOWN) + 1), {"types"}),
    ("a registered type gone", lambda s: s.types.pop(),
     {"types", "partials", "windows", "stats"}),
    ("two types of one number", lambda s: s.types[1].update(number=0),
     {"types"}),
    ("others in the ledger", lambda s: bump(
        [s.ledger[0]["other"][str(len(KNOWN))]], "events"), {"types"}),
    ("others not in the ledger", lambda s: s.ledger[0].pop("other"),
     {"types"}),
    ("others under their own name", lambda s: next(
        d for d in s.windows if d["_id"]["event_type"] == OTHER)["_id"].update(
            event_type="click"), {"types", "windows"}),
    ("window dirty", lambda s: s.windows[0].update(dirty=True), {"windows"}),
    ("window not published",
     lambda s: next(d for d in s.windows if d["published"]).update(
         published=1), {"windows"}),
    ("windows of seconds gone", lambda s: drop_window(s, 1), {"windows"}),
    ("windows of hours gone", lambda s: drop_window(s, 3600), {"windows"}),
    ("window of nothing", lambda s: s.windows.append(
        {**s.windows[0], "_id": {**s.windows[0]["_id"],
                                 "event_type": "never"}}), {"windows"}),
    ("stats: count of a minute", lambda s: bump([bucket(s, 0)]), {"stats"}),
    ("stats: count of a day", lambda s: bump([bucket(s, 1)]), {"stats"}),
    ("stats: total", lambda s: bump([s.stats[0].answer["total"]]),
     {"stats"}),
    ("stats: bucket gone", lambda s: s.stats[0].answer["series"].pop(),
     {"stats"}),
    ("stats: bucket twice", lambda s: s.stats[0].answer["series"].append(
        bucket(s, 0)), {"stats"}),
    ("stats: a day was not asked for", lambda s: s.stats.pop(), {"stats"}),
    *((f"stats: {key}", lambda s, key=key: bump([measured_bucket(s)], key),
       {"stats"}) for key in ("sum", "min", "max", "average", "measured")),
    ("stats: null", lambda s: measured_bucket(s).update(average=None),
     {"stats"}),
    ("stats: 0 for null", lambda s: empty_bucket(s).update(sum=0),
     {"stats"}),
    ("published: revision skipped",
     lambda s: republish(s, lambda m: m.update(revision=4)), {"published"}),
    ("published: revision back",
     lambda s: republish(s, lambda m: m.update(revision=1)), {"published"}),
    ("published: same revision, other bytes",
     lambda s: republish(s, lambda m: m.update(final=True)), {"published"}),
    ("published: count",
     lambda s: republish(s, lambda m: m.update(
         revision=3, count=m["count"] + 1)), {"published"}),
    ("published: key", lambda s: replace(s.published, -1, key=b"k"),
     {"published"}),
    ("published: one window never",
     lambda s: s.published.__delitem__(slice(-3, None)), {"published"}),
    ("dead letter gone", lambda s: s.dead.pop(), {"dead"}),
    ("dead letter changed", lambda s: replace(s.dead, 0, value=b"x"),
     {"dead"}),
    ("dead letter of a good record",
     lambda s: s.dead[0].headers.update({"millrace-offset": b"0"}),
     {"dead"}),
    ("dead letter without a reason",
     lambda s: s.dead[0].headers.update({"millrace-error": b""}), {"dead"}),
]


@pytest.fixture(scope="module")
def whole():
    return made_snapshot()


def test_the_whole_snapshot_has_no_violation(whole):
    assert audit(whole) == []
    verdicts = [verdict for _, verdict, _ in judged(whole)]
    assert {"kept", "repeated", "dead"} == set(verdicts)
    assert len(whole.ascending) == verdicts.count("kept") > 100


@pytest.mark.parametrize("damage, checks",
                         [pytest.param(d, c, id=n) for n, d, c in DAMAGES])
def test_a_damage_is_noticed(whole, damage, checks):
    shot = pickle.loads(pickle.dumps(whole))
    damage(shot)
    complaining = {text.split(":")[0] for text in audit(shot)}
    assert checks <= complaining, audit(shot)


def test_a_window_past_its_time_may_miss_what_came_too_late(whole):
    shot = pickle.loads(pickle.dumps(whole))
    fading_window(shot, -1)
    assert audit(shot) == []
    shot.taken -= 200_000
    assert audit(shot) != []


def test_types_may_have_been_registered_later(whole):
    shot = pickle.loads(pickle.dumps(whole))
    for doc, _ in shot.blocks:
        for one in doc["who"]:
            one["t"] = storage.ALL_TYPES
    assert audit(shot) == []


def test_every_check_is_seen_to_fail():
    assert set().union(*(c for _, _, c in DAMAGES)) == set(CHECKS)


def test_folding_by_hand():
    events = [
        {"event_type": "a", "timestamp": 59_999, "metadata": {"value": 2}},
        {"event_type": "a", "timestamp": 60_000, "metadata": {"value": 0.5}},
        {"event_type": "b", "timestamp": 60_001, "metadata": {"value": "2"}},
        {"event_type": "b", "timestamp": 3_600_000, "metadata": {"value": 2e15}},
    ]
    windows = fold(events)
    assert windows[60, "a", 0] == [1, [2.0]]
    assert windows[60, "a", 60_000] == [1, [0.5]]
    assert windows[60, "", 60_000] == [2, [0.5]]
    assert windows[3600, "b", 0] == [1, []]
    assert windows[86400, "", 0] == [4, [2.0, 0.5]]
    assert (1, "a", 0) not in windows and windows[1, "a", 59_000][0] == 1


def test_a_repeat_ends_with_the_window():
    raw = values.dump({"event_id": "e", "user_id": "u", "event_type": "t",
                       "timestamp": 1})
    shot = Snapshot(window=2, records=[
        Record(0, offset, b"u", raw, 0, {}) for offset in (0, 2, 4, 7)])
    # Dropped repeats keep the identity alive; three offsets on it is new.
    assert [v for _, v, _ in judged(shot)] == [
        "kept", "repeated", "repeated", "kept"]
