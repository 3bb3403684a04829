"""
The sender's side of the promise.  SentLog remembers, in this process alone,
what was sent and what was answered: it is what every audit starts from, and
it never reads MongoDB or Kafka.
"""

import threading
import time

import httpx

from . import values

ACKED, UNSURE, REFUSED = "acked", "unsure", "refused"

MEDIA_TYPES = {
    "object": "application/json",
    "array": "application/json",
    "ndjson": "application/x-ndjson",
}


class Sent:
    """One distinct event (its bytes), and how often it was sent."""

    __slots__ = ("raw", "event", "acked", "unsure", "refused", "number")

    def __init__(self, raw, number):
        self.raw = raw
        self.event = None
        self.number = number  # in the order of the first sending
        self.acked = self.unsure = self.refused = 0

    def may_be_stored(self):
        return self.acked > 0 or self.unsure > 0


class SentLog:
    """Any number of threads may write to it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sent = {}     # bytes -> Sent
        self.foreign = []  # (partition, offset, key, value, valid)

    def note(self, raws, outcome):
        """Each of `raws` was sent once, and this is what came of it."""

        with self.lock:
            for raw in raws:
                entry = self.sent.get(raw)
                if entry is None:
                    entry = self.sent[raw] = Sent(raw, len(self.sent))
                if outcome != REFUSED and entry.event is None:
                    entry.event = values.normal(values.parse(raw))
                setattr(entry, outcome, getattr(entry, outcome) + 1)

    def note_foreign(self, partition, offset, key, value, valid):
        """A record that a test wrote to the topic itself."""

        with self.lock:
            self.foreign.append((partition, offset, key, value, valid))

    def entries(self):
        with self.lock:
            return list(self.sent.values())

    def acked(self):
        """Distinct identities of which at least one sending got its 202."""

        return {values.identity(e.event) for e in self.entries() if e.acked}


def raw_of(event):
    return event if isinstance(event, bytes) else values.dump(event)


def body_of(raws, form):
    if form == "object":
        (raw,) = raws
        return raw
    if form == "array":
        return b"[" + b",".join(raws) + b"]"
    if form == "ndjson":
        return b"".join(raw + b"\n" for raw in raws)
    raise ValueError(form)


class Sender:
    """
    A client of POST /events that keeps the log.  An event is a dict, or the
    exact bytes of its JSON.  One thread at a time.
    """

    def __init__(self, url, log, **options):
        options.setdefault("timeout", 30)
        self.log = log
        self.client = httpx.Client(base_url=url, **options)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.client.close()

    def post(self, events, form="ndjson", headers=None, body=None):
        """
        Send once.  Returns the response, or raises httpx.TransportError when
        no answer came; either way the log knows.  `body` overrides the bytes
        around the events (white space, blank lines).
        """

        raws = [raw_of(event) for event in events]
        headers = {"content-type": MEDIA_TYPES[form], **(headers or {})}

        try:
            response = self.client.post(
                "/events", headers=headers,
                content=body_of(raws, form) if body is None else body)
        except httpx.TransportError:
            self.log.note(raws, UNSURE)
            raise

        status = response.status_code

        if status == 202:
            bad = {e["index"] for e in response.json().get("errors", [])}
            good = [raw for i, raw in enumerate(raws) if i not in bad]
            self.log.note(good, ACKED)
            self.log.note([raws[i] for i in bad], REFUSED)
        elif 400 <= status < 500:
            self.log.note(raws, REFUSED)
        else:
            self.log.note(raws, UNSURE)

        return response

    def deliver(self, events, form="ndjson", seconds=60):
        """
        Send until it is answered 202: what a client does with a 5xx or a
        lost connection.  Returns the number of attempts.
        """

        end = time.monotonic() + seconds
        attempts = 0
        last = None

        while True:
            attempts += 1
            try:
                response = self.post(events, form)
                if response.status_code == 202:
                    accepted = response.json()["accepted"]
                    assert accepted == len(events), response.text
                    return attempts
                last = f"{response.status_code} {response.text[:500]}"
                assert response.status_code >= 500, last
            except httpx.TransportError as error:
                last = repr(error)

            assert time.monotonic() < end, f"not delivered: {last}"
            time.sleep(min(0.05 * attempts, 1))
