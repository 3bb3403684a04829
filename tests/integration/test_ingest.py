"""
POST: what it answers in every case, and what of it is in Kafka, with nginx
and a broker alone.
"""

import base64
import concurrent.futures
import contextlib
import json
import threading
import time

import httpx
import pytest
from confluent_kafka import Producer

from harness.answers import problem
from harness.ingest import client, ingest, since  # noqa: F401
from harness.posting import (JSON, LENIENT, NDJSON, answer, connection, event,
                             lines, many, request, values)


# What is taken: its bytes, its key, its partition.


AWKWARD = [
    b'{"event_id":"a1","user_id":"u","event_type":"t","timestamp":1}',
    b' {"metadata" : {"":1,"a.b":[1.0, -0, 1e3],"$set":null},\t'
    b'"timestamp":1700000000.125,"event_type":"\xc3\xa9\xf0\x9f\x98\x80",'
    b'"user_id":"caf\\u00e9 \\uD83D\\uDE00","event_id":"\\u0061"}',
    b'{"event_id":"a3","user_id":"' + b"k" * 256 + b'","event_type":"t",'
    b'"timestamp":1e9,"metadata":{"nul":"\\u0000","big":9223372036854775807}}',
]

KEYS = [b"u", "café 😀".encode(), b"k" * 256]


@pytest.mark.parametrize("headers, body", [
    (JSON, b"[" + b" ,\n".join(AWKWARD) + b"]"),
    (NDJSON, b"\n\n" + b"\r\n".join(AWKWARD)),
    (NDJSON, b"\n".join(AWKWARD) + b"\n"),
    ({"Content-Type": "text/plain;charset=UTF-8"},
     b"[" + b",".join(AWKWARD) + b"]"),
])
def test_bytes_and_keys_reach_kafka(ingest, client, since, headers, body):
    response = client.post("/events", headers=headers, content=body)
    assert response.status_code == 202, response.text
    assert response.json() == {"accepted": 3}
    records = ingest.records(since)
    assert values(records) == sorted(e.strip() for e in AWKWARD)
    assert ({r.value(): r.key() for r in records}
            == {e.strip(): k for e, k in zip(AWKWARD, KEYS)})


@pytest.mark.parametrize("raw", AWKWARD)
def test_one_event(ingest, client, since, raw):
    response = client.post("/events", headers=JSON, content=raw)
    assert response.status_code == 202, response.text
    assert response.json() == {"accepted": 1}
    assert response.headers["content-type"] == "application/json"
    assert values(ingest.records(since)) == [raw.strip()]


def test_partitions_are_those_of_javas_partitioner(ingest, client, since):
    """Compared with another client, told to use murmur2_random."""

    users = [f"user-{i}" for i in range(300)] + ["é", "😀", "x" * 256]
    body = lines(event(user_id=u) for u in users)
    assert client.post("/events", headers=NDJSON,
                       content=body).status_code == 202
    ours = {r.key(): r.partition() for r in ingest.records(since)}

    before = ingest.ends("other")
    producer = Producer({"bootstrap.servers": ingest.brokers,
                         "partitioner": "murmur2_random"})
    for user in users:
        producer.produce("other", b"x", key=user.encode())
    assert producer.flush(30) == 0
    theirs = {r.key(): r.partition() for r in ingest.records(before, "other")}

    assert len(ours) == len(users)
    assert ours == theirs
    assert len(set(ours.values())) > 1


def test_a_location_with_its_own_topic(ingest, client, since):
    before = ingest.ends("other")
    assert client.post("/other", headers=JSON,
                       json=event()).status_code == 202
    assert len(ingest.records(before, "other")) == 1
    assert ingest.records(since) == []


# Receipts.


def varint(data):
    value = shift = 0
    while True:
        byte = data.pop(0)
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


def receipt(response):
    """Its topic's hash, and the offset of each of its partitions."""

    token = response.headers["millrace-receipt"]
    data = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert data.pop(0) == 1
    topic, data = bytes(data[:4]), data[4:-4]
    places, partition = {}, -1
    while data:
        partition += varint(data) + 1
        places[partition] = varint(data)
    return topic, places


def written(records):
    places = {}
    for record in records:
        places[record.partition()] = max(record.offset(),
                                         places.get(record.partition(), 0))
    return places


@pytest.mark.parametrize("count", [1, 2, 5, 63, 64, 65, 128, 500])
def test_a_receipt_says_where_the_events_are(ingest, client, since, count):
    response = client.post("/events", headers=NDJSON,
                           content=lines(many(count)))
    topic, places = receipt(response)
    records = ingest.records(since)
    assert len(records) == count
    assert places == written(records)
    again, _ = receipt(client.post("/events", headers=JSON, json=event()))
    assert again == topic


def test_receipts_of_a_topic_and_of_a_lenient_request(ingest, client, since):
    before = ingest.ends("other")
    body = lines([event(), event(user_id=None), event(user_id="u2")])
    other, places = receipt(client.post("/other", headers=NDJSON | LENIENT,
                                        content=body))
    assert places == written(ingest.records(before, "other"))
    topic, _ = receipt(client.post("/events", headers=JSON, json=event()))
    assert topic != other
    for path, content, code in [("/events", body, 400),
                                ("/missing", lines([event()]), 503)]:
        response = client.post(path, headers=NDJSON, content=content)
        assert response.status_code == code
        assert "millrace-receipt" not in response.headers


# Ways a body comes.


@pytest.mark.parametrize("path", ["/events", "/pieces", "/file"])
@pytest.mark.parametrize("count, size", [(1, 0), (40, 200), (2000, 1000)])
def test_in_memory_in_pieces_in_a_file(ingest, client, since, path, count,
                                       size):
    events = many(count, size)
    response = client.post(path, headers=NDJSON, content=lines(events))
    assert response.status_code == 202, response.text
    assert response.json() == {"accepted": count}
    assert values(ingest.records(since)) == sorted(
        json.dumps(e).encode() for e in events)


@pytest.mark.quiet
def test_ten_megabytes_while_others_are_served(ingest, client, since):
    events = many(10_000, 900)
    body = lines(events)
    assert len(body) > 10_000_000
    slowest = [0.0]
    done = threading.Event()

    def others():
        with httpx.Client(base_url=ingest.url, timeout=30) as own:
            while not done.is_set():
                start = time.monotonic()
                assert own.get("/healthz").status_code == 200
                slowest[0] = max(slowest[0], time.monotonic() - start)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        other = pool.submit(others)
        response = client.post("/events", headers=NDJSON, content=body)
        done.set()
        other.result()

    assert response.status_code == 202, response.text
    assert response.json() == {"accepted": 10_000}
    assert len(ingest.records(since)) == 10_000
    assert slowest[0] < 1


@pytest.mark.parametrize("start, end", [(b'[{"a":"', b'"}]'), (b'["', b'"]'),
                                        (b'[1', b']')])
def test_one_event_of_megabytes(ingest, client, since, start, end):
    """Too large by far, and its end is found all the same."""

    good = json.dumps(event()).encode()
    body = start + b"1" * 15_000_000 + end[:-1] + b"," + good + end[-1:]
    details = problem(client.post("/events", headers=JSON, content=body), 400)
    assert [e["index"] for e in details["errors"]] == [0]
    response = client.post("/events", headers=JSON | LENIENT, content=body)
    assert response.status_code == 202, response.text
    assert values(ingest.records(since)) == [good]


def test_chunked(ingest, client, since):
    events = many(100, 1000)
    body = lines(events)
    pieces = (body[i:i + 997] for i in range(0, len(body), 997))
    response = client.post("/events", headers=NDJSON, content=pieces)
    assert response.status_code == 202, response.text
    assert len(ingest.records(since)) == 100


def test_http2(ingest, since):
    events = many(300, 500)
    with httpx.Client(base_url=ingest.http2_url, http1=False, http2=True,
                      timeout=30) as client:
        for part in (events[:1], events[1:]):
            response = client.post("/events", headers=NDJSON,
                                   content=lines(part))
            assert response.http_version == "HTTP/2"
            assert response.status_code == 202, response.text
        problem(client.post("/events", headers=JSON, content=b"["), 400)
        problem(client.post("/events", headers={"Content-Type": "a/b"},
                            content=lines(events)), 415)
        assert client.post("/events", headers=JSON,
                           json=event()).status_code == 202
    assert len(ingest.records(since)) == 301


def test_pipelined_requests_are_answered_in_order(ingest, since):
    events = [json.dumps(event()).encode() for _ in range(6)]
    wanted = [202, 202, 400, 202, 415, 202, 405, 202]
    big = lines(many(50, 1000))
    sent = [request("/events", events[0]), request("/events", events[1]),
            request("/events", b"{}"), request("/events", big, NDJSON),
            request("/events", b"x", {"Content-Type": "a/b"}),
            request("/events", events[2]),
            b"DELETE /events HTTP/1.1\r\nHost: x\r\n\r\n",
            request("/events", events[3])]
    with connection(ingest) as (sock, reader):
        sock.sendall(b"".join(sent))
        assert [answer(reader)[0] for _ in sent] == wanted
    assert len(ingest.records(since)) == 54


def test_expect_100_continue(ingest, since):
    body = json.dumps(event()).encode()
    expect = b"Expect: 100-continue\r\n"
    with connection(ingest) as (sock, reader):
        sent = request("/events", body, extra=expect)
        sock.sendall(sent[:-len(body)])
        assert reader.readline().split()[1] == b"100"
        reader.readline()
        sock.sendall(body)
        assert answer(reader)[0] == 202

    # refused before the body: the answer takes the place of the 100
    with connection(ingest) as (sock, reader):
        sent = request("/events", body, {"Content-Type": "a/b"}, extra=expect)
        sock.sendall(sent[:-len(body)])
        status, headers, _ = answer(reader)
        assert status == 415
        assert headers["connection"] == "close"

    assert len(ingest.records(since)) == 1


def test_a_slow_body_gets_408(ingest, client):
    body = json.dumps(event()).encode()
    start = time.monotonic()
    with connection(ingest) as (sock, reader):
        sock.sendall(request("/slow", body)[:-len(body)])
        stop = threading.Event()

        def drip():
            with contextlib.suppress(OSError):
                for byte in body:
                    sock.sendall(bytes([byte]))
                    if stop.wait(0.1):
                        break

        thread = threading.Thread(target=drip)
        thread.start()
        status, headers, text = answer(reader)
        stop.set()
        thread.join()
    assert 0.9 < time.monotonic() - start < 5
    assert status == 408
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(text)["status"] == 408
    assert client.post("/slow", headers=JSON, json=event()).status_code == 202


def test_a_body_that_grows_too_large_and_goes_on_slowly(ingest, client):
    """One 413, and not a 408 when the body's time is over as well."""

    with connection(ingest) as (sock, reader):
        sock.sendall(b"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                     b"chunked\r\nContent-Type: application/json\r\n\r\n"
                     b"10\r\n" + b"x" * 16 + b"\r\n")
        time.sleep(0.2)
        sock.sendall(b"2000\r\n" + b"x" * 8192 + b"\r\n")
        assert answer(reader)[0] == 413
        with contextlib.suppress(OSError):
            for _ in range(15):
                sock.sendall(b"1\r\nx\r\n")
                time.sleep(0.1)
        with contextlib.suppress(ConnectionError):
            assert answer(reader) is None
    assert client.post("/slow", headers=JSON, json=event()).status_code == 202


# What is refused.


BAD_EVENTS = [
    ("event_id", event(event_id=None)),
    ("event_id", event(event_id="")),
    ("event_id", event(event_id="x" * 129)),
    ("user_id", event(user_id=7)),
    ("user_id", event(user_id="a\nb")),
    ("event_type", event(event_type=None)),
    ("timestamp", event(timestamp="1700000000")),
    ("timestamp", event(timestamp=-1)),
    ("timestamp", event(timestamp=1_700_000_000_000)),
    ("timestamp", event(timestamp=int(time.time()) + 30 * 3600)),
    ("metadata", event(metadata=[])),
    (None, {**event(), "more": 1}),
    (None, event(metadata={"pad": "x" * 70_000})),
]


@pytest.mark.parametrize("field, bad", BAD_EVENTS)
def test_an_invalid_event(ingest, client, since, field, bad):
    good = event()
    body = json.dumps([good, bad, good])
    details = problem(client.post("/events", headers=JSON, content=body), 400)
    assert details["errors_total"] == 1
    [error] = details["errors"]
    assert error["index"] == 1
    assert error["field"] == field
    assert len(error["message"]) > 8
    if field != "event_id" and len(body) < 70_000:
        assert error["event_id"] == bad["event_id"]

    # strict: nothing of it was produced; lenient: the valid ones are
    assert ingest.records(since) == []
    response = client.post("/events", headers=JSON | LENIENT, content=body)
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "handling=lenient"
    told = response.json()
    assert (told["accepted"], told["rejected"]) == (2, 1)
    assert [(e["index"], e["field"]) for e in told["errors"]] == [(1, field)]
    assert len(ingest.records(since)) == 2


def test_errors_are_counted_but_a_hundred_listed(ingest, client, since):
    body = lines([event(user_id=None) if i % 2 else event()
                  for i in range(500)])
    for headers in (NDJSON, NDJSON | {"Prefer": "handling=strict"}):
        details = problem(client.post("/events", headers=headers,
                                      content=body), 400)
        assert details["errors_total"] == 250
        assert [e["index"] for e in details["errors"]] == list(
            range(1, 200, 2))
    assert ingest.records(since) == []
    told = client.post("/events", headers=NDJSON | LENIENT,
                       content=body).json()
    assert (told["accepted"], told["rejected"]) == (250, 250)
    assert len(told["errors"]) == 100
    assert len(ingest.records(since)) == 250


def test_lenient_with_no_valid_event_is_400(ingest, client, since):
    response = client.post("/events", headers=NDJSON | LENIENT,
                           content=b"{}\n{}")
    assert problem(response, 400)["errors_total"] == 2
    assert ingest.records(since) == []


@pytest.mark.parametrize("headers, body", [
    (JSON, b""), (JSON, b"  \n"), (JSON, b"[]"), (JSON, b"[1"),
    (JSON, b"nonsense"), (JSON, b"7"), (NDJSON, b"\n\n\r\n"),
    (JSON, lambda e: b"[" + e), (JSON, lambda e: b"[" + e + b",]"),
    (JSON, lambda e: e + e), (JSON, lambda e: b"[" + e + b"]]"),
    (JSON, lambda e: b"\xef\xbb\xbf[" + e + b",{]"),
])
@pytest.mark.parametrize("prefer", [{}, LENIENT])
def test_a_body_that_is_no_batch(ingest, client, since, headers, body,
                                 prefer):
    if callable(body):
        body = body(json.dumps(event()).encode())
    problem(client.post("/events", headers=headers | prefer, content=body),
            400)
    assert ingest.records(since) == []


PREFERENCES = [
    (["handling=lenient"], True),
    (["Handling=LENIENT"], True),
    (['handling="lenient"'], True),
    (["respond-async, wait=10,handling = lenient ; a=b"], True),
    (['x="a, handling=strict", handling=lenient'], True),
    (["wait=5", "handling=lenient"], True),
    (["handling=lenient, handling=strict"], True),
    (["handling=strict, handling=lenient"], False),
    (['x="handling=lenient"'], False),
    (["x; handling=lenient"], False),
    (["handling"], False),
    (["handling="], False),
    (["lenient"], False),
    (["xhandling=lenient"], False),
    (["handling=lenients"], False),
    (['handling="lenient'], True),
    ([",,;=\"="], False),
]


@pytest.mark.parametrize("headers, lenient", PREFERENCES)
def test_prefer(client, headers, lenient):
    response = client.post(
        "/events", content=lines([event(), {}]),
        headers=list(NDJSON.items()) + [("Prefer", h) for h in headers])
    assert response.status_code == (202 if lenient else 400), response.text
    assert ("preference-applied" in response.headers) == lenient


@pytest.mark.parametrize("headers, code", [
    ([("Content-Type", "application/json; charset=utf-8")], 202),
    ([("Content-Type", "APPLICATION/JSON")], 202),
    ([("Content-Type", "application/json"),
      ("Content-Encoding", "identity")], 202),
    ([], 415),
    ([("Content-Type", "")], 415),
    ([("Content-Type", "application/xml")], 415),
    ([("Content-Type", "application/json; charset=latin1")], 415),
    ([("Content-Type", "multipart/form-data; boundary=x")], 415),
    ([("Content-Type", "application/x-www-form-urlencoded")], 415),
    ([("Content-Type", "application/json"),
      ("Content-Type", "application/x-ndjson")], 400),
    ([("Content-Type", "application/json"),
      ("Content-Encoding", "br")], 415),
])
def test_content_type_and_encoding(ingest, client, since, headers, code):
    body = json.dumps(event()).encode()
    response = client.post("/events", headers=headers, content=body)
    if code == 202:
        assert response.status_code == 202, response.text
    else:
        problem(response, code)
    encoded = dict(headers).get("Content-Encoding", "identity") != "identity"
    assert ("accept-encoding" in response.headers) == encoded
    assert len(ingest.records(since)) == (1 if code == 202 else 0)


def test_limits_of_a_location(ingest, client, since):
    plain = {"Content-Type": "text/plain"}
    assert client.post("/events", headers=plain,
                       json=event()).status_code == 202
    problem(client.post("/small", headers=plain, json=event()), 415)

    assert client.post("/small", headers=NDJSON,
                       content=lines(many(3))).status_code == 202
    for prefer in ({}, LENIENT):
        problem(client.post("/small", headers=NDJSON | prefer,
                            content=lines(many(4))), 413)

    big = event(metadata={"pad": "x" * 300})
    assert "300" in str(problem(client.post("/small", headers=JSON, json=big),
                                400))

    soon = event(timestamp=int(time.time()) + 1800)
    assert client.post("/small", headers=JSON, json=soon).status_code == 202
    late = event(timestamp=int(time.time()) + 5400)
    problem(client.post("/small", headers=JSON, json=late), 400)
    assert client.post("/events", headers=JSON, json=late).status_code == 202
    assert len(ingest.records(since)) == 1 + 3 + 1 + 1


def test_too_many_events(ingest, client, since):
    details = problem(client.post("/events", headers=NDJSON,
                                  content=lines(many(10_001))), 413)
    assert "10000" in details["detail"]
    assert ingest.records(since) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_a_body(ingest, client, since, chunked):
    body = lines(many(3, 2000))
    content = iter([body]) if chunked else body
    problem(client.post("/small", headers=NDJSON, content=content), 413)
    response = client.post("/paged", headers=NDJSON, content=body)
    assert (response.status_code, response.text) == (413, "own page")
    assert ingest.records(since) == []


@pytest.mark.parametrize("path", ["/passed-on", "/unbuffered"])
def test_a_part_of_a_body_is_not_taken_for_the_whole(ingest, since, path):
    """An error_page may send a request on whose body was not all read."""

    part = lines(many(3)) + b"\n"
    with connection(ingest) as (sock, reader):
        sock.sendall(b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Type: application/x-ndjson\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n"
                     b"%x\r\n%s\r\n" % (len(part), part))
        # nginx is to have read it before it learns how much there is
        time.sleep(0.5)
        sock.sendall(b"%x\r\n\n" % 8000)
        status, told, text = answer(reader)
    assert status == 500
    assert told["connection"] == "close"
    assert "error_page" in json.loads(text)["detail"]
    assert ingest.records(since) == []


def test_a_whole_body_may_come_from_elsewhere(ingest, client, since):
    answer = client.post("/buffered", headers=NDJSON, content=lines(many(3)))
    assert answer.json() == {"accepted": 3}
    assert len(ingest.records(since)) == 3


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_other_methods(client, method):
    response = client.request(method, "/events")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST, OPTIONS"
    if method != "HEAD":
        problem(response, 405)
    response = client.request(method, "/shared")
    assert response.status_code == 200


def test_options(client):
    response = client.request("OPTIONS", "/events")
    assert response.status_code == 204
    assert response.headers["allow"] == "POST, OPTIONS"


def test_the_connection_stays_usable_after_a_refusal(ingest):
    good = json.dumps(event()).encode()
    with connection(ingest) as (sock, reader):
        for path, body, headers, code in [
                ("/events", b"{}", JSON, 400),
                ("/events", b"[", JSON, 400),
                ("/events", good, {"Content-Type": "a/b"}, 415),
                ("/small", lines(many(4)), NDJSON, 413),
                ("/missing", good, JSON, 503),
                ("/events", good, JSON, 202)]:
            sock.sendall(request(path, body, headers))
            status, told, _ = answer(reader)
            assert (status, told["connection"]) == (code, "keep-alive")


def test_nginx_modules_come_first(ingest, client, since):
    problem(client.post("/auth", headers=JSON, json=event()), 401)
    problem(client.post("/denied", headers=JSON, json=event()), 403)
    codes = [client.post("/limited", headers=JSON, json=event()).status_code
             for _ in range(2)]
    assert codes == [202, 429]
    problem(client.post("/limited", headers=JSON, json=event()), 429)
    assert len(ingest.records(since)) == 1


def test_pages_of_the_configuration_come_first(client):
    answer = client.get("/elsewhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html"
    assert answer.text == "<p>own page"
    answer = client.post("/paged", headers=JSON, content=b"x" * 2000)
    assert (answer.status_code, answer.text) == (413, "own page")


def test_internal_errors_repeat_little_of_the_input(client):
    secret = "s" * 5000
    bad = [event(user_id={secret: secret}), {secret: 1}, secret]
    for one in bad:
        response = client.post("/events", headers=JSON, json=[one])
        problem(response, 400)
        assert len(response.content) < 1500
        assert "s" * 200 not in response.text
