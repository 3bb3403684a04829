"""What was sent by any body form comes back equal."""

import concurrent.futures
import re
import socket
import time

import httpx
import pytest

from harness import values
from harness.answers import await_events, same_events
from harness.sender import ACKED, Sender


def nest(depth):
    """Metadata of that depth (the object itself is 1), both kinds mixed."""

    value = "1"
    for level in range(depth, 1, -1):
        value = f"[{value}]" if level % 2 else f'{{"k":{value}}}'
    return f'{{"k":{value}}}'


METADATA = {
    "none": None,
    "empty": "{}",
    "empty key": '{"":1,"x":{"":{"":[]}}}',
    "dotted key": '{"a.b":1,"a":{"b":2},".":3,"a.":4,"..":5}',
    "operator": '{"$set":{"$inc":1},"$":2,"$where":"x","a$":3}',
    "reference": '{"$ref":"c","$id":7,"$db":"d","in":{"$ref":"c","$id":1}}',
    "reference in part": '{"$ref":"c"}',
    "extended JSON": '{"a":{"$oid":"000000000000000000000000"},'
                     '"b":{"$numberLong":"5"},"c":{"$date":1},'
                     '"d":{"$binary":{"base64":"","subType":"00"}}}',
    "our own names": '{"_id":1,"event_id":2,"user_id":"u","offset":3,'
                     '"events":[],"timestamp":4,"__proto__":5}',
    "array indexes as keys": '{"0":{"1":"a"},"01":2,"-1":3}',
    "long key": '{"%s":1}' % ("k" * 50_000),
    "key with control": '{"\\u0001":1,"\\n":2," ":3,"\\u007f":4}',
    "key of Unicode": '{"ключ":1,"\U0001f600":2,"\\uffff":3,"é":4,'
                      '"e\u0301":5,"\\ud83d\\ude01":6}',
    "64-bit integers": '{"v":[9223372036854775807,-9223372036854775808,'
                       '2147483647,2147483648,-2147483648,-2147483649,'
                       '0,-1,9007199254740993,4294967296]}',
    "doubles": '{"v":[0.1,1e300,5e-324,-0.0,0.0,1.0,-1.0,100.0,'
               '1.7976931348623157e308,2.2250738585072014e-308,'
               '0.30000000000000004,3.141592653589793,1e22,1e23,123456.789,'
               '9007199254740993.0,4.9406564584124654e-324]}',
    "numbers oddly written": '{"v":[1E2,1e+2,-0,-0e0,0e99,1.50,100e-2,'
                             '1e20,123456789012345678901e0,'
                             '0.1e1,18446744073709551616.0]}',
    "too small for a double": '{"v":[1e-400,-1e-400]}',
    "NUL in a value": '{"v":["\\u0000","a\\u0000b","\\u0000\\u0000"]}',
    "strings": '{"v":["","\U0001f600","\\ud83d\\ude00","\\uffff","\\ufffe",'
               '"\uffff","\\u0001\\b\\f\\n\\r\\t\\"\\\\\\/","\\u2028",'
               '"\u007f","\\ue000","\ufeff","\\u0041","日本語"]}',
    "long string": '{"v":"%s"}' % ("é" * 30_000),
    "empty values": '{"a":[],"b":{},"c":[[],[{}],{"d":[]}],"e":null,'
                    '"f":[null,true,false]}',
    "nesting of 32": nest(32),
    "many members": "{%s}" % ",".join(f'"k{i}":{i}' for i in range(4000)),
    "many elements": '{"v":[%s]}' % ",".join("0" for _ in range(20_000)),
    "order of members": '{"z":1,"a":2,"m":{"y":1,"b":2}}',
    "white space": '\t{ "a" :\r\n [ 1 , 2 ] , "b" : { } } ',
}


def made_event(number, user, event_type, metadata):
    text = (f'{{"event_id":"e-{number}","user_id":"{user}",'
            f'"event_type":"{event_type}",'
            f'"timestamp":{1_700_000_000 + number}.{number % 10}25')
    return (text + (f',"metadata":{metadata}' if metadata else "")
            + "}").encode()


def test_all_of_them_come_back_equal(sender, client, name, stack):
    """Each case by each body form; one user a form."""

    sent = {}

    for form in ("object", "array", "ndjson"):
        user = f"{name}{form}"
        events = [made_event(i, user, "roundtrip", metadata)
                  for i, metadata in enumerate(METADATA.values())]
        if form == "ndjson":
            # White space may hold line feeds, which end a line here.
            events = [e.replace(b"\r\n", b"  ") for e in events]
        size = 1 if form == "object" else 7
        for i in range(0, len(events), size):
            response = sender.post(events[i:i + size], form)
            assert response.status_code == 202, response.text
            assert response.json() == {"accepted": len(events[i:i + size])}
        sent[user] = events

    for user, events in sent.items():
        same_events(await_events(client, len(events), user_id=user,
                                 order="asc"), events)
        same_events(await_events(client, len(events), user_id=user),
                    events[::-1])

    # The members' order and the digits of numbers are kept as well.
    answer = client.get("/events", params={"user_id": user, "limit": 1000})
    for text in ('"z":1,"a":2,"m":{"y":1,"b":2}', "5e-324", "-0.0",
                 "9223372036854775807", "-9223372036854775808"):
        assert text in answer.text.replace(" ", "")


IDS = [
    ("x" * 128, "u" * 256, "t" * 128),
    ("é" * 64, "日" * 85 + "a", "\U0001f600" * 32),
    ("a b", "user|with%25 +&=?#/;:,", "type|1m|0"),
    ("$set", "a.b", "$type"),
    ("\"quoted\\", "'", "<b>"),
    ("0", "null", "true"),
    ("\uffff", "\ufeff", "\u0300"),
    ("-", ".", " "),
]


@pytest.mark.parametrize("event_id, user_id, event_type", IDS,
                         ids=range(len(IDS)))
def test_awkward_ids(sender, client, name, event_id, user_id, event_type):
    event = {"event_id": event_id, "user_id": user_id,
             "event_type": event_type, "timestamp": 1_600_000_000.5,
             "metadata": {"in": name}}
    assert sender.post([event], "object").status_code == 202

    for params in ({"user_id": user_id},
                   {"user_id": user_id, "event_id": event_id},
                   {"user_id": user_id, "event_type": event_type},
                   {"event_type": event_type, "order": "asc"}):
        same_events(await_events(client, 1, **params), [event])

    for params in ({"user_id": user_id + "x"},
                   {"user_id": user_id, "event_id": event_id + "x"},
                   {"event_type": event_type + "x"}):
        found = client.get("/events", params=params)
        if found.status_code != 400:  # longer than an id can be
            assert found.json()["events"] == []


WRAPPINGS = [
    ("array", b"\n [ %s\t,\r\n%s ] \n"),
    ("ndjson", b"\n\n%s\r\n\n   \n%s"),
    ("ndjson", b"%s\n%s\n"),
    ("ndjson", b"\t%s \n %s\r\n\r\n"),
]


@pytest.mark.parametrize("form, body", WRAPPINGS, ids=range(len(WRAPPINGS)))
def test_white_space_around_events(sender, client, name, form, body):
    events = [values.dump({"event_id": str(i), "user_id": name,
                           "event_type": "t", "timestamp": i})
              for i in (1, 2)]
    response = sender.post(events, form, body=body % tuple(events))
    assert response.status_code == 202, response.text
    same_events(await_events(client, 2, user_id=name, order="asc"), events)


MEDIA_TYPES = [
    ("object", "application/json; charset=utf-8"),
    ("object", 'Application/JSON;charset="UTF-8"'),
    ("object", "text/plain;charset=UTF-8"),
    ("array", "text/plain"),
    ("ndjson", "application/ndjson"),
    ("ndjson", "application/jsonl"),
]


@pytest.mark.parametrize("form, media_type", MEDIA_TYPES)
def test_media_types(sender, client, name, form, media_type):
    event = {"event_id": "1", "user_id": name, "event_type": "t",
             "timestamp": 5}
    response = sender.post([event], form, {"content-type": media_type})
    assert response.status_code == 202, response.text
    same_events(await_events(client, 1, user_id=name), [event])


def test_the_largest_event_and_the_largest_batch(sender, client, name):
    frame = len(values.dump({"event_id": "big", "user_id": name,
                             "event_type": "t", "timestamp": 1,
                             "metadata": {"v": ""}}))
    big = {"event_id": "big", "user_id": name, "event_type": "t",
           "timestamp": 1, "metadata": {"v": "x" * (64 * 1024 - frame)}}
    assert len(values.dump(big)) == 64 * 1024
    assert sender.post([big], "object").status_code == 202

    batch = [{"event_id": str(i), "user_id": f"{name}{i % 97}",
              "event_type": "batch", "timestamp": 1_650_000_000 + i}
             for i in range(10_000)]
    response = sender.post(batch, "array")
    assert response.status_code == 202, response.text
    assert response.json() == {"accepted": 10_000}

    same_events(await_events(client, 1, user_id=name), [big])
    for i in (0, 41, 96):
        want = [e for e in batch if e["user_id"] == f"{name}{i}"]
        same_events(await_events(client, len(want), order="asc",
                                 user_id=f"{name}{i}"), want)


def test_chunked_bodies(stack, log, client, name):
    """A body of unknown length, and one in many small pieces."""

    events = [values.dump({"event_id": str(i), "user_id": name,
                           "event_type": "t", "timestamp": i})
              for i in range(40)]
    pieces = b"\n".join(events)

    def slowly():
        for i in range(0, len(pieces), 97):
            yield pieces[i:i + 97]
            time.sleep(0.002)

    with Sender(stack.url, log) as sender:
        response = sender.post(events, "ndjson", body=slowly())
        assert response.status_code == 202, response.text

    same_events(await_events(client, 40, user_id=name, order="asc"), events)


def test_pipelined_requests(stack, log, client, name):
    """Three requests in one write on one connection, answered in order."""

    events = [values.dump({"event_id": str(i), "user_id": name,
                           "event_type": "t", "timestamp": i})
              for i in range(3)]
    bodies = [events[0], b"[", events[2]]
    request = b"".join(
        b"POST /events HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n"
        b"%s\r\n%s" % (len(b), b"Connection: close\r\n" * (b is bodies[2]), b)
        for b in bodies)

    address = "127.0.0.1", stack.ports["nginx"]
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall(request)
        answer = b""
        while more := sock.recv(65536):
            answer += more

    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answer)
    assert statuses == [b"202", b"400", b"202"], answer
    log.note([events[0], events[2]], ACKED)

    same_events(await_events(client, 2, user_id=name, order="asc"),
                [events[0], events[2]])


def test_many_connections_at_once(stack, log, client, name):
    """64 keep-alive connections, each with its own events."""

    def run(number):
        with Sender(stack.url, log,
                    limits=httpx.Limits(max_connections=1)) as sender:
            for i in range(10):
                sender.deliver([{"event_id": f"{i}", "timestamp": i,
                                 "user_id": f"{name}{number}",
                                 "event_type": "many"}], "object")

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        list(pool.map(run, range(64)))

    for number in (0, 31, 63):
        found = await_events(client, 10, user_id=f"{name}{number}",
                             order="asc")
        assert [e["event_id"] for e in found] == [str(i) for i in range(10)]
