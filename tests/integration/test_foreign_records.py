"""
Records that somebody else wrote to the topic: what is no event becomes a dead
letter, what is one is stored, and nothing stops.
"""

import time

import confluent_kafka
import pytest

from harness import values
from harness.answers import await_events, same_events
from harness.partition import partition_of

GOOD = {"event_id": "1", "user_id": "u", "event_type": "foreign",
        "timestamp": 1_500_000_000, "metadata": {}}


def raw(**changes):
    made = {**GOOD, **changes}
    return values.dump({k: v for k, v in made.items() if v is not None})


INVALID = {
    "no JSON": b"hello",
    "empty": b"",
    "no value at all": None,
    "binary": bytes(range(256)),
    "cut": raw()[:-1],
    "two events": raw() + b"\n" + raw(),
    "an array": b"[" + raw() + b"]",
    "no user": raw(user_id=None),
    "empty user": raw(user_id=""),
    "timestamp as text": raw(timestamp="1500000000"),
    "timestamp in milliseconds": raw(timestamp=1_500_000_000_000),
    "negative timestamp": raw(timestamp=-1),
    "unknown field": raw(more=1),
    "invalid UTF-8": raw().replace(b"foreign", b"for\xffign"),
    "repeated key": raw()[:-1] + b',"user_id":"u"}',
    "65-bit integer": raw(metadata={"a": 2**63}),
    "nesting of 40": raw(metadata={"a": 0}).replace(
        b":0}", b":" + b"[" * 40 + b"]" * 40 + b"}"),
    "large and no event": b"x" * 900_000,
}


class Producer:
    """confluent-kafka's, noting in the log what was written where."""

    def __init__(self, stack, log):
        self.stack, self.log = stack, log
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": stack.brokers, "linger.ms": 0, "acks": "all",
            "message.max.bytes": 2_000_000})

    def write(self, value, valid, key=b"u", partition=0):
        def delivered(error, message):
            assert error is None, error
            self.log.note_foreign(message.partition(), message.offset(), key,
                                  value, valid)
            places.append((message.partition(), message.offset()))

        places = []
        self.producer.produce(self.stack.topic, value=value, key=key,
                              partition=partition, on_delivery=delivered)
        assert self.producer.flush(20) == 0
        (place,) = places
        return place


@pytest.fixture
def producer(stack, log):
    return Producer(stack, log)


def test_what_is_no_event_becomes_a_dead_letter(
        producer, stack, sender, client, name, check_all):
    """Good events before, between and after; the audit reads the letters."""

    partitions = len(stack.ends())
    users = {}
    for i in range(200):  # one user that lives in each partition
        users.setdefault(partition_of(f"{name}{i}", partitions), f"{name}{i}")

    good = 0
    for i, value in enumerate(INVALID.values()):
        partition = i % partitions
        producer.write(value, False, partition=partition)
        response = sender.post([{**GOOD, "event_id": str(i),
                                 "event_type": name + "good",
                                 "user_id": users[partition]}])
        assert response.status_code == 202
        good += 1

    assert len(await_events(client, good, event_type=name + "good")) == good
    shot = check_all()
    letters = {(int(r.headers["millrace-partition"]),
                int(r.headers["millrace-offset"])): r for r in shot.dead}
    assert len(letters) == len(INVALID)
    assert all(r.headers["millrace-topic"] == b"events" for r in shot.dead)
    reasons = {r.headers["millrace-error"] for r in shot.dead}
    assert len(reasons) > 8, "the reasons tell the cases apart"


def test_dead_letters_alone_move_the_ledger(producer, stack, name):
    """A flush that stores no event still moves on."""

    for _ in range(5):
        producer.write(b"nothing", False, partition=3)
    stack.settle()


def test_the_policy_is_the_modules_alone(producer, client, stack, name):
    """
    Valid by its format, refused by nginx's limits: too large, too far ahead.
    Written to the topic it is an event.
    """

    far = int(time.time()) + 3 * 365 * 86_400
    large = raw(user_id=name, event_id="large",
                metadata={"v": "x" * 300_000, "w": list(range(50_000))})
    ahead = raw(user_id=name, event_id="ahead", timestamp=far)
    assert 65_536 < len(large) < 1024 * 1024
    for value in (large, ahead):
        producer.write(value, True, key=name.encode(),
                       partition=partition_of(name, len(stack.ends())))
    same_events(await_events(client, 2, user_id=name, order="asc"),
                [large, ahead])


def test_a_record_without_a_key_or_with_another(producer, client, name,
                                                stack):
    """Identity and order go by what the event says."""

    partition = partition_of(name, len(stack.ends()))
    events = [raw(user_id=name, event_id=str(i), timestamp=i)
              for i in range(3)]
    for value, key in zip(events, (None, b"someone else", b"")):
        producer.write(value, True, key=key, partition=partition)
    same_events(await_events(client, 3, user_id=name, order="asc"), events)


def test_an_event_in_another_writing_is_a_repeat(producer, sender, client,
                                                 stack, name):
    """White space and member order play no part in who an event is."""

    event = {"event_id": "1", "user_id": name, "event_type": "t",
             "timestamp": 5, "metadata": {"a": 1}}
    assert sender.post([event]).status_code == 202
    other = (f' {{"metadata": {{"a" : 1}}, "timestamp": 5.0, "event_type": '
             f'"t", "user_id": "{name}", "event_id": "\\u0031"}} ').encode()
    producer.write(other, True, key=name.encode(),
                   partition=partition_of(name, len(stack.ends())))
    stack.settle()
    same_events(await_events(client, 1, user_id=name), [event])
