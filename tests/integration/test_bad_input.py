"""Bad input of each kind: the status promised, and nothing produced."""

import time

import pytest

from harness import values
from harness.answers import SHORT, await_events, problem, same_events

GOOD = {"event_id": "good", "user_id": "bad-input", "event_type": "t",
        "timestamp": 1_700_000_000, "metadata": {}}


def event(**changes):
    """The good event with fields changed; a value of None takes one out."""

    made = {**GOOD, **changes}
    return values.dump({k: v for k, v in made.items() if v is not None})


def with_text(field, text):
    """The good event with a field's JSON written out by hand."""

    return values.dump({**GOOD, field: "@"}).replace(b'"@"', text)


def with_metadata(text):
    return with_text("metadata", text)


NEST_33 = b"[" * 31 + b"1" + b"]" * 31
TOO_FAR = time.time() + 86_400 + 7200  # whenever it comes to be sent

# name: (body, the field at fault or None)
BODIES = {
    "empty": (b"", None),
    "white space": (b" \n\t ", None),
    "empty array": (b"[]", None),
    "spaced empty array": (b" [ ] ", None),
    "null": (b"null", None),
    "number": (b"42", None),
    "string": (b'"event"', None),
    "cut": (event()[:-1], None),
    "garbage behind": (event() + b"x", None),
    "two objects": (event() + b" " + event(), None),
    "array not closed": (b"[" + event(), None),
    "array with a comma too many": (b"[" + event() + b",]", None),
    "array without a comma": (b"[" + event() + event() + b"]", None),
    "array with a broken element": (b"[" + event() + b",{x}]", None),
    "array closed twice": (b"[" + event() + b"]]", None),
    "array in an array": (b"[[" + event() + b"]]", None),
    "number in an array": (b"[" + event() + b",1]", None),
    "single quotes": (event().replace(b'"', b"'"), None),
    "comment": (b"/* */" + event(), None),
    "NUL byte": (event() + b"\0", None),

    "empty object": (b"{}", None),
    **{f"no {f}": (event(**{f: None}), f) for f in (
        "event_id", "user_id", "event_type", "timestamp")},
    **{f"{f} {n}": (with_text(f, text), f)
       for f, most in (("event_id", 128), ("user_id", 256),
                       ("event_type", 128))
       for n, text in (("null", b"null"), ("number", b"1"),
                       ("object", b"{}"), ("empty", b'""'),
                       ("too long", b'"%s"' % (b"x" * (most + 1))),
                       ("too long in bytes",
                        '"{}"'.format("é" * (most // 2 + 1)).encode()),
                       ("with NUL", b'"a\\u0000b"'),
                       ("with a line feed", b'"a\\nb"'),
                       ("with DEL", b'"a\\u007fb"'))},
    **{f"timestamp {n}": (with_text("timestamp", text), "timestamp")
       for n, text in (("string", b'"1700000000"'), ("null", b"null"),
                       ("true", b"true"), ("object", b"{}"),
                       ("negative", b"-1"), ("just negative", b"-0.001"),
                       ("huge", b"1e300"), ("2^63", b"9223372036854775808"),
                       ("milliseconds", b"1700000000000"),
                       ("microseconds", b"1700000000000000"),
                       ("too far ahead", b"%d" % TOO_FAR))},
    **{f"metadata {n}": (with_metadata(text), "metadata")
       for n, text in (("null", b"null"), ("array", b"[]"),
                       ("string", b'"x"'), ("number", b"1"))},
    "nesting of 33 arrays": (with_metadata(b'{"a":' + b"[" + NEST_33 + b"]}"),
                             "metadata"),
    "nesting of 10,000": (with_metadata(
        b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), "metadata"),
    "integer above 64 bits": (with_metadata(b'{"a":9223372036854775808}'),
                              "metadata"),
    "integer below 64 bits": (with_metadata(b'{"a":[-9223372036854775809]}'),
                              "metadata"),
    "integer of 2^64": (with_metadata(b'{"a":18446744073709551616}'),
                        "metadata"),
    "integer of 40 digits": (with_metadata(b'{"a":' + b"9" * 40 + b"}"),
                             "metadata"),
    "double too large": (with_metadata(b'{"a":1e309}'), None),
    "NUL in a key": (with_metadata(b'{"a\\u0000":1}'), "metadata"),
    "repeated key": (with_metadata(b'{"a":1,"a":1}'), "metadata"),
    "repeated key, escaped": (with_metadata(b'{"a":1,"\\u0061":1}'),
                              "metadata"),
    "repeated key, deep": (with_metadata(b'{"a":[{"b":{"c":1,"c":2}}]}'),
                           "metadata"),
    "repeated empty key": (with_metadata(b'{"":1,"":2}'), "metadata"),
    "repeated key among many": (with_metadata(
        b"{%s}" % b",".join(b'"k%d":1' % (i % 4000) for i in range(4001))),
        "metadata"),
    "repeated field": (event()[:-1] + b',"event_id":"other"}', "event_id"),
    "repeated field, escaped": (
        event()[:-1] + b',"event\\u005fid":"good"}', "event_id"),
    "unknown field": (event(extra=1), None),
    "unknown empty field": (event(**{"": 1}), None),

    "invalid UTF-8": (with_metadata(b'{"a":"\xff"}'), None),
    "overlong UTF-8": (with_metadata(b'{"a":"\xc0\x80"}'), None),
    "surrogate in UTF-8": (with_metadata(b'{"a":"\xed\xa0\x80"}'), None),
    "beyond Unicode": (with_metadata(b'{"a":"\xf4\x90\x80\x80"}'), None),
    "cut UTF-8": (with_metadata(b'{"a":"\xe2\x82"}'), None),
    "lone surrogate": (with_metadata(b'{"a":"\\ud800"}'), None),
    "lone low surrogate": (with_metadata(b'{"a":"\\udc00x"}'), None),
    "invalid UTF-8 in a key": (with_metadata(b'{"\xff":1}'), None),
    "invalid UTF-8 in an id": (with_text("event_id", b'"\xff"'), None),
    "line feed in a string": (with_metadata(b'{"a":"\n"}'), None),
    "bad escape": (with_metadata(b'{"a":"\\x41"}'), None),
    "leading zero": (with_metadata(b'{"a":01}'), None),
    "plus sign": (with_metadata(b'{"a":+1}'), None),
    "bare point": (with_metadata(b'{"a":1.}'), None),
    "no digit": (with_metadata(b'{"a":-}'), None),
    "NaN": (with_metadata(b'{"a":NaN}'), None),
    "Infinity": (with_metadata(b'{"a":-Infinity}'), None),
    "unquoted key": (with_metadata(b"{a:1}"), None),
    "comma too many": (with_metadata(b'{"a":1,}'), None),
    "too large": (event(metadata={"a": "x" * 65_536}), None),
}


@pytest.fixture(scope="module")
def ends(pipeline):
    """Where the topic's partitions end."""

    pipeline.settle()
    return pipeline.ends()


@pytest.fixture
def nothing_produced(stack, ends):
    """Fails the test if it wrote to the topic."""

    yield
    before, now = dict(ends), stack.ends()
    ends.update(now)  # so that it fails no other test
    assert now == before


@pytest.mark.parametrize("body, field", [
    pytest.param(*case, id=name) for name, case in BODIES.items()])
def test_one_event(sender, nothing_produced, body, field):
    response = sender.post([body], "object")
    details = problem(response, 400)
    assert len(response.content) < SHORT
    if field is not None:
        (error,) = details["errors"]
        assert error["index"] == 0
        assert error["field"] == field, error
        assert len(error["message"]) > 10
        assert error["event_id"] in ("good", "", None) or (
            field == "event_id"), error


LINES = {
    "no line": b"",
    "only empty lines": b"\n\r\n \n\n",
    "a line that is no JSON": event() + b"\n{\n",
    "two objects in a line": event() + event() + b"\n",
    "an array": b"[" + event() + b"]\n",
    "an object over two lines": event().replace(b",", b",\n", 1),
    "a bad one in the middle": event() + b"\n" + event(user_id="") + b"\n"
                               + event(),
}


@pytest.mark.parametrize("body", LINES.values(), ids=LINES)
def test_lines(sender, nothing_produced, body):
    response = sender.post([], "ndjson", body=body)
    problem(response, 400)


def test_a_batch_names_its_bad_events(sender, nothing_produced):
    good = [event(event_id=f"g{i}") for i in range(5)]
    events = [good[0], event(event_id="b1", timestamp=-5), good[1],
              b'{"event_id":"b3"}', good[2], event(event_id="b5", x=1),
              b'7', good[3]]
    for form in ("array", "ndjson"):
        details = problem(sender.post(events, form), 400)
        assert details["errors_total"] == 4
        found = [(e["index"], e["event_id"]) for e in details["errors"]]
        assert found[:3] == [(1, "b1"), (3, "b3"), (5, "b5")]
        assert details["errors"][3]["index"] == 6
        assert details["errors"][0]["field"] == "timestamp"


def test_at_most_a_hundred_errors_are_spelt_out(sender, nothing_produced):
    events = [event(event_id=f"b{i}", user_id="") for i in range(250)]
    details = problem(sender.post(events, "array"), 400)
    assert details["errors_total"] == 250
    assert [e["index"] for e in details["errors"]] == list(range(100))


def test_milliseconds_are_named(sender, nothing_produced):
    details = problem(sender.post([with_text("timestamp", b"1700000000000")],
                                  "object"), 400)
    assert "millisecond" in details["errors"][0]["message"]


def test_errors_repeat_only_a_short_escaped_piece(sender, nothing_produced):
    bad = values.dump({**GOOD, "<script>" + "\x01" + "x" * 5000: 1})
    response = sender.post([bad], "object")
    problem(response, 400)
    assert len(response.content) < 1500
    assert b"x" * 300 not in response.content
    assert b"\x01" not in response.content


def test_a_bad_event_leaves_the_connection_usable(sender, nothing_produced):
    def port(response):
        stream = response.extensions["network_stream"]
        return stream.get_extra_info("client_addr")[1]

    first = sender.post([b"{"], "object")
    ports = {port(first)}
    for _ in range(3):
        response = sender.post([event(timestamp=-1)], "object")
        problem(response, 400)
        ports.add(port(response))
    assert len(ports) == 1


STATUSES = [
    ("too many events", 413, {"form": "array", "body":
     b"[" + b",".join([event()] * 10_001) + b"]"}),
    ("too many lines", 413, {"form": "ndjson", "body":
     b"\n".join([event()] * 10_001)}),
    ("too many bytes", 413, {"form": "ndjson", "body":
     b" " * (16 * 1024 * 1024 + 1)}),
    ("XML", 415, {"headers": {"content-type": "text/xml"}}),
    ("a form", 415, {"headers": {"content-type":
                                 "application/x-www-form-urlencoded"}}),
    ("another charset", 415, {"headers": {
        "content-type": "application/json; charset=utf-16"}}),
    ("no media type", 415, {"headers": {"content-type": ""}}),
    ("unknown coding", 415, {"headers": {"content-encoding": "br"}}),
]


@pytest.mark.parametrize("status, request_", [
    pytest.param(s, r, id=n) for n, s, r in STATUSES])
def test_other_statuses(sender, nothing_produced, status, request_):
    request_.setdefault("form", "object")
    request_.setdefault("body", event())
    response = sender.post([], **request_)
    problem(response, status)
    if "content-encoding" in request_.get("headers", {}):
        assert response.headers["accept-encoding"]


# The parameters of what is read.

PARAMETERS = {
    "/events": [
        "limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=1.5",
        "limit=1&limit=2", "limit=99999999999999999999",
        "order=up", "order=", "order=asc&order=desc",
        "from=x", "from=", "to=yesterday", "from=2&to=1", "from=1&from=2",
        "from=2024-13-01T00:00:00Z", "from=2024-01-01", "to=NaN", "to=1e9999",
        "event_id=1", "user_id=", "user_id=a&user_id=b", "event_type=",
        "user_id=" + "x" * 257, "event_type=" + "x" * 129,
        "cursor=", "cursor=x", "cursor=" + "A" * 300, "unknown=1", "User_id=1",
        "user_id=%ff", "user_id=a%00b",
    ],
    "/stats": [
        "time_interval=", "time_interval=7m", "time_interval=1",
        "time_interval=60s", "time_interval=2d", "time_interval=24h",
        "time_interval=0m", "time_interval=1M", "time_interval=-1m",
        "group_by=user_id", "group_by=", "measure=unknown", "measure=",
        "from=x", "from=2&to=1", "from=1&from=2", "unknown=1", "limit=10",
        "event_type=", "time_interval=1m&time_interval=1h",
        # Too many points.
        "time_interval=1h&from=0&to=39607200",
        # Beyond what a width keeps.
        "time_interval=1s&from={now-7300}&to={now-7200}",
        "time_interval=30s&from={now-7300}&to={now-7200}",
        "time_interval=1m&from={now-3110400}&to={now-3110000}",
        "time_interval=30m&from={now-3110400}&to={now-3110000}",
    ],
}


@pytest.mark.parametrize("path, query", [
    (path, query) for path, queries in PARAMETERS.items()
    for query in queries])
def test_parameters(client, path, query):
    now = int(time.time())
    for shift in (3110400, 3110000, 7300, 7200):
        query = query.replace(f"{{now-{shift}}}", str(now - shift))
    response = client.get(f"{path}?{query}")
    problem(response, 400)
    assert len(response.content) < SHORT


def test_a_bad_width_names_the_good_ones(client):
    detail = problem(client.get("/stats?time_interval=7m"), 400)["detail"]
    for width in ("30 s or m", "12 h", "1d"):
        assert width in detail

    now = int(time.time())
    detail = problem(client.get(
        f"/stats?time_interval=5m&from={now - 3110400}&to={now}"), 400)
    assert "h" in detail["detail"] and "1d" in detail["detail"]


# Lenient handling: last, because it does produce.

def test_lenient_takes_the_valid_ones(sender, client, name, stack):
    events = [event(user_id=name, event_id="a"), event(user_id=""),
              event(user_id=name, event_id="b"),
              event(user_id=name, event_id="c", timestamp=-1)]
    for form in ("array", "ndjson"):
        response = sender.post(events, form, {"prefer": "handling=lenient"})
        assert response.status_code == 202, response.text
        assert "handling=lenient" in response.headers["preference-applied"]
        answer = response.json()
        assert (answer["accepted"], answer["rejected"]) == (2, 2)
        assert [e["index"] for e in answer["errors"]] == [1, 3]
        assert answer["errors"][1]["event_id"] == "c"
    same_events(await_events(client, 2, user_id=name, order="asc"),
                [events[0], events[2]])

    stack.settle()
    before = stack.ends()
    lenient = {"prefer": "handling=lenient"}
    for form, body in (("array", b"[" + events[1] + b"]"),
                       ("ndjson", events[3]), ("array", b"[]"),
                       ("array", b"[" + events[0] + b",{]"),
                       ("object", b"")):
        problem(sender.post([], form, lenient, body=body), 400)
    assert stack.ends() == before


def test_lenient_takes_the_good_lines(sender, client, name):
    good = [event(user_id=name, event_id=str(i)) for i in range(2)]
    response = sender.post([good[0], b"{", good[1]], "ndjson",
                           {"prefer": "handling=lenient"})
    assert response.status_code == 202, response.text
    assert response.json()["accepted"] == 2
    same_events(await_events(client, 2, user_id=name, order="asc"), good)
