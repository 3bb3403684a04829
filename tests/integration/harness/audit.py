"""
The auditor: judges a Snapshot and says in sentences what is wrong.  Every
check starts from what the sender knows or from what Kafka holds, never from
what Millrace believes of itself.
"""

import math
import struct
from collections import Counter, defaultdict
from functools import cached_property

from . import columns, ids, values
from .bsondoc import Date, Long
from .partition import partition_of

WIDTHS = {1: "1s", 60: "1m", 3600: "1h", 86400: "1d"}
KEEP = {1: 3_600_000, 60: 35 * 86_400_000, 3600: None, 86400: None}  # ms
SPANS = {0: 10_000, 5: 300_000, 1: 600_000, 2: 86_400_000,
         3: 30 * 86_400_000, 4: float("inf")}                        # ms
BLOCK_EVENTS, BLOCK_SIZE = 1024, 4 * 1024 * 1024
BLOCK_FIELDS = ["event_id", "metadata", "offset"]  # of an event
TYPE_BITS = 7  # by which a block says the types of a user
GRACE = 3_600_000  # ms, [stats] grace
CLOSING = 30_000  # ms that a closed one may take to be published
FADING = 120_000  # ms that taking a snapshot may last
EXACT = 256  # users up to which a window counts exactly
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
OTHER = "(other)"  # what types without windows of their own are counted under
SHOWN = 5  # violations of one check that are spelt out


# What must be there.

def versions(shot):
    """
    identity -> [contents that were sent under it], and the identities that
    must be stored because a sending of them was acknowledged.
    """

    contents, must = defaultdict(list), set()

    for entry in sorted(shot.sent, key=lambda e: e.number):
        if entry.may_be_stored():
            who = values.identity(entry.event)
            contents[who].append(entry.event)
            if entry.acked:
                must.add(who)

    for _, _, _, value, valid in shot.foreign:
        if valid:
            event = values.normal(values.parse(value))
            contents[values.identity(event)].append(event)
            must.add(values.identity(event))

    return contents, must


def truth(shot):
    """
    The events that should be counted, by the sender's log: all that were
    acknowledged, and of the unanswered ones those that came to be stored.
    """

    contents, must = versions(shot)
    stored = {values.identity(e): e for e in shot.ascending}

    for who, events in contents.items():
        if who in must and all(values.same(e, events[0]) for e in events):
            yield events[0]
        elif who in stored or who in must:
            # Sent with different contents: any of them may have been first.
            yield next((e for e in events
                        if values.same(e, stored.get(who))), events[0])


def judged(shot):
    """
    The log's own verdict: (record, "dead" | "repeated" | "kept", event) for
    every record, by the definition of a repeat: a valid record of the same
    identity within W offsets before it in its partition.
    """

    foreign = {(p, o): valid for p, o, _, _, valid in shot.foreign}
    by_raw = {e.raw: e.event for e in shot.sent if e.may_be_stored()}
    latest = defaultdict(dict)

    for record in shot.records:
        where = record.partition, record.offset
        if not foreign.get(where, True):
            yield record, "dead", None
            continue

        event = by_raw.get(record.value)
        if event is None:
            try:
                event = values.normal(values.parse(record.value))
            except (ValueError, KeyError, AttributeError):
                yield record, "dead", None
                continue

        seen = latest[record.partition]
        who = values.identity(event)
        before = seen.get(who)
        seen[who] = record.offset
        repeat = before is not None and record.offset - before <= shot.window
        yield record, "repeated" if repeat else "kept", event


class Case:
    """A snapshot, and what several checks need of it, worked out once."""

    def __init__(self, shot):
        self.shot = shot

    def __getattr__(self, name):
        return getattr(self.shot, name)

    @cached_property
    def versions(self):
        return versions(self.shot)

    @cached_property
    def truth(self):
        return list(truth(self.shot))

    @cached_property
    def judged(self):
        return list(judged(self.shot))

    @cached_property
    def windows_of_truth(self):
        return fold(self.truth, self.counted)

    @cached_property
    def known(self):
        return {doc["_id"]: doc["number"] for doc in self.shot.types}

    def counted(self, event_type):
        """The name that events of a type are counted under."""

        if self.registry is None or event_type in self.known:
            return event_type
        return OTHER


# Checks.

def check_sender(shot):
    """Every 202'd event is answered once by GET /events; nothing unsent is."""

    contents, must = shot.versions
    answered = Counter(values.identity(e) for e in shot.ascending)

    for who in must - answered.keys():
        yield f"{who} got a 202 and is not in GET /events"

    for who, n in answered.items():
        if n > 1:
            yield f"{who} is in GET /events {n} times"

    for event in shot.ascending:
        sent = contents.get(values.identity(event))
        if sent is None:
            yield f"{values.identity(event)} was never sent, but is answered"
        elif not any(values.same(event, e) for e in sent):
            yield f"sent {sent[0]!r}, answered {event!r}"[:1000]


def check_pages(shot):
    """Both orders hold the same events, each in its order."""

    if not values.same(shot.ascending, shot.descending[::-1]):
        n, m = len(shot.ascending), len(shot.descending)
        where = next((i for i, (a, b) in enumerate(
            zip(shot.ascending, reversed(shot.descending)))
            if not values.same(a, b)), min(n, m))
        yield (f"ascending ({n} events) and descending ({m}) are not each "
               f"other's mirror from event {where} on")

    for i in range(1, len(shot.ascending)):
        a, b = shot.ascending[i - 1:i + 1]
        if values.order(a) >= values.order(b):
            yield f"events {i - 1} and {i} are out of order: {a} {b}"[:1000]


def check_log(shot):
    """Kafka holds every 202'd sending, as sent, keyed and placed by user."""

    foreign = {(p, o): (k, v) for p, o, k, v, _ in shot.foreign}
    sent = {e.raw: e for e in shot.sent}
    copies = Counter()

    for record in shot.records:
        where = f"record {record.partition}:{record.offset}"

        if (record.partition, record.offset) in foreign:
            if foreign.pop((record.partition, record.offset)) != (
                    record.key, record.value):
                yield f"{where} is not what the test wrote there"
            continue

        copies[record.value] += 1
        entry = sent.get(record.value)
        if entry is None:
            yield f"{where} was never sent: {record.value[:200]!r}"
        elif entry.event is None:
            yield f"{where} was refused, but produced: {record.value[:200]!r}"
        else:
            user = entry.event["user_id"]
            if record.key != user.encode():
                yield f"{where} of user {user!r} has the key {record.key!r}"
            right = partition_of(user, shot.partitions)
            if record.partition != right:
                yield f"{where} of user {user!r} belongs in {right}"

    for where in foreign:
        yield f"record {where} that the test wrote is not there"

    for entry in shot.sent:
        n = copies[entry.raw]
        if not entry.acked <= n <= entry.acked + entry.unsure:
            yield (f"acknowledged {entry.acked} times, unanswered "
                   f"{entry.unsure} times, {n} copies in Kafka: "
                   f"{entry.raw[:200]!r}")


def check_ledger(shot):
    """Each partition is stored to its end, and the totals are the log's."""

    verdicts = defaultdict(Counter)
    last = {}

    for record, verdict, _ in shot.judged:
        verdicts[record.partition][verdict] += 1
        last[record.partition] = record

    if set(shot.ledger) - set(shot.ends):
        yield f"a ledger of no partition: {set(shot.ledger) - set(shot.ends)}"

    for partition, end in shot.ends.items():
        doc = shot.ledger.get(partition)
        if doc is None:
            yield f"partition {partition} has no ledger"
            continue

        if doc["next"] != end:
            yield (f"partition {partition}: ledger.next is {doc['next']}, "
                   f"the log ends at {end}")

        for name, verdict in (("stored", "kept"), ("repeated", "repeated"),
                              ("dead", "dead")):
            if doc[name] != verdicts[partition][verdict]:
                yield (f"partition {partition}: ledger.{name} is {doc[name]}, "
                       f"the log says {verdicts[partition][verdict]}")

        if partition in last:
            record, stored = last[partition], doc["last"]
            if (stored["offset"], stored["time"]) != (
                    record.offset, record.time):
                yield (f"partition {partition}: ledger.last is {stored}, the "
                       f"log's is {record.offset} at {record.time}")


def check_tiling(shot):
    """
    The blocks hold the kept offsets, each once; a flush's offsets lie between
    its own start and the next flush's, and its blocks are numbered 0, 1, ...
    What is stored comes first: only a few violations are spelt out.
    """

    kept = defaultdict(list)
    for record, verdict, _ in shot.judged:
        if verdict == "kept":
            kept[record.partition].append(record.offset)

    stored, flushes = defaultdict(list), defaultdict(lambda: defaultdict(list))
    for doc, _ in shot.blocks:
        key = doc["_id"]
        offsets = [e["offset"] for mine in doc["events"].values()
                   for e in mine.values()]
        stored[key["partition"]] += offsets
        flushes[key["partition"]][key["offset"]].append(
            (key["number"], offsets))

    for partition in kept.keys() | stored.keys():
        have, want = sorted(stored[partition]), kept[partition]
        if have != want:
            missing = sorted((Counter(want) - Counter(have)).elements())
            extra = sorted((Counter(have) - Counter(want)).elements())
            yield (f"partition {partition}: offsets missing in the blocks: "
                   f"{missing[:SHOWN]}, too many: {extra[:SHOWN]}")

    for partition in kept.keys() | stored.keys():
        starts = sorted(flushes[partition])
        for start, end in zip(starts, [*starts[1:], math.inf]):
            numbers = sorted(n for n, _ in flushes[partition][start])
            if numbers != list(range(len(numbers))):
                yield (f"flush {partition}:{start} has the blocks {numbers}")
            for _, offsets in flushes[partition][start]:
                if min(offsets) < start or max(offsets) >= end:
                    yield (f"flush {partition}:{start} holds the offsets "
                           f"{min(offsets)}..{max(offsets)}, but the next "
                           f"flush starts at {end}")

        doc = shot.ledger.get(partition)
        if doc is not None and doc["flush"] < len(starts):
            yield (f"partition {partition}: ledger.flush is {doc['flush']}, "
                   f"but the blocks come from {len(starts)} flushes")


def check_blocks(shot):
    """Each block is as docs/data-model.md says and holds the log's events."""

    log = {(r.partition, r.offset): (event, r.time)
           for r, verdict, event in shot.judged if verdict == "kept"}

    for doc, size in shot.blocks:
        name = "block {epoch}/{partition}/{offset}/{number}".format(
            **doc["_id"])
        for problem in _block_problems(doc, size, log, shot.known):
            yield f"{name}: {problem}"


def _block_problems(doc, size, log, known):
    placed = [(place, event) for mine in doc["events"].values()
              for place, event in mine.items()]
    events = [event for _, event in placed]
    n = len(events)
    order = list(doc)

    if doc.get("layout") != 1:
        yield f"the layout is {doc.get('layout')}"

    if [place for place, _ in placed] != [str(i) for i in range(n)]:
        yield f"the events are not in their places: {placed}"[:1000]

    if "who" not in doc or "users" in doc:
        yield f"the fields are {order}"
        return

    if order.index("events") < max(map(order.index, ("since", "kinds", "counts",
                                                     "who", "types"))):
        yield f"events do not stand behind the columns: {order}"

    if doc["n"] != n or not 1 <= n <= BLOCK_EVENTS:
        yield f"n is {doc['n']} and there are {n} events"
        return

    if size > BLOCK_SIZE and n > 1:
        yield f"{size} bytes with {n} events"

    for event in events:
        if list(event) != BLOCK_FIELDS:
            yield f"an event has the fields {list(event)}"
            return

    if len(doc["since"]) % n != 0 or len(doc["kinds"]) != 2 * n:
        yield "the columns since and kinds are not of as many events"
        return

    times = columns.times(doc, doc["tmin"])
    if doc["since"] != columns.since(times):
        yield "the column since is wider than it has to be"
    kinds = struct.unpack(f"<{n}H", doc["kinds"])
    if (doc["tmin"], doc["tmax"]) != (min(times), max(times)):
        yield f"tmin, tmax are {doc['tmin']}, {doc['tmax']}"
    for name in "tmin", "tmax", "received":
        if not isinstance(doc[name], Date):
            yield f"{name} is no date"

    extent = doc["tmax"] - doc["tmin"]
    if extent > SPANS.get(doc["span"], -1):
        yield f"a span of class {doc['span']} that is {extent} ms long"

    if any(list(one) != ["u", "t"] for one in doc["who"]):
        yield f"who has other fields: {doc['who']}"[:1000]
        return

    names = [one["u"] for one in doc["who"]]
    keys = [user.replace("%", "%25").replace(".", "%2E").replace("$", "%24")
            for user in names]
    if list(doc["events"]) != keys:
        yield "who are not those that have events, in order"
        return
    users = [user.encode() for user, mine in zip(
        names, doc["events"].values()) for _ in mine]
    types = [t.encode() for t in doc["types"]]
    if [user.encode() for user in names] != sorted(set(users)):
        yield "who are not the events' users in order"
        return
    if types != sorted(set(types)) or set(kinds) != set(range(len(types))):
        yield "types are not the events' types in order"
        return

    keys = [(u, t, e["offset"]) for u, t, e in zip(users, times, events)]
    if keys != sorted(keys):
        yield "events are not sorted by user, time and offset"

    counts = [len(mine) for mine in doc["events"].values()]
    if doc["counts"] != columns.uint16s(counts):
        yield "the column counts does not agree with the events"

    yield from _who_problems(doc, users, kinds, known)

    received = 0
    for user, event, time, kind in zip(users, events, times, kinds):
        where = doc["_id"]["partition"], event["offset"]
        if where not in log:
            yield f"an event of offset {where}, which the log did not keep"
            continue
        right, taken = log[where]
        received = max(received, taken)
        stored = {k: v for k, v in event.items() if k != "offset"}
        stored |= {"event_id": ids.text(event["event_id"]),
                   "user_id": user.decode(), "timestamp": time,
                   "event_type": doc["types"][kind]}
        if isinstance(event["event_id"], str) and ids.is_uuid(
                event["event_id"]):
            yield f"offset {where}: the UUID is stored as text"
        if not values.same(stored, right):
            yield f"offset {where} is {right!r}, stored {stored!r}"[:1000]
        for bad in _wide_integers(stored["metadata"]):
            yield f"offset {where}: {bad} fits 32 bits, stored in 64"

    if doc["received"] != received:
        yield f"received is {doc['received']}, the records say {received}"


def _who_problems(doc, users, kinds, known):
    """
    Do the bits of each user say which types it has?  Where one was not
    registered yet when the block was written, they are all set.
    """

    right = defaultdict(int)
    for user, kind in zip(users, kinds):
        number = known.get(doc["types"][kind])
        right[user] |= (2**TYPE_BITS - 1 if number is None
                        else 1 << number % TYPE_BITS)

    for one in doc["who"]:
        bits = right[one["u"].encode()]
        if one["t"] not in (bits, 2**TYPE_BITS - 1):
            yield f"{one['u']!r} has the types {one['t']}, should be {bits}"
        elif type(one["t"]) is not int:
            yield f"the types of {one['u']!r} are no 32-bit integer"


def _wide_integers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _wide_integers(item)
    elif isinstance(value, Long) and -2**31 <= value < 2**31:
        yield int(value)


def fold(events, counted=str):
    """
    (width, name, start in ms) -> [count, [measures]]; "" is all types, and
    `counted` gives the name that a type is counted under.
    """

    windows = {}
    for event in events:
        value = values.measure(event)
        for width in WIDTHS:
            start = event["timestamp"] // (width * 1000) * width * 1000
            for name in (counted(event["event_type"]), ""):
                window = windows.setdefault((width, name, start), [0, []])
                window[0] += 1
                if value is not None:
                    window[1].append(value)
    return windows


def same_measure(stored, numbers):
    """Is {count, sum, min, max} what these numbers give?"""

    if not numbers:
        return stored is None or stored["count"] == 0
    return (stored is not None
            and stored["count"] == len(numbers)
            and stored["min"] == min(numbers)
            and stored["max"] == max(numbers)
            and values.near(stored["sum"], math.fsum(numbers), numbers))


def fading(shot, width, start):
    """
    Is the window past its retention, or about to be?  Then it may be gone,
    and events that came too late for it are not in it.
    """

    keep = KEEP[width]
    return keep is not None and (
        start + width * 1000 + keep <= shot.taken + FADING)


def closing(shot, width, start):
    """
    Does the window become final while it is looked at?  That comes by the
    clock, and is a revision of its own that is published.
    """

    due = start + width * 1000 + GRACE
    return shot.taken - CLOSING <= due <= shot.merged


def _window_problems(shot, found, right):
    """`found`: key -> (count, measure); `right`: key -> [count, numbers]."""

    for key, (count, measure) in found.items():
        want = right.get(key, [0, []])
        if fading(shot, key[0], key[2]):
            if count > want[0]:
                yield f"window {key} counts {count}, at most {want[0]}"
        elif count != want[0]:
            yield f"window {key} counts {count}, should be {want[0]}"
        elif not same_measure(measure, want[1]):
            yield (f"window {key} measures {measure}, should be "
                   f"{len(want[1])} numbers with sum {math.fsum(want[1])}")

    for key in right.keys() - found.keys():
        if not fading(shot, key[0], key[2]):
            yield f"window {key} is missing, it counts {right[key][0]}"


def check_partials(shot):
    """Each partition's part of each window is what the log gives."""

    kept = defaultdict(list)
    for record, verdict, event in shot.judged:
        if verdict == "kept":
            kept[record.partition].append(event)

    right = {(*key, partition): window
             for partition, events in kept.items()
             for key, window in fold(events, shot.counted).items()}
    found = {}

    for doc in shot.partials:
        key = (doc["_id"]["width"], doc["_id"]["event_type"],
               doc["_id"]["start"], doc["_id"]["partition"])
        found[key] = doc["count"], doc.get("measures", {}).get("value")
        flush = shot.ledger.get(key[3], {}).get("flush", 0)
        if not 1 <= doc["flush"] <= flush:
            yield f"partial {key} is of flush {doc['flush']} of {flush}"

    yield from _window_problems(shot, found, right)


def check_types(shot):
    """
    Not more types have windows than may, each that came while there was room
    has them, and the ledger says how many events are counted as others.
    """

    if shot.registry is None:
        return

    numbers = sorted(doc["number"] for doc in shot.types)
    n, most = len(numbers), shot.registry["max"]
    if numbers != list(range(n)) or shot.registry["known"] != n:
        yield (f"the registry of types has the numbers {numbers[:99]}, known "
               f"is {shot.registry['known']}")
    if n > most:
        yield f"{n} types have windows, {most} may"

    found = {doc["_id"]["event_type"] for doc in shot.partials + shot.windows}
    for name in found - shot.known.keys() - {"", OTHER}:
        yield f"there are windows of {name!r}, which is not registered"

    others = Counter()
    for record, verdict, event in shot.judged:
        if verdict == "kept" and event["event_type"] not in shot.known:
            others[record.partition] += 1
            if n < most and event["event_type"] != OTHER:
                yield (f"{event['event_type']!r} is not registered, and {n} "
                       f"of {most} types are")

    for partition, doc in shot.ledger.items():
        by_max = doc.get("other", {})
        counted = sum(one["events"] for one in by_max.values())
        if counted != others[partition]:
            yield (f"partition {partition}: {counted} events are counted as "
                   f"others, {others[partition]} are")


def check_windows(shot):
    """Each merged window is what the sender's log gives, and is published."""

    found = {}
    for doc in shot.windows:
        key = (doc["_id"]["width"], doc["_id"]["event_type"],
               doc["_id"]["start"])
        found[key] = doc["count"], doc.get("measures", {}).get("value")
        if closing(shot, key[0], key[2]):
            continue
        if doc["dirty"]:
            yield f"window {key} is dirty at rest"
        if key[0] != 86400 and key[1] and doc["published"] != doc["revision"]:
            yield (f"window {key} has revision {doc['revision']}, published "
                   f"is {doc['published']}")

    yield from _window_problems(shot, found, shot.windows_of_truth)


def check_sketches(shot):
    """
    Distinct users and percentiles of each merged window against the sender's
    log: users exact up to EXACT, then within 4 %, and 95 % of the windows
    within 2 %; percentiles within 1 %.
    """

    users = defaultdict(set)
    for event in shot.truth:
        for width in WIDTHS:
            start = event["timestamp"] // (width * 1000) * width * 1000
            for name in (shot.counted(event["event_type"]), ""):
                users[width, name, start].add(event["user_id"])

    large = wide = 0
    for doc in shot.windows:
        key = (doc["_id"]["width"], doc["_id"]["event_type"],
               doc["_id"]["start"])
        if key[0] == 1 or key not in users or fading(shot, key[0], key[2]):
            continue

        want, got = len(users[key]), doc.get("unique_users")
        if got is None or abs(got - want) > (
                0 if want <= EXACT else 0.04 * want):
            yield f"window {key} has {got} users, should be {want}"
        elif want > EXACT:
            large += 1
            wide += abs(got - want) > 0.02 * want

        numbers = sorted(shot.windows_of_truth[key][1])
        measure = doc.get("measures", {}).get("value")
        for name, q in QUANTILES.items() if numbers and measure else ():
            right = numbers[int(q * (len(numbers) - 1))]
            found = measure.get(name)
            if found is None or abs(found - right) > max(
                    0.01 * abs(right), 1e-15):
                yield f"window {key}: {name} is {found}, should be {right}"

    if large >= 20 and wide * 20 > large:
        yield f"users of {wide} windows of {large} are more than 2 % off"


def check_stats(shot):
    """Every bucket of GET /stats is what the sender's log gives."""

    right = shot.windows_of_truth
    covered = Counter()

    for params, answer in shot.stats:
        width = {"1m": 60, "1d": 86400}[params["time_interval"]]
        grouped = params.get("group_by") == "event_type"
        total, numbers, points = 0, [], set()

        for point in answer["series"]:
            name = point["event_type"] if grouped else ""
            key = (width, name, values.milliseconds(point["start"]))
            if key in points:
                yield f"GET /stats {params}: bucket {key} is there twice"
            points.add(key)
            want = right.get(key, [0, []])
            total += want[0]
            numbers += want[1]
            yield from _point_problems(f"GET /stats {params}: {key}", point,
                                       want)

        for key, want in right.items():
            inside = params["from"] * 1000 <= key[2] < params["to"] * 1000
            if (key[0] == width and inside and bool(key[1]) == grouped
                    and key not in points):
                yield f"GET /stats {params}: no bucket {key}, {want[0]} events"

        if not grouped:
            covered[width] += total
        yield from _point_problems(f"GET /stats {params}: total",
                                   answer["total"], [total, numbers])

    n = len(shot.truth)
    if shot.stats and covered[86400] != n:
        yield f"GET /stats over all days sees {covered[86400]} events of {n}"


def _point_problems(where, point, want):
    if point["count"] != want[0]:
        yield f"{where} counts {point['count']}, should be {want[0]}"
        return

    if point["measured"] != len(want[1]):
        yield f"{where} measured {point['measured']} of {len(want[1])}"
    elif want[1]:
        right = {"sum": math.fsum(want[1]), "min": min(want[1]),
                 "max": max(want[1]),
                 "average": math.fsum(want[1]) / len(want[1])}
        for name, number in right.items():
            if not values.near(point[name], number, want[1]):
                yield f"{where} {name} is {point[name]}, should be {number}"
    else:
        for name in ("sum", "min", "max", "average"):
            if point[name] is not None:
                yield f"{where} {name} of nothing is {point[name]}, not null"


def check_published(shot):
    """
    event-stats: a key's revisions go up by one or are repeated byte for byte,
    and the last one is what the sender's log gives.
    """

    revisions, latest = {}, {}

    for record in shot.published:
        message = values.parse(record.value)
        key = (message["width"], message["event_type"], message["start"])
        name = f"{key[1]}|{key[0]}|{key[2]}"
        if record.key != name.encode():
            yield f"the key of {name} is {record.key!r}"

        before, bytes_before = revisions.get(key, (0, None))
        if message["revision"] == before:
            if record.value != bytes_before:
                yield f"{name}: two different revisions {before}"
        elif message["revision"] != before + 1:
            yield (f"{name}: revision {message['revision']} after {before}")
        revisions[key] = message["revision"], record.value
        latest[key] = message

    seconds = {name: width for width, name in WIDTHS.items()}
    found = {(seconds[width], name, start * 1000):
             (message["count"], message["measures"].get("value"))
             for (width, name, start), message in latest.items()}
    right = {key: window for key, window in shot.windows_of_truth.items()
             if key[0] != 86400 and key[1]}

    yield from _window_problems(shot, found, right)


def check_dead(shot):
    """Dead letters are the records that the log says, as they were."""

    dead = {(r.partition, r.offset): r for r, verdict, _ in shot.judged
            if verdict == "dead"}
    seen = set()

    for letter in shot.dead:
        headers = {k: v.decode() for k, v in letter.headers.items()}
        where = (int(headers["millrace-partition"]),
                 int(headers["millrace-offset"]))
        record = dead.get(where)
        if record is None:
            yield f"a dead letter of {where}, which the log holds as valid"
        elif (record.key, record.value) != (letter.key, letter.value):
            yield f"the dead letter of {where} is not the record that it was"
        elif not headers["millrace-error"]:
            yield f"the dead letter of {where} does not say why"
        seen.add(where)

    for where in dead.keys() - seen:
        yield f"record {where} is dead and has no dead letter"


CHECKS = {name[6:]: check for name, check in list(globals().items())
          if name.startswith("check_")}


def audit(shot, only=None):
    """[violations] of the checks named in `only`, or of all of them."""

    violations = []
    case = Case(shot)

    for name, check in CHECKS.items():
        if only is not None and name not in only:
            continue
        found = list(check(case))
        violations += [f"{name}: {text}" for text in found[:SHOWN]]
        if len(found) > SHOWN:
            violations.append(f"{name}: and {len(found) - SHOWN} more")

    return violations
