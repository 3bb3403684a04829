"""Reading answers: problem details, and events once they are readable."""

from . import snapshot, values
from .waiting import wait_until

SHORT = 4096  # bytes that the problem details of one fault stay below


def problem(response, status):
    """Asserts that it is such a problem (RFC 9457); returns it."""

    assert response.status_code == status, (
        f"{response.status_code} {response.text[:500]}")
    kind = response.headers["content-type"]
    assert kind.split(";")[0] == "application/problem+json", kind
    details = values.parse(response.content)
    assert {"type", "title", "status", "detail"} <= details.keys(), details
    assert details["status"] == status
    assert isinstance(details["title"], str) and details["title"]
    assert isinstance(details["detail"], str) and len(details["detail"]) > 8
    return details


def read_events(client, **params):
    """All events that match, in the order asked for, normal."""

    return [values.normal(e) for e in snapshot.read_pages(client, **params)]


def await_events(client, n, seconds=20, **params):
    """As read_events, once there are `n` or more of them."""

    seen = []

    def enough():
        seen[:] = read_events(client, **params)
        return len(seen) >= n

    wait_until(enough, seconds, lambda: f"{n} events of {params}, there are "
               f"{len(seen)}", interval=0.1)
    return list(seen)


def same_events(found, sent):
    """Asserts that both hold the same events in the same order."""

    sent = [values.normal(values.parse(e)) if isinstance(e, bytes)
            else values.normal(e) for e in sent]
    assert [e["event_id"] for e in found] == [e["event_id"] for e in sent]
    for a, b in zip(found, sent):
        assert values.same(a, b), f"answered {a!r}\nsent     {b!r}"[:4000]
