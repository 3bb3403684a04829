"""
conf/nginx-public.conf as it is: TLS, keys and their limits, CORS, beacons;
and nginx's own refusals as problem+json.
"""

import concurrent.futures
import json
import socket
import ssl

import httpx
import pytest

from harness.answers import problem
from harness.ingest import ingest, since  # noqa: F401
from harness.posting import JSON, NDJSON, answer, event, lines, many, values
from harness.publicly import public  # noqa: F401
from harness.waiting import wait_until

SMALL = {"X-API-Key": "key-small"}
LARGE = {"X-API-Key": "key-large"}
ORIGIN = {"Origin": "https://www.shop.example"}

def tls(public):
    return ssl.create_default_context(cafile=str(public.certificate))


@pytest.fixture
def secure(public):
    with httpx.Client(base_url=f"https://localhost:{public.tls_port}",
                      verify=tls(public), timeout=30) as client:
        wait_until(lambda: client.post("/events", json=event(), headers=LARGE)
                   .status_code == 202, 30, "the first event")
        yield client


def test_tls(public, secure, ingest, since):
    for two in (False, True):
        with httpx.Client(base_url=secure.base_url, http2=two,
                          verify=tls(public)) as client:
            body = many(20)
            response = client.post("/events", content=lines(body),
                                   headers=NDJSON | LARGE)
            assert response.status_code == 202, response.text
            assert response.http_version == ("HTTP/2" if two else "HTTP/1.1")
            assert response.headers["strict-transport-security"]
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(f"https://localhost:{public.tls_port}/healthz")
    # in the clear: sent on, and told so where TLS was expected
    response = httpx.post(public.url + "/events?a=b", json=event())
    assert response.status_code == 308
    assert response.headers["location"] == "https://127.0.0.1/events?a=b"
    problem(httpx.get(f"http://127.0.0.1:{public.tls_port}/"), 400)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1_1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", public.tls_port)) as sock:
        with pytest.raises(ssl.SSLError):
            old.wrap_socket(sock)
    assert len(ingest.records(since)) >= 40


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""},
                                     {"X-API-Key": "key-smal"},
                                     {"X-API-Key": "key-small,key-small"},
                                     {"X-API-Key": '"; default x'}])
def test_no_key_no_entry(secure, ingest, since, headers):
    stored = len(ingest.records(since))
    for method, path in (("POST", "/events"), ("GET", "/events"),
                         ("GET", "/stats")):
        details = problem(secure.request(method, path, headers=headers),
                          401)
        assert "credentials" in details["detail"]
    assert len(ingest.records(since)) == stored


def test_a_limit_for_each_key(secure, public):
    """20 at once and 10 a second for the small one; the other is not hit."""

    def post(headers):
        return secure.post("/events", json=event(), headers=headers)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(SMALL), range(200)))
        other = list(pool.map(lambda _: post(LARGE), range(50)))
    codes = [r.status_code for r in answers]
    assert set(codes) == {202, 429}
    assert 20 <= codes.count(202) < 150
    for response in answers:
        if response.status_code == 429:
            problem(response, 429)
            assert response.headers["retry-after"] == "1"
        else:
            assert "retry-after" not in response.headers
    assert {r.status_code for r in other} == {202}
    wait_until(lambda: post(SMALL).status_code == 202, 10, "its next turn")


def test_a_key_in_the_query_stays_out_of_the_log(secure, public):
    one = event()
    response = secure.post("/events?key=key-large", content=json.dumps(one),
                           headers={"Content-Type":
                                    "text/plain;charset=UTF-8"} | ORIGIN)
    assert response.status_code == 202

    def logged():
        with open(public.path("access.log")) as f:
            return f.read()

    wait_until(lambda: " large:shop " in logged(), 10, "the log")
    assert "key-large" not in logged()
    assert " POST /events 202 accepted 1 0 " in logged()


def test_cors(secure):
    response = secure.options("/events", headers=ORIGIN | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key"})
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN["Origin"]
    assert "POST" in response.headers["access-control-allow-methods"]
    for name in ("content-type", "x-api-key", "prefer", "content-encoding"):
        assert name in response.headers["access-control-allow-headers"].lower()
    assert response.headers["access-control-max-age"] == "86400"
    assert response.headers["vary"] == "Origin"
    for headers, code in ((ORIGIN | LARGE, 202), (ORIGIN, 401)):
        response = secure.post("/events", json=event(), headers=headers)
        assert response.status_code == code
        assert response.headers["access-control-allow-origin"] \
            == ORIGIN["Origin"]
        assert "Millrace-Receipt" \
            in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", [
    "https://evil.example", "http://shop.example", "null",
    "https://shop.example.evil.example", "https://xshop.example",
    "https://a.b.shop.example", "https://www.shop.example:444"])
def test_other_origins_read_nothing(secure, origin):
    for response in (secure.options("/events", headers={"Origin": origin}),
                     secure.post("/events", json=event(),
                                 headers=LARGE | {"Origin": origin})):
        assert "access-control-allow-origin" not in response.headers
        assert "Origin" in response.headers["vary"]


def test_another_service_decides(secure, ingest, since):
    stored = len(ingest.records(since))
    one = event()
    for token, code in (("bad", 401), ("good", 202)):
        response = secure.post("/partner/events", json=one, headers={
            "Authorization": "Bearer " + token})
        assert response.status_code == code
    assert problem(secure.post("/partner/events", json=one), 401)
    found = values(ingest.records(since))
    assert len(found) == stored + 1
    assert one["event_id"].encode() in b"".join(found)


def test_sizes(secure):
    """The two ways of being too large, and a body just below."""

    whole = 16 << 20
    pad = b"\n" * (whole - 2000)
    assert secure.post("/events", content=lines(many(3)) + pad,
                       headers=NDJSON | LARGE).status_code == 202
    details = problem(secure.post("/events", content=b"\n" * (whole + 1),
                                  headers=NDJSON | LARGE), 413)
    assert "client_max_body_size" in details["detail"]
    problem(secure.post("/events", content=lines(many(10_001)),
                        headers=NDJSON | LARGE), 413)


BROKEN = [
    (b"GET / HTTP/9.9\r\n\r\n", 505),
    (b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET  HTTP/1.1\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    (b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n", 400),
    (b"POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", 501),
    (b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET /no/such HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"PUT /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200),
]


@pytest.mark.parametrize("sent, code", BROKEN,
                         ids=[f"{i}-{c}" for i, (_, c) in enumerate(BROKEN)])
def test_broken_requests_get_a_problem(public, sent, code):
    with socket.create_connection(("localhost", public.tls_port),
                                  timeout=20) as plain:
        with tls(public).wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(sent)
            with sock.makefile("rb") as reader:
                status, headers, body = answer(reader)
    assert status == code
    if code >= 400:
        assert headers["content-type"] == "application/problem+json"
        details = json.loads(body)
        assert details["status"] == code
        assert details["title"] and details["detail"]


def test_what_cannot_be_read_now(secure):
    for path in ("/events", "/stats"):
        response = secure.get(path, headers=LARGE | ORIGIN)
        problem(response, 503)
        assert response.headers["retry-after"] == "5"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["access-control-allow-origin"] \
            == ORIGIN["Origin"]
    details = problem(secure.get("/events?" + "&".join(["a=1"] * 2500),
                                 headers=LARGE), 400)
    assert "1000 arguments" in details["detail"]


def test_what_the_daemon_is_asked(secure, public):
    """By the path as nginx understands it; without key and cookies."""

    with socket.create_server(("127.0.0.1", public.ports["query"])) as server, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        server.settimeout(20)

        def asked():
            with server.accept()[0] as sock:
                head = sock.recv(65536)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                             b"Connection: close\r\n\r\n{}")
                return head.decode().lower()

        for path in ("/events", "/stats"):
            head = pool.submit(asked)
            response = secure.get(f"//x/..{path}?a=%62", headers=LARGE | {
                "Cookie": "c=1;" * 1900})
            assert response.status_code == 200, response.text
            lines = head.result().split("\r\n")
            assert lines[0] == f"get {path}?a=%62 http/1.1"
            assert not [line for line in lines
                        if line.startswith(("cookie", "x-api-key"))]


def test_nothing_is_taken_for_html(secure):
    for method, path, headers in [
            ("POST", "/events", LARGE), ("POST", "/events", {}),
            ("GET", "/healthz", {}), ("GET", "/no/such", {}),
            ("GET", "/stats", {}), ("POST", "/partner/events", {})]:
        response = secure.request(method, path, json=event(), headers=headers)
        assert response.headers["x-content-type-options"] == "nosniff", path


def test_keys_are_not_to_be_guessed(secure, public):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(
            lambda i: secure.post("/events", json=event(),
                                  headers={"X-API-Key": f"{i:040x}"}),
            range(200)))
    codes = [r.status_code for r in answers]
    assert set(codes) == {401, 429}
    assert codes.count(401) < 60
    for response in answers:
        problem(response, response.status_code)
    # Who has a key is not meant, from the same address.
    assert secure.post("/events", json=event(),
                       headers=LARGE).status_code == 202

    # Beacons that are refused for their number leave no key in the log.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        codes = {answer.status_code for answer in pool.map(
            lambda _: secure.post("/events?key=key-small", json=event()),
            range(100))}
    assert codes == {202, 429}
    assert "key-small" not in public.log_text("nginx")
