"""Methods other than POST and GET, and paths that there are not."""

import contextlib
import http.client
import json
import socket

import pytest
from harness import values
from harness.answers import await_events, problem

READ = ["/events?limit=1", "/stats", "/healthz", "/readyz", "/readyz/ingest",
        "/readyz/query"]


@pytest.mark.parametrize("path", READ)
def test_head_is_get_without_a_body(client, path):
    get, head = client.get(path), client.head(path)
    assert get.status_code == head.status_code == 200, get.text
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "PROPFIND"])
def test_other_methods_on_events(client, method):
    response = client.request(method, "/events")
    problem(response, 405)
    allowed = {m.strip() for m in response.headers["allow"].split(",")}
    assert allowed == {"GET", "HEAD", "POST", "OPTIONS"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_on_stats(client, method):
    response = client.request(method, "/stats")
    problem(response, 405)
    allowed = {m.strip() for m in response.headers["allow"].split(",")}
    assert {"GET", "HEAD"} <= allowed and method not in allowed


@pytest.mark.parametrize("method, path", [
    ("POST", "/stats"), ("PUT", "/events"), ("POST", "/readyz")])
def test_other_methods_with_a_large_body(client, method, path):
    for _ in range(5):
        problem(client.request(method, path, content=b"x" * 1_000_000), 405)


def test_options(client):
    """It says what there is; preflights are answered only if switched on."""

    response = client.options("/events", headers={
        "origin": "https://www.example.com",
        "access-control-request-method": "POST"})
    assert response.status_code in (200, 204), response.text
    allowed = {m.strip() for m in response.headers["allow"].split(",")}
    assert allowed == {"GET", "HEAD", "POST", "OPTIONS"}
    assert not [h for h in response.headers if h.startswith("access-control")]


@pytest.mark.parametrize("path", ["/nothing", "/events/1", "/readyz/x"])
def test_no_such_path(client, path):
    answer = client.get(path)
    problem(answer, 404)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [
    "/%65vents?limit=1", "//events?limit=1", "/x/../events", "/%73tats",
    "//stats?time_interval=1h", "/%72eadyz", "/readyz/%71uery"])
def test_a_path_in_other_words(stack, path):
    """The daemon is asked for what nginx took it for."""

    connection = http.client.HTTPConnection(
        "127.0.0.1", stack.ports["nginx"], timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()


def test_answers_are_json(client):
    for path in ("/events?limit=1", "/stats"):
        response = client.get(path)
        assert response.headers["content-type"].split(";")[0] == (
            "application/json")
        values.parse(response.content)


def test_a_post_with_a_query_string_is_a_post(sender, client, name):
    event = values.dump({"event_id": "1", "user_id": name,
                         "event_type": "t", "timestamp": 1})
    response = sender.client.post(
        "/events?source=x", content=event,
        headers={"content-type": "application/json"})
    assert response.status_code == 202
    sender.log.note([event], "acked")
    await_events(client, 1, user_id=name)


@pytest.mark.parametrize("path", ["/events", "/stats"])
def test_very_many_arguments(client, path):
    """More than the daemon could take never reach it."""

    assert client.get(f"{path}?" + "&" * 999).status_code == 200
    answer = client.get(f"{path}?" + "&" * 1000)
    assert "1000" in problem(answer, 400)["detail"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/events?limit=1", "/stats", "/readyz"])
def test_very_many_cookies(client, path):
    """A page's other services may have set them."""

    response = client.get(path, headers={"Cookie": "c=1;" * 1900})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("request_line, status", [
    ("GET / / HTTP/1.1", 400),
    ("GET /" + "x" * 40000 + " HTTP/1.1", 414),
    ("TRACE / HTTP/1.1", 405),
    ("POST / HTTP/1.1", 405),
    ("GET / HTTP/7.0", 505),
])
def test_nginx_refuses_by_problem_details(stack, request_line, status):
    """What nginx itself refuses looks like what Millrace refuses."""

    with socket.create_connection(("127.0.0.1", stack.ports["nginx"]),
                                  timeout=10) as sock:
        sock.sendall(f"{request_line}\r\nHost: x\r\nContent-Length: 0\r\n"
                     "Connection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"
        details = json.loads(answer.read())
    assert details["status"] == status and details["detail"]
