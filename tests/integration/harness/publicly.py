"""conf/nginx-public.conf on free ports, in front of the broker of a test."""

import contextlib
import http.server
import os
import subprocess
import threading

import pytest

from .ingest import BUILD, Ingest, free_port

REPO = __file__.rsplit("/", 4)[0]

KEYS = '"key-small" "small:ada";\n"key-large" "large:shop";\n'


def certificate(path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
         path / "millrace.key", "-out", path / "millrace.pem"],
        check=True, capture_output=True)


class Authorizer(http.server.BaseHTTPRequestHandler):
    """Lets partners in whose token is good; never sees a body."""

    def do_GET(self):
        ok = self.headers["Authorization"] == "Bearer good" \
            and self.headers["X-Original-URI"] == "/partner/events" \
            and self.headers["X-Original-Method"] == "POST"
        self.send_response(204 if ok else 401)
        if not ok:
            self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def authorizer():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Authorizer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def public(ingest, tmp_path_factory):
    """
    An Ingest with tls_port, the path of its certificate, and page_port: the
    port of the one http origin of this machine that may send.
    """

    with started(ingest, tmp_path_factory.mktemp("public")) as own:
        yield own


@contextlib.contextmanager
def started(ingest, path):
    certificate(path)
    (path / "keys.map").write_text(KEYS)
    own = Ingest(path / "stack", BUILD,
                 ports={"kafka": ingest.ports["kafka"]})
    own.tls_port = free_port(own.ports.values())
    own.page_port = free_port([*own.ports.values(), own.tls_port])
    own.certificate = path / "millrace.pem"
    with open(os.path.join(REPO, "conf/nginx-public.conf")) as f:
        own.nginx_template = f.read()
    with authorizer() as port:
        own.nginx_changes = {
            "/etc/nginx/millrace-keys.map": str(path / "keys.map"),
            "/etc/nginx/millrace.": str(path / "millrace."),
            "127.0.0.1:8443": f"127.0.0.1:{own.tls_port}",
            "millrace_topic   events;":
                "millrace_topic   events; millrace_ack_timeout 3s;",
            "        https://shop.example ":
                f"        http://127.0.0.1:{own.page_port} $http_origin;\n"
                "        https://shop.example ",
            "127.0.0.1:8082": f"127.0.0.1:{port}",
        }
        try:
            own.start("nginx")
            yield own
            own.stop()
            problems = own.problems()
            assert not problems, "\n".join(problems)
        finally:
            own.close()
