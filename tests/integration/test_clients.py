"""
docs/clients.md: its programs as they stand there, against the nginx of
conf/nginx-public.conf; JavaScript in a real browser, from another origin.
"""

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from harness.browser import PATIENCE, chromium
from harness.ingest import frozen, ingest, since  # noqa: F401
from harness.posting import event, lines
from harness.publicly import public  # noqa: F401
from harness.waiting import wait_until

REPO = __file__.rsplit("/", 3)[0]


def programs(language):
    with open(os.path.join(REPO, "docs/clients.md"), encoding="utf-8") as f:
        return re.findall(rf"^```{language}\n(.*?)^```$", f.read(),
                          re.M | re.S)


def environment(public, key="key-large"):
    return dict(os.environ, MILLRACE_KEY=key,
                MILLRACE_URL=f"https://localhost:{public.tls_port}",
                SSL_CERT_FILE=str(public.certificate),
                CURL_CA_BUNDLE=str(public.certificate))


def stored(ingest, since):
    return [json.loads(r.value()) for r in ingest.records(since)]


def run(public, path, *command, key="key-large"):
    return subprocess.run(command, cwd=path, env=environment(public, key),
                          timeout=400, capture_output=True, text=True)


def test_curl(public, ingest, since, tmp_path):
    [program] = programs("sh")
    (tmp_path / "events.ndjson").write_bytes(lines([event(), event()]))
    done = run(public, tmp_path, "bash", "-c", program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"accepted": 2}
    assert len(stored(ingest, since)) == 2
    done = run(public, tmp_path, "bash", "-c", program, key="wrong")
    assert done.returncode == 22 and "credentials" in done.stdout


def test_python(public, ingest, since, tmp_path):
    [program] = programs("python")
    (tmp_path / "send.py").write_text(program)
    done = run(public, tmp_path, sys.executable, "send.py")
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    found = stored(ingest, since)
    assert sorted(e["event_type"] for e in found) == ["purchase", "view"]
    done = run(public, tmp_path, sys.executable, "send.py", key="wrong")
    assert done.returncode == 1 and '"status":401' in done.stderr


def test_python_tries_again(public, ingest, since, tmp_path):
    """A broker that is away too long: 503 first, and then 202, once each."""

    [program] = programs("python")
    (tmp_path / "send.py").write_text(program)
    with frozen(ingest):
        child = subprocess.Popen(
            [sys.executable, "send.py"], cwd=tmp_path,
            env=environment(public), stdout=subprocess.PIPE, text=True)
        wait_until(lambda: " not_acknowledged " in logged(public), 30,
                   "a 503")
        assert child.poll() is None
    assert child.communicate(timeout=60)[0] == "2\n"
    ids = {e["event_id"] for e in stored(ingest, since)}
    assert len(ids) == 2


@pytest.mark.parametrize("cut", [
    b"HTTP/1.1 202 Accepted\r\nContent-Length: 99\r\n\r\n{", b"HTT", b"",
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"])
def test_python_tries_again_whatever_was_cut(tmp_path, cut):
    [program] = programs("python")
    (tmp_path / "send.py").write_text(program)
    answers = [cut, b"HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n"
                    b'{"accepted":2}']
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = subprocess.Popen(
            [sys.executable, "send.py"], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "MILLRACE_URL":
                 f"http://127.0.0.1:{server.getsockname()[1]}"})
        server.settimeout(20)
        sent = []
        for told in answers:
            with server.accept()[0] as sock, sock.makefile("rb") as reader:
                length = 0
                while (line := reader.readline().strip()):
                    name, _, value = line.partition(b": ")
                    if name.lower() == b"content-length":
                        length = int(value)
                sent.append(reader.read(length))
                sock.sendall(told)
        assert child.communicate(timeout=20) == ("2\n", "")
    assert sent[0] == sent[1]


def logged(public):
    with open(public.path("access.log")) as f:
        return f.read()


@pytest.mark.slow
def test_go(public, ingest, since, tmp_path):
    assert shutil.which("go"), "Go is not installed: make deps"
    [program] = programs("go")
    (tmp_path / "main.go").write_text(program)
    done = run(public, tmp_path, "go", "run", "main.go")
    assert (done.returncode, done.stdout) == (0, "sent\n"), done.stderr
    assert len(stored(ingest, since)) == 2
    done = run(public, tmp_path, "go", "run", "main.go", key="wrong")
    assert done.returncode == 1 and '"status":401' in done.stderr


class Page(http.server.BaseHTTPRequestHandler):
    text = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_):
        pass


@pytest.fixture
def page(public):
    """A page of the origin that the configuration allows."""

    library, use = programs("js")
    Page.text = (f'<!doctype html><title>x</title><script>"use strict";\n'
                 f'const MILLRACE_URL = "https://localhost:{public.tls_port}";'
                 f'\nconst MILLRACE_KEY = "key-large";\n{library}{use}'
                 f'</script>').encode()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", public.page_port), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{public.page_port}/some/page"
    finally:
        server.shutdown()
        server.server_close()


def test_javascript(public, ingest, since, page):
    """fetch with its preflight, then a beacon when the page is hidden."""

    with chromium() as browser:
        context = browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(PATIENCE)
        complaints = []
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        with tab.expect_response(
                lambda answer: answer.request.method == "POST") as answered:
            tab.goto(page)
        assert answered.value.status == 202
        assert answered.value.headers["millrace-receipt"]
        [first] = stored(ingest, since)
        assert first["metadata"] == {"page": "/some/page"}
        assert ' OPTIONS /events 204 ' in wait_until(
            lambda: ' OPTIONS ' in logged(public) and logged(public), 10,
            "the preflight in the log")
        tab.evaluate("""() => {
            track("ada", "leave", {quote: "\\u201c"});
            Object.defineProperty(document, "visibilityState",
                                  {value: "hidden"});
            document.dispatchEvent(new Event("visibilitychange"));
        }""")
        wait_until(lambda: len(ingest.records(since)) >= 2, 10, "the beacon")
        last = {e["event_id"]: e["metadata"] for e in stored(ingest, since)
                if e["event_type"] == "leave"}
        assert list(last.values()) == [{"quote": "\u201c"}]
        assert " POST /events 202 accepted 1 " in logged(public)
        assert complaints == []


def test_javascript_loses_nothing_where_the_page_lives_on(
        public, ingest, since, page):
    """More than beacons may take; and a service that is away meanwhile."""

    turn = """(state) => {
        Object.defineProperty(document, "visibilityState",
                              {value: state, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""

    def arrived(kind):
        return len({e["event_id"] for e in stored(ingest, since)
                    if e["event_type"] == kind})

    with chromium() as browser:
        context = browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(PATIENCE)
        tab = context.new_page()
        tab.goto(page)
        track = """([kind, n]) => {
            for (let i = 0; i < n; i++) {
                track("ada", kind, {pad: "x".repeat(150)});
            }
        }"""
        tab.evaluate(track, ["many", 600])
        tab.evaluate(turn, "hidden")
        tab.evaluate(turn, "visible")
        wait_until(lambda: arrived("many") == 600, 20, "all of them")
        with frozen(ingest):
            tab.evaluate(track, ["late", 50])
            tab.evaluate(turn, "hidden")
            wait_until(lambda: " not_acknowledged " in logged(public), 30,
                       "a 503")
        tab.evaluate(turn, "visible")
        wait_until(lambda: arrived("late") == 50, 60, "the rest")
