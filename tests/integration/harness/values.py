"""
JSON values as Millrace promises to give them back, and the one form in which
events of every source (the sender, Kafka, MongoDB, GET /events) are compared.
"""

import decimal
import json
import math
import struct


def _integer(text):
    # JSON's -0 is a number with a sign, which only a double can hold.
    return -0.0 if text == "-0" else int(text)


def _constant(text):
    raise ValueError(f"{text} is not JSON")


def _object(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("repeated key")
    return value


def parse(text):
    """Strict JSON: integers as int, other numbers as float, -0 as -0.0."""

    return json.loads(text, parse_int=_integer, parse_constant=_constant,
                      object_pairs_hook=_object)


def dump(value):
    """The compact bytes of a JSON value."""

    return json.dumps(value, ensure_ascii=False,
                      separators=(",", ":")).encode()


def same(a, b):
    """Deep equality that tells 1, 1.0 and true apart, and 0.0 from -0.0."""

    if isinstance(a, bool) or isinstance(b, bool):
        return a is b

    if isinstance(a, int) and isinstance(b, int):
        return a == b

    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("d", a) == struct.pack("d", b)

    if isinstance(a, str) and isinstance(b, str):
        return a == b

    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))

    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)

    return a is None and b is None


def milliseconds(timestamp):
    """UNIX seconds, an integer or a fraction, as whole milliseconds: rounded
    by the digits that were sent, half of one up."""

    if isinstance(timestamp, bool) or not isinstance(timestamp, (int, float)):
        raise ValueError(f"no timestamp: {timestamp!r}")

    if isinstance(timestamp, int):
        return timestamp * 1000

    return int((1000 * decimal.Decimal(repr(timestamp))).to_integral_value(
        decimal.ROUND_HALF_UP))


FIELDS = ("event_id", "user_id", "event_type", "timestamp", "metadata")


def normal(event):
    """An event with its time in milliseconds and metadata always present."""

    unknown = event.keys() - set(FIELDS)
    if unknown:
        raise ValueError(f"unknown fields {sorted(unknown)}")

    return {
        "event_id": event["event_id"],
        "user_id": event["user_id"],
        "event_type": event["event_type"],
        "timestamp": milliseconds(event["timestamp"]),
        "metadata": event.get("metadata", {}),
    }


def identity(event):
    return event["user_id"], event["event_id"]


def order(event):
    """The order of GET /events, ascending, of a normal event."""

    return (event["timestamp"], event["event_id"].encode(),
            event["user_id"].encode())


def measure(event):
    """The default measure, /metadata/value, or None if it does not count."""

    value = event["metadata"].get("value")

    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None

    return float(value) if -1e15 <= value <= 1e15 else None


def near(found, right, numbers):
    """
    Is `found` the sum or average `right` of these numbers, but for what
    adding doubles in another order can make of it?
    """

    return found is not None and abs(found - right) <= (
        1e-12 * math.fsum(map(abs, numbers)) + 1e-300)
