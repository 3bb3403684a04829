"""
A writer of partials for tests of the statistics daemon alone: it commits
flushes as docs/data-model.md says, in transactions, at a pace and with times
of the test's choosing, and keeps its own account of what it has committed.

Values are multiples of 0.25, so that sums are exact in any order.
"""

import datetime
import random
import threading
import time
from collections import Counter

from bson import Int64
from bson.codec_options import CodecOptions
from pymongo import UpdateOne
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

WIDTHS = {1: 3600, 60: 35 * 86400, 3600: None, 86400: None}  # s: kept for s
NAMES = {1: "1s", 60: "1m", 3600: "1h", 86400: "1d"}


def date(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def kept(key, now):
    width, _, start = key
    return WIDTHS[width] is None or start + width + WIDTHS[width] > now


class Account:
    """What was committed: (width, type, start) -> count, and measures."""

    def __init__(self):
        self.windows = {}

    def add(self, event_type, when, value):
        for width in WIDTHS:
            for name in (event_type, ""):
                key = width, name, int(when // width * width)
                window = self.windows.setdefault(key, [0, 0, 0.0, None, None])
                window[0] += 1
                if value is not None:
                    window[1] += 1
                    window[2] += value
                    window[3] = min(value, window[3] or value)
                    window[4] = max(value, window[4] or value)

    def merge(self, other):
        for key, (count, n, total, low, high) in other.windows.items():
            window = self.windows.setdefault(key, [0, 0, 0.0, None, None])
            window[0] += count
            if n:
                window[1] += n
                window[2] += total
                window[3] = min(low, window[3] or low)
                window[4] = max(high, window[4] or high)


class Flushes:

    def __init__(self, database, partitions=4, topic="events", seed=1):
        self.client = database.client
        options = CodecOptions(tz_aware=True)
        self.ledger = database.get_collection("ledger", options)
        self.partials = database.get_collection("partials", options)
        self.topic = topic
        self.partitions = partitions
        self.random = random.Random(seed)
        self.account = Account()
        self.flushes = Counter()
        self.alone = False  # seconds as documents of their own, as in 0.1.0

    def events(self, n, types, now=None, late=0.01):
        """[(type, when, value)]: as many at `now`, some late by an hour."""

        r = self.random
        now = time.time() if now is None else now
        return [(r.choice(types),
                 now - (r.uniform(0, 3000) if r.random() < late else 0),
                 r.randrange(1, 4000) / 4 if r.random() < 0.5 else None)
                for _ in range(n)]

    def flush(self, partition, events):
        """Commit one flush; retried until it is known to be committed."""

        part = Account()
        for event_type, when, value in events:
            part.add(event_type, when, value)

        # As the writer: a window past its retention is not made.
        now = time.time()
        part.windows = {key: window for key, window in part.windows.items()
                        if kept(key, now)}

        number = self.flushes[partition] + 1
        while not self._commit(partition, number, part, len(events)):
            time.sleep(0.05)

        self.flushes[partition] = number
        self.account.merge(part)

    def _commit(self, partition, number, part, n):
        name = f"{self.topic}/{partition}"
        try:
            with self.client.start_session() as session:
                with session.start_transaction(
                        ReadConcern("majority"),
                        WriteConcern("majority", j=True)):
                    doc = self.ledger.find_one({"_id": name}, session=session)
                    if doc is not None and doc["flush"] >= number:
                        return True  # the commit whose answer was lost
                    self.ledger.update_one(
                        {"_id": name},
                        {"$inc": {"next": Int64(n), "flush": Int64(1)},
                         "$set": {"epoch": Int64(1),
                                  "last": {"time": date(time.time())}}},
                        upsert=True, session=session)
                    self.partials.bulk_write(
                        self._updates(partition, number, part),
                        ordered=False, session=session)
            return True
        except PyMongoError as error:
            if "duplicate key" in str(error):
                raise
            return False

    def _updates(self, partition, number, part):
        updates = {}  # (width, type, start) -> the document's
        for (width, name, start), window in part.windows.items():
            count, n, total, low, high = window
            inside = width == 1 and not self.alone
            keep, at = WIDTHS[width], ""
            key = width, name, start
            if inside:
                at, key = f"seconds.{start % 60}.", (60, name, start // 60 * 60)
            update = updates.setdefault(key, {
                "$inc": {}, "$set": {}, "$min": {}, "$max": {},
                "$setOnInsert": {}})
            update["$inc"][f"{at}count"] = Int64(count)
            update["$set"][f"{at}flush"] = Int64(number)
            if inside:
                update["$set"]["forget"] = date(key[2] + 60 + keep)
            elif keep is not None:
                update["$setOnInsert"]["expire"] = date(start + width + keep)
            if n:
                update["$inc"] |= {f"{at}measures.value.count": Int64(n),
                                   f"{at}measures.value.sum": float(total)}
                update["$min"][f"{at}measures.value.min"] = float(low)
                update["$max"][f"{at}measures.value.max"] = float(high)
        return [UpdateOne(
            {"_id": {"width": width, "event_type": name, "start": date(start),
                     "partition": partition}},
            {name: fields for name, fields in update.items() if fields},
            upsert=True)
            for (width, name, start), update in updates.items()]


class Load(threading.Thread):
    """Flushes on all partitions in turn until it is told to stop."""

    def __init__(self, flushes, types, n=20, pause=0.02):
        super().__init__(daemon=True)
        self.flushes, self.types = flushes, types
        self.n, self.pause = n, pause
        self.ended = threading.Event()
        self.error = None

    def run(self):
        partition = 0
        try:
            while not self.ended.wait(self.pause):
                self.flushes.flush(
                    partition, self.flushes.events(self.n, self.types))
                partition = (partition + 1) % self.flushes.partitions
        except Exception as error:  # shown by stop()
            self.error = error

    def stop(self):
        self.ended.set()
        self.join(60)
        assert not self.is_alive(), "the load does not end"
        if self.error is not None:
            raise self.error
