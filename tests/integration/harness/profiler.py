"""What mongod was asked, by its profiler."""

import contextlib


@contextlib.contextmanager
def profiling(database):
    """`database.system.profile` has what was asked within, and no more."""

    database.command("profile", 0)
    database.system.profile.drop()
    database.command("profile", 2)
    try:
        yield database.system.profile
    finally:
        database.command("profile", 0)


def answered(database, client, **params):
    """The body of GET /events, and what profiled() gives."""

    with profiling(database) as profile:
        answer = client.get("/events", params=params)
        assert answer.status_code == 200
    # Reading whole blocks has no order.
    return answer.json(), list(profile.find(
        {"op": "query", "command.find": "blocks",
         "command.sort": {"$exists": True}}))


def profiled(database, client, **params):
    """What the finds on blocks were that a request leads to."""

    return answered(database, client, **params)[1]
