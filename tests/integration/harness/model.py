"""What GET /events is to answer, by a few lines of Python."""

from . import values


def model(events, order="desc", user_id=None, event_type=None, event_id=None,
          start=None, end=None):
    """Those of `events` that are asked for, in order; times are ms."""

    found = [e for e in events
             if (user_id is None or e["user_id"] == user_id)
             and (not event_type or e["event_type"] in event_type)
             and (event_id is None or e["event_id"] == event_id)
             and (start is None or e["timestamp"] >= start)
             and (end is None or e["timestamp"] < end)]
    # All of one user are in one partition, in the order of their offsets.
    rank = {id(e): i for i, e in enumerate(events)}
    return sorted(found, key=lambda e: (values.order(e), rank[id(e)]),
                  reverse=order == "desc")


def seconds(ms):
    return f"{ms // 1000}.{ms % 1000:03}"
