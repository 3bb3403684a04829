"""What mongod was asked, by its profiler."""


def answered(database, client, **params):
    """The body of GET /events, and what profiled() gives."""

    database.command("profile", 0)
    database.system.profile.drop()
    database.command("profile", 2)
    try:
        answer = client.get("/events", params=params)
        assert answer.status_code == 200
    finally:
        database.command("profile", 0)
    # Reading whole blocks has no order.
    return answer.json(), list(database.system.profile.find(
        {"op": "query", "command.find": "blocks",
         "command.sort": {"$exists": True}}))


def profiled(database, client, **params):
    """What the finds on blocks were that a request leads to."""

    return answered(database, client, **params)[1]
