"""Repeated event_ids: stored once, counted once, and answered 202."""

import concurrent.futures

import pytest

from harness import values
from harness.answers import await_events, read_events, same_events
from harness.sender import Sender


def made(user, event_id, **more):
    return {"event_id": event_id, "user_id": user, "event_type": user + "t",
            "timestamp": 1_700_000_000, "metadata": {}, **more}


def counted(client, event_type):
    answer = client.get("/stats", params={
        "event_type": event_type, "time_interval": "1d",
        "from": 1_699_920_000, "to": 1_700_092_800})
    assert answer.status_code == 200, answer.text
    return answer.json()["total"]["count"]


def settled(stack, client, user, want):
    stack.settle()
    same_events(read_events(client, user_id=user, order="asc"), want)
    assert counted(client, user + "t") == len(want)


@pytest.mark.parametrize("form", ["array", "ndjson"])
def test_in_one_batch(sender, client, stack, name, form):
    first = made(name, "1")
    response = sender.post([first, first, made(name, "2"), first], form)
    assert response.json() == {"accepted": 4}
    settled(stack, client, name, [first, made(name, "2")])


def test_across_batches(sender, client, stack, name):
    batch = [made(name, str(i)) for i in range(10)]
    for events in (batch, batch[3:], batch, batch[:1]):
        assert sender.post(events).json() == {"accepted": len(events)}
    settled(stack, client, name, batch)


def test_after_it_was_stored(sender, client, stack, name):
    event = made(name, "1")
    for _ in range(3):
        assert sender.post([event]).status_code == 202
        settled(stack, client, name, [event])


def test_after_a_restart_of_the_writer(sender, client, stack, name):
    """The window is rebuilt from the log, not kept in a process."""

    event = made(name, "1")
    assert sender.post([event]).status_code == 202
    settled(stack, client, name, [event])
    for end in (stack.stop, stack.kill):
        end("writer")
        stack.start("writer")
        assert sender.post([event]).status_code == 202
        settled(stack, client, name, [event])


def test_the_first_wins(sender, client, stack, name):
    """Identity is (user_id, event_id); what else it says plays no part."""

    first = made(name, "1", metadata={"v": 1})
    assert sender.post([first]).status_code == 202
    other = made(name, "1", metadata={"v": 2}, timestamp=1_700_000_500)
    assert sender.post([other]).status_code == 202
    assert sender.post([made(name, "1", event_type=name + "other")]
                       ).status_code == 202
    settled(stack, client, name, [first])
    assert counted(client, name + "other") == 0


def test_the_same_id_of_another_user_is_another_event(sender, client, stack,
                                                      name):
    events = [made(f"{name}{user}", "same", event_type=name + "t")
              for user in range(20)]
    assert sender.post(events + events).json() == {"accepted": 40}
    stack.settle()
    for user, event in enumerate(events):
        same_events(read_events(client, user_id=f"{name}{user}"), [event])
    same_events(read_events(client, event_type=name + "t", order="asc"),
                sorted(events, key=lambda e: e["user_id"]))
    assert counted(client, name + "t") == 20


def test_no_pair_of_ids_is_confused(sender, client, stack, name):
    """user "ab" + id "c" is not user "a" + id "bc"."""

    events = [made(name + user, event_id, event_type=name + "t")
              for user, event_id in (("ab", "c"), ("a", "bc"), ("", "abc"),
                                     ("abc", "x"), ("ab", "cx"))]
    assert sender.post(events).status_code == 202
    stack.settle()
    assert counted(client, name + "t") == 5
    assert len(read_events(client, event_type=name + "t")) == 5


def test_from_many_connections_at_once(stack, log, client, name):
    events = [values.dump(made(f"{name}{i % 5}", str(i),
                               event_type=name + "t")) for i in range(200)]

    def run(_):
        with Sender(stack.url, log) as sender:
            for i in range(0, 200, 20):
                sender.deliver(events[i:i + 20])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))

    stack.settle()
    found = await_events(client, 200, event_type=name + "t")
    assert len(found) == 200
    assert counted(client, name + "t") == 200
