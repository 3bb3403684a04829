"""
The workload that Millrace is measured on, seeded: 1,000,000 users by Zipf
with exponent 0.9, six event types, 1 % of events late by up to an hour, 0.5 %
repeats of an earlier event, byte for byte.
"""

import itertools
import random
import uuid

from . import values

USERS = 1_000_000
TYPES = {"view": 60, "click": 25, "search": 8, "add_to_cart": 4,
         "purchase": 2, "signup": 1}
PAGES = ["/", "/search", "/cart", "/checkout", "/product/1093", "/account"]
DEVICES = ["desktop", "mobile", "tablet"]
REFERRERS = ["https://www.example.com/", "https://news.example.org/today", ""]
CAMPAIGNS = ["spring", "newsletter-17", "retarget"]


class Workload:
    """
    Batches of events as bytes.  Two of the same seed and start time are
    equal.  `prefix` keeps types and users of different tests apart.
    """

    def __init__(self, seed, start, prefix="", span=60.0, users=USERS):
        self.random = random.Random(seed)
        self.start = start      # UNIX seconds of the first event
        self.span = span        # seconds over which timestamps spread
        self.prefix = prefix
        self.users = range(users)
        self.weights = list(itertools.accumulate(
            (i + 1) ** -0.9 for i in self.users))

    def events(self, n):
        """`n` events of which about 0.5 % repeat an earlier one."""

        r = self.random
        users = r.choices(self.users, cum_weights=self.weights, k=n)
        types = r.choices(list(TYPES), weights=TYPES.values(), k=n)
        made = []

        for i, (user, event_type) in enumerate(zip(users, types)):
            if made and r.random() < 0.005:
                made.append(r.choice(made[-5000:]))
                continue

            late = r.uniform(0, 3600) if r.random() < 0.01 else 0
            metadata = {
                "page": r.choice(PAGES),
                "referrer": r.choice(REFERRERS),
                "device": r.choice(DEVICES),
                "session": f"{r.getrandbits(64):016x}",
            }
            if r.random() < 0.3:
                metadata["campaign"] = r.choice(CAMPAIGNS)
            if event_type in ("purchase", "add_to_cart"):
                metadata["value"] = round(r.uniform(1, 500), 2)

            made.append(values.dump({
                "event_id": str(uuid.UUID(int=r.getrandbits(128), version=4)),
                "user_id": f"{self.prefix}user-{user:07d}",
                "event_type": self.prefix + event_type,
                "timestamp": round(
                    self.start + self.span * i / n - late, 3),
                "metadata": metadata,
            }))

        return made

    @staticmethod
    def batches(events, size=100):
        return [events[i:i + size] for i in range(0, len(events), size)]
