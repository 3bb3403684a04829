"""
Blocks and windows made by hand, exactly as docs/data-model.md says, for tests
of the query daemon that need neither Kafka nor a writer: random cuts that a
writer would not make are as good, if the document allows them.
"""

import collections
import datetime
import itertools
import re
import struct

import pymongo
from bson import Binary, Int64

from . import columns, ids, sketches

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)

# Milliseconds: the widest tmax - tmin of each span class but ANY, the
# narrowest first.
SPANS = {0: 10_000, 5: 300_000, 1: 600_000, 2: 86_400_000,
         3: 30 * 86_400_000}
ANY = 4

# How a block may be made: as it is now, and as by earlier versions, the newest
# first: these had times and ends instead of since and counts, named users alone,
# and had a list of events that say everything.
COUNTS, ENDS, USERS, LIST = FORMS = "counts", "ends", "users", "list"

NARROW = [("span", 1), ("tmax", 1)]
BLOCK_INDEXES = {
    "who_span_tmax": [("who.u", 1), *NARROW, ("who.t", 1)],
    "who_span_tmin_tmax": [("who.u", 1), ("span", 1), ("tmin", 1),
                           ("tmax", 1), ("who.t", 1)],
    "types_span_tmax_tmin": [("types", 1), *NARROW, ("tmin", 1)],
    "types_span_tmin_tmax": [("types", 1), ("span", 1), ("tmin", 1),
                             ("tmax", 1)],
    "span_tmax_tmin": [*NARROW, ("tmin", 1)],
    "span_tmin_tmax": [("span", 1), ("tmin", 1), ("tmax", 1)],
}
EARLIER_INDEXES = {
    "users_span_tmax": [("users", 1), *NARROW],
    "users_span_tmin_tmax": [("users", 1), ("span", 1), ("tmin", 1),
                             ("tmax", 1)],
}
# These are of the wide classes alone.
WIDE = ("who_span_tmin_tmax", "users_span_tmin_tmax")

TYPE_BITS = 7
ALL_TYPES = 2**TYPE_BITS - 1

WIDTHS = (1, 60, 3600, 86400)


def date(ms):
    return EPOCH + datetime.timedelta(milliseconds=ms)


def ms(date):
    """Of one that pymongo has read, with a zone or without, or bsondoc."""

    if isinstance(date, int):
        return int(date)
    return (date.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // MILLISECOND


def create(database):
    """
    Drop what there is but for the registry of types, of which nothing is ever
    removed; create the collections with their indexes.
    """

    for name in ("blocks", "windows", "state"):
        database.drop_collection(name)
        database.create_collection(name)

    index(database, BLOCK_INDEXES)
    database.types.create_index([("number", 1)], name="number", unique=True)


def index(database, indexes):
    for name, keys in indexes.items():
        database.blocks.create_index(keys, name=name, **({
            "partialFilterExpression": {"span": {"$gte": 2, "$lte": 4}}}
            if name in WIDE else {}))


def register(database, types):
    """Give each of the types its number; {type: number} of all that have."""

    numbers = {doc["_id"]: doc["number"] for doc in database.types.find()}
    for name in types:
        if name not in numbers:
            numbers[name] = len(numbers)
            database.types.insert_one({"_id": name, "max": Int64(2000),
                                       "number": Int64(numbers[name])})
    return numbers


def insert_windows(database, events):
    """The events' windows, and the types that have them."""

    register(database, sorted({e["event_type"] for e in events}))
    database.windows.insert_many(windows(events))


def insert(database, blocks):
    """
    As many versions have, one after the other: where there is one of an
    earlier version, so are its indexes.  The query daemon looks for such at
    its start, and then only now and then.
    """

    if any("users" in block for block in blocks):
        index(database, EARLIER_INDEXES)

    database.blocks.with_options(
        write_concern=pymongo.WriteConcern("majority")).insert_many(blocks)


def span_of(width):
    return next((i for i, w in SPANS.items() if width <= w), ANY)


def ordered(events):
    return sorted(events, key=lambda e: (e["user_id"].encode(),
                                         e["timestamp"], e["offset"]))


def block(events, epoch, partition, first, number, form=COUNTS, numbers=None):
    """
    The block of at most 1,024 stored events: dicts with event_id, user_id,
    event_type, timestamp (ms), metadata and offset.  `numbers`: of the types
    that were registered when it was made.
    """

    events = ordered(events)
    times = [e["timestamp"] for e in events]
    types = sorted({e["event_type"] for e in events}, key=str.encode)
    counts = collections.Counter(e["user_id"] for e in events)
    users = list(counts)  # in the order of the events
    has_who = form in (COUNTS, ENDS)

    return {
        "_id": {"epoch": Int64(epoch), "partition": partition,
                "offset": Int64(first), "number": number},
        "span": span_of(max(times) - min(times)),
        "tmin": date(min(times)),
        "tmax": date(max(times)),
        "received": date(max(times)),
        "n": len(events),
        **({} if form == LIST else {"layout": 1}),
        "types": types,
        **({"who": who_of(events, numbers or {})} if has_who
           else {"users": users}),
        **({"since": Binary(columns.since(times))} if form == COUNTS else
           {"times": Binary(struct.pack(f"<{len(times)}q", *times))}),
        "kinds": column(types.index(e["event_type"]) for e in events),
        **({"counts": column(counts.values())} if form == COUNTS
           else {"ends": column(itertools.accumulate(counts.values()))}),
        "events": [{
            "event_id": e["event_id"],
            "user_id": e["user_id"],
            "event_type": e["event_type"],
            "timestamp": date(e["timestamp"]),
            "metadata": e["metadata"],
            "offset": Int64(e["offset"]),
        } for e in events] if form == LIST else {
            key_of(user): {str(i): {
                "event_id": (ids.stored(e["event_id"]) if has_who
                             else e["event_id"]),
                "metadata": e["metadata"],
                "offset": Int64(e["offset"]),
            } for i, e in enumerate(events) if e["user_id"] == user}
            for user in users},
    }


def column(numbers):
    return Binary(columns.uint16s(numbers))


def who_of(events, numbers):
    """The block's `who`: each user, and which event types it has."""

    found = {}
    for event in events:
        number = numbers.get(event["event_type"])
        found[event["user_id"]] = found.get(event["user_id"], 0) | (
            ALL_TYPES if number is None else 1 << number % TYPE_BITS)
    return [{"u": user, "t": bits} for user, bits in found.items()]


def key_of(user):
    """Under which its events are in a block."""

    return re.sub("[%.$]", lambda found: f"%{ord(found[0]):02X}", user)


def users_of(block):
    return [one["u"] for one in block["who"]] if "who" in block else block[
        "users"]


def rows_of(block):
    """The events as they are stored, their user, and their id as text."""

    if "layout" not in block:
        return block["events"]

    users = users_of(block)
    assert list(block["events"]) == [key_of(user) for user in users]
    rows = [(int(place), {**event, "event_id": ids.text(event["event_id"]),
                          "user_id": user})
            for user, mine in zip(users, block["events"].values())
            for place, event in mine.items()]
    assert [place for place, _ in rows] == list(range(block["n"]))

    return [event for _, event in rows]


def events_of(block):
    """The events that block() is made of; the columns say type and time."""

    times = columns.times(block, ms(block["tmin"]))
    kinds = struct.unpack(f"<{block['n']}H", block["kinds"])

    return [dict(e, event_type=block["types"][kind], timestamp=time)
            for e, kind, time in zip(rows_of(block), kinds, times,
                                     strict=True)]


def form_of(block):
    """How the block is made; all of its events have to agree."""

    assert ("counts" in block) != ("ends" in block)
    assert ("since" in block) == ("counts" in block) != ("times" in block)
    if block.get("layout") == 1:
        events = [event for mine in block["events"].values()
                  for event in mine.values()]
        (fields,) = {tuple(e) for e in events}
        assert fields == ("event_id", "metadata", "offset")
        if "who" not in block:
            assert all(isinstance(e["event_id"], str) for e in events)
            return USERS
        assert all(e["event_id"] == ids.stored(ids.text(e["event_id"]))
                   for e in events)
        return COUNTS if "counts" in block else ENDS

    (fields,) = {tuple(e) for e in rows_of(block)}

    assert not {"layout", "who", "counts"} & set(block)
    assert fields == ("event_id", "user_id", "event_type", "timestamp",
                      "metadata", "offset")
    return LIST


def store(database, rng, events, partitions=4, largest=60):
    """
    Give events their partition and offset, and store them in blocks that are
    cut at random: most by time, some across it; half of the blocks are as
    earlier versions made them, of some others no type was registered then,
    and one type never is.  Returns what was stored.
    """

    placed, blocks = [], []
    types = sorted({e["event_type"] for e in events})
    numbers = register(database, types[1:])

    for partition in range(partitions):
        mine = [dict(e) for e in events
                if hash_of(e["user_id"]) % partitions == partition]
        for offset, event in enumerate(mine):
            event.update(partition=partition, offset=offset)
        placed += mine

        while mine:
            flush = mine[:rng.randint(1, largest * 4)]
            mine = mine[len(flush):]
            first = flush[0]["offset"]
            if rng.random() < 0.8:
                flush.sort(key=lambda e: e["timestamp"])
            number = 0
            while flush:
                width = rng.choice((0, 5_000, 10_000, 300_000, 600_000,
                                    86_400_000, SPANS[3], 10**13))
                n = 1
                most = rng.randint(1, largest)
                while (n < min(len(flush), most) and
                       spread(flush[:n + 1]) <= width):
                    n += 1
                blocks.append(block(
                    flush[:n], 1, partition, first, number,
                    rng.choice((*3 * (COUNTS,), *FORMS[1:])),
                    rng.choice((numbers, numbers, {}))))
                flush = flush[n:]
                number += 1

    insert(database, blocks)
    return placed


def spread(events):
    times = [e["timestamp"] for e in events]
    return max(times) - min(times)


def hash_of(text):
    """Of no meaning but the same in each run, unlike Python's own."""

    value = 0
    for byte in text.encode():
        value = (value * 31 + byte) % 2**32
    return value


def windows(events, name="value"):
    """The windows of the events, as the stats daemon would merge them."""

    found = {}

    for event in events:
        value = event["metadata"].get(name)
        for width in WIDTHS:
            start = event["timestamp"] // (width * 1000) * width * 1000
            for event_type in ("", event["event_type"]):
                window = found.setdefault((width, event_type, start), {
                    "count": 0, "values": [], "users": set()})
                window["count"] += 1
                window["users"].add(event["user_id"])
                if isinstance(value, (int, float)):
                    window["values"].append(float(value))

    return [{
        "_id": {"width": width, "event_type": event_type,
                "start": date(start)},
        "count": Int64(window["count"]),
        **estimates(width, window, name),
        "revision": Int64(1),
        "final": False,
        "published": Int64(1),
        "dirty": False,
    } for (width, event_type, start), window in found.items()]


def estimates(width, window, name):
    """The fields of a window that hold a measure, or come of sketches."""

    found = {"measures": {}}
    values = window["values"]

    if values:
        found["measures"][name] = {
            "count": Int64(len(values)), "sum": sum(values),
            "min": min(values), "max": max(values)}
    if width >= 60:
        found["unique_users"] = Int64(len(window["users"]))
        found["sketches"] = {
            "users": sketches.hyperloglog(window["users"]), "measures": {}}
    if width >= 60 and values:
        found["measures"][name] |= {
            f"p{round(q * 100)}": sketches.quantile(values, q)
            for q in (0.5, 0.95, 0.99)}
        found["sketches"]["measures"][name] = sketches.ddsketch(values)

    return found
