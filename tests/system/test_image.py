"""
The image, without Docker: built by buildah from a Debian that debootstrap
made, and every part of the pipeline run out of it, against the tests' own
Kafka and MongoDB.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from debianroot import REPO

sys.path.insert(0, os.path.join(REPO, "tests/integration"))
from harness.waiting import wait_until  # noqa: E402

PARTS = "writer", "stats", "query", "nginx"


class Image:
    """buildah with a storage of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.children = []

    def buildah(self, *arguments, timeout=1500):
        done = subprocess.run(
            self._command(*arguments), text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"{arguments}:\n{done.stdout[-6000:]}"
        return done.stdout.strip()

    def start(self, container, *command, **environment):
        with open(os.path.join(self.directory, container + ".log"),
                  "ab") as log:
            child = subprocess.Popen(
                self._run(container, command, environment), stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.children.append(child)
        return child

    def run(self, container, *command, **environment):
        done = subprocess.run(
            self._run(container, command, environment), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=120)
        return done.returncode, done.stdout

    def log(self, container):
        with open(os.path.join(self.directory, container + ".log"),
                  errors="replace") as file:
            return file.read()

    def close(self):
        for child in self.children:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        subprocess.run(self._command("rm", "--all"), check=False,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, container, command, environment):
        """As `docker run` would: the image's user, and its entrypoint."""
        return self._command(
            "run", "--isolation", "chroot", "--user", "millrace", container,
            "--", "env", *(f"{key}={value}" for key, value in
                           environment.items()), *command)

    def _command(self, *arguments):
        return ["buildah", "--root", os.path.join(self.directory, "storage"),
                "--runroot", os.path.join(self.directory, "run"),
                "--storage-driver", "vfs", *arguments]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    image = Image(str(tmp_path_factory.mktemp("image")))
    try:
        build(image)
        yield image
    finally:
        image.close()


def build(image):
    root = os.path.join(image.directory, "root")
    subprocess.run([os.path.join(REPO, "scripts/debian-root"), "bookworm",
                    root], check=True, timeout=600)
    base = image.buildah("from", "scratch")
    image.buildah("add", "-q", base, root, "/")
    image.buildah("commit", "-q", base, "localhost/debian:bookworm-slim")
    image.buildah("rm", base)
    shutil.rmtree(root)

    # What `docker build` would send: tracked files, and yyjson's source.
    context = os.path.join(image.directory, "context")
    os.makedirs(os.path.join(context, ".cache"))
    subprocess.run("git ls-files -z | xargs -0 cp --parents -t " + context,
                   shell=True, check=True, cwd=REPO)
    for name in "yyjson", "web":
        shutil.copytree(os.path.join(REPO, ".cache", name),
                        os.path.join(context, ".cache", name))
    image.buildah(
        "bud", "--isolation", "chroot", "--network", "host", "--pull-never",
        "--format", "docker",  # a health check is not in OCI's format
        "--build-arg", "BASE=localhost/debian:bookworm-slim",
        "-t", "localhost/millrace", context)


def test_the_pipeline_answers(image, servers):
    ports = servers.ports
    environment = {
        "MILLRACE_KAFKA_BROKERS": servers.brokers,
        "MILLRACE_MONGODB_URI": servers.mongo_uri,
        "MILLRACE_QUERY_LISTEN": f"127.0.0.1:{ports['query']}",
        "MILLRACE_QUERY": f"127.0.0.1:{ports['query']}",
        "MILLRACE_LISTEN": f"127.0.0.1:{ports['nginx']}",
        "MILLRACE_NGINX_WORKERS": "2",
        **{f"MILLRACE_{part}_METRICS".upper():
           f"127.0.0.1:{ports[part + '_metrics']}"
           for part in ("writer", "stats", "query")}}
    entrypoint = "/usr/lib/millrace/entrypoint"

    for part in ("setup", *PARTS):
        image.buildah("from", "--name", part, "localhost/millrace")
    status, said = image.run("setup", entrypoint, "setup", **environment)
    assert status == 0, said
    status, said = image.run("setup", "id", "-u")
    assert status == 0 and int(said) > 0
    children = {part: image.start(part, entrypoint, part, **environment)
                for part in PARTS}

    def ready():
        for part, child in children.items():
            assert child.poll() is None, image.log(part)
        try:
            return httpx.get(servers.url + "/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    wait_until(ready, 60, "/readyz")

    now = int(time.time())
    answer = httpx.post(servers.url + "/events", json=[
        {"event_id": str(i), "user_id": "contained", "event_type": "boxed",
         "timestamp": now} for i in range(20)])
    assert answer.status_code == 202, answer.text
    wait_until(lambda: len(httpx.get(
        servers.url + "/events", params={"user_id": "contained"}).json()
        ["events"]) == 20, 60, "20 events")
    wait_until(lambda: httpx.get(
        servers.url + "/stats", params={"event_type": "boxed",
                                        "time_interval": "1h"}).json()
        ["total"]["count"] == 20, 60, "a count of 20")
    assert "Millrace" in httpx.get(servers.url + "/").text

    for part in PARTS:
        status, said = image.run(part, "/usr/lib/millrace/health",
                                 **environment)
        assert status == 0, f"{part}: {said}"
        assert not [line for line in image.log(part).splitlines()
                    if "[alert]" in line or "[emerg]" in line]

    # One that is dead is not healthy.
    os.killpg(children["query"].pid, signal.SIGKILL)
    wait_until(lambda: image.run(
        "query", "/usr/lib/millrace/health", **environment)[0] != 0,
        30, "an unhealthy query")


def test_compose():
    """Its form, and that the daemons take the environment it gives them."""

    # lintian brings this reader of YAML along.
    compose = json.loads(subprocess.run(
        ["perl", "-MYAML::XS=LoadFile", "-MJSON::PP", "-e",
         "print encode_json(LoadFile('compose.yaml'))"], cwd=REPO,
        check=True, text=True, stdout=subprocess.PIPE).stdout)
    services = {name: {**service.pop("<<", {}), **service}
                for name, service in compose["services"].items()}
    assert set(services) == {"kafka", "mongo", "setup", *PARTS}
    for name in ("setup", *PARTS):
        service = services[name]
        assert service["command"][0] == name
        assert service["environment"] == compose["x-millrace"]["environment"]
        assert set(service["depends_on"]) <= set(services)
    done = subprocess.run(
        [os.path.join(REPO, "build/millrace-writer"), "-t"], text=True,
        env={**os.environ, **services["writer"]["environment"]},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert services["nginx"]["ports"] == ["127.0.0.1:8080:8080"]

    # What has to be kept is where the server writes it: mongod by itself,
    # Kafka where it is told to.
    volumes = {name: [volume.split(":") for volume in service["volumes"]]
               for name, service in services.items() if "volumes" in service}
    assert volumes == {
        "mongo": [["mongo", "/data/db"]],
        "kafka": [["kafka",
                   services["kafka"]["environment"].get("KAFKA_LOG_DIRS")]]}
    assert set(compose["volumes"]) == set(volumes)


class Entrypoint:
    """
    conf/docker/entrypoint with nginx, in a /tmp of its own as it has one in a
    container, but with the module as it is built here.
    """

    SCRIPT = r"""
set -e
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /etc/nginx/sites-available
scripts/nginx-site > /etc/nginx/sites-available/millrace
mkdir /tmp/wrapper
cat > /tmp/wrapper/nginx <<END
#!/bin/sh
sed -i "s|/usr/lib/nginx/modules|$PWD/build|" /tmp/nginx.conf
PATH=$PATH
exec nginx "\$@"
END
chmod +x /tmp/wrapper/nginx
PATH=/tmp/wrapper:$PATH
exec conf/docker/entrypoint nginx
"""

    def __init__(self, servers, log):
        self.path = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "bash", "-c", self.SCRIPT], cwd=REPO,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, env={
                    **os.environ, "MILLRACE_NGINX_WORKERS": "1",
                    "MILLRACE_KAFKA_BROKERS": servers.brokers,
                    "MILLRACE_LISTEN": f"127.0.0.1:{servers.ports['nginx']}"})

    def log(self):
        with open(self.path, errors="replace") as file:
            return file.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def test_a_stopped_container_answers_first(servers, tmp_path):
    """SIGTERM, as Docker sends it, while a request waits for Kafka."""

    servers.start("setup")
    event = {"event_id": "1", "user_id": "u", "event_type": "t"}
    answers = []

    def post():
        answers.append(httpx.post(servers.url + "/events", json={
            **event, "timestamp": int(time.time())}, timeout=30).status_code)

    def posted():
        post()
        return answers == [202] or answers.clear()

    def waiting():
        metrics = httpx.get(servers.url + "/metrics").text
        return "\nmillrace_ingest_queue_events 1\n" in metrics

    with Entrypoint(servers, tmp_path / "log") as container:
        wait_until(posted, 30, container.log)

        # A reload goes through as well.
        container.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reconfiguring" in container.log(), 20,
                   container.log)
        wait_until(lambda: "worker process" in container.log().partition(
            "gracefully shutting down")[2], 20, container.log)
        assert container.process.poll() is None

        servers.signal("kafka", signal.SIGSTOP)
        try:
            sender = threading.Thread(target=post)
            sender.start()
            wait_until(waiting, 10, "a request that waits")
            said = len(container.log())
            container.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "signal " in container.log()[said:], 10,
                       container.log)
        finally:
            servers.signal("kafka", signal.SIGCONT)
        sender.join(30)
        assert answers == [202, 202], container.log()
        assert container.process.wait(30) == 0

    # One that does not come up says so.
    with Entrypoint(servers, tmp_path / "log") as container, Entrypoint(
            servers, tmp_path / "second") as second:
        wait_until(lambda: "[emerg]" in container.log() + second.log(), 20,
                   second.log)
        wait_until(lambda: 1 in (container.process.poll(),
                                 second.process.poll()), 20, second.log)


@pytest.mark.parametrize("bound, given", [
    ("0.0.0.0", "0.0.0.0:{}"), ("0.0.0.0", "{}"), ("127.0.0.1", "127.0.0.1:{}"),
    ("127.0.0.2", "127.0.0.2:{}"), ("::", "[::]:{}"), ("::1", "[::1]:{}")])
def test_health_is_asked_where_the_part_listens(bound, given):
    with open(os.path.join(REPO, "conf/docker/health")) as file:
        health = file.read().replace("$(cat /tmp/millrace.part)", "writer")

    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            # As nginx does.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((bound, 0))
        listener.listen()
        listener.settimeout(10)
        address = given.format(listener.getsockname()[1])

        with subprocess.Popen(["bash", "-c", health], env={
                **os.environ, "MILLRACE_WRITER_METRICS": address}) as process:
            with listener.accept()[0] as connection:
                # A line at a time: who hangs up before the end breaks its pipe.
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    asked += connection.recv(1024)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            assert process.wait(10) == 0


def test_a_wrong_part_is_refused(image):
    image.buildah("from", "--name", "wrong", "localhost/millrace")
    status, said = image.run("wrong", "/usr/lib/millrace/entrypoint", "all")
    assert status == 2
    assert '"all" is none of nginx, setup, writer, stats, query' in said
    status, said = image.run("wrong", "/usr/lib/millrace/entrypoint", "nginx",
                             MILLRACE_KAFKA_BROKERS="a;b")
    assert status == 2
    assert '"a;b" is no host:port and no topic' in said


def test_it_is_small(image):
    """What it adds to the base, and no compiler in it."""

    status, said = image.run("wrong", "sh", "-c",
                             "command -v gcc make python3; true")
    assert (status, said.strip()) == (0, "")
    status, said = image.run("wrong", "du", "-sxm", "/usr")
    assert status in (0, 1)
    assert int(said.split()[-2]) < 260, said
