"""
nginx with the module in front of a broker, and nothing behind it: for tests
of what POST answers and of what reaches Kafka.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from confluent_kafka import (Consumer, KafkaError, KafkaException,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, NewTopic

from .waiting import wait_until

BUILD = os.environ.get("MILLRACE_BUILD", "build")

sys.path.insert(0, __file__.rsplit("/", 4)[0] + "/scripts")

from stack import Stack, alive, free_port  # noqa: E402, F401

PARTITIONS = 4
TOPICS = ("events", "other")

TEMPLATE = """
load_module modules/ngx_http_millrace_module.so;

user             www-data;
worker_processes 2;
pid              /run/nginx.pid;
error_log        /var/log/nginx/error.log info;

events {
    worker_connections 1024;
}

http {
    access_log   /var/log/nginx/access.log;
    default_type application/octet-stream;

    millrace_brokers 127.0.0.1:9092;
    millrace_ack_timeout 3s;
    client_max_body_size 16m;
    client_body_buffer_size 64k;

    limit_req_zone $server_port zone=few:64k rate=1r/m;

    #more

    server {
        listen 127.0.0.1:8080;
        listen 127.0.0.1:HTTP2 http2;

        location = /healthz {
            return 200 "ok";
        }

        location = /denied-auth {
            internal;
            return 401;
        }

        location = /events {
            millrace on;
        }

        location = /other {
            millrace on;
            millrace_topic other;
        }

        location = /missing {
            millrace on;
            millrace_topic missing;
        }

        location = /small {
            millrace on;
            millrace_max_batch 3;
            millrace_max_event_size 300;
            millrace_max_future 1h;
            millrace_beacon off;
            client_max_body_size 4k;
        }

        location = /inflated {
            millrace on;
            millrace_max_inflated_size 100k;
        }

        location = /slow {
            millrace on;
            millrace_body_timeout 1s;
            client_max_body_size 4k;
        }

        location = /file {
            millrace on;
            client_body_in_file_only clean;
        }

        location = /pieces {
            millrace on;
            client_body_buffer_size 8k;
        }

        location = /patient {
            millrace on;
            millrace_ignore_client_abort on;
        }

        location = /limited {
            limit_req zone=few;
            limit_req_status 429;
            millrace on;
        }

        location = /auth {
            auth_request /denied-auth;
            millrace on;
        }

        location = /denied {
            deny all;
            millrace on;
        }

        location = /shared {
            millrace on;
            proxy_pass http://127.0.0.1:8080/healthz;
        }

        location = /paged {
            millrace on;
            client_max_body_size 1k;
            error_page 413 = @own;
        }

        location @own {
            return 413 "own page";
        }

        location = /passed-on {
            millrace on;
            client_max_body_size 4k;
            error_page 413 = @fallback;
        }

        location = /unbuffered {
            proxy_request_buffering off;
            proxy_http_version 1.1;
            proxy_pass http://127.0.0.1:1;
            error_page 502 = @fallback;
        }

        location = /buffered {
            proxy_pass http://127.0.0.1:1;
            error_page 502 = @fallback;
        }

        location @fallback {
            millrace on;
        }

        location = /elsewhere {
            millrace_problems on;
            error_page 404 /own.html;
            return 404;
        }

        location = /own.html {
            internal;
            millrace_problems on;
            default_type text/html;
            return 200 "<p>own page";
        }

        location = /readyz/ingest {
            millrace_ready;
        }

        location = /readyz/missing {
            millrace_topic missing;
            millrace_ready;
        }

        location = /variable {
            return 200 "$millrace_ready";
        }

        location = /metrics {
            millrace_status;
        }

        location = /acknowledged {
            millrace_acknowledged;
        }
    }
}
"""


class Ingest(Stack):
    """
    A broker with TOPICS, and nginx from TEMPLATE with `more` in its http
    block.  With `ports` of another one, nginx alone, in front of its broker.
    """

    def __init__(self, directory, build, more="", ports=None):
        super().__init__(directory, build=build, ports=ports)
        self.http2_port = free_port(self.ports.values())
        self.nginx_template = TEMPLATE.replace("#more", more).replace(
            "HTTP2", str(self.http2_port))

    def start_all(self):
        self.start("kafka")
        self.create_topics(*TOPICS)
        self.start("nginx")
        self.await_ready()

    def create_topics(self, *names):
        admin = AdminClient({"bootstrap.servers": self.brokers})
        made = admin.create_topics([NewTopic(name, PARTITIONS, 1)
                                    for name in names])
        for future in made.values():
            future.result(30)

    @property
    def http2_url(self):
        return f"http://127.0.0.1:{self.http2_port}"

    @property
    def nginx(self):
        """The nginx binary that can load this build's module."""
        return self._command("nginx")[0][0]

    def await_ready(self, seconds=30):
        wait_until(lambda: httpx.get(self.url + "/readyz/ingest").status_code
                   == 200, seconds, "/readyz/ingest")

    def ends(self, topic="events"):
        """The end offset of each partition."""
        consumer = self._consumer()

        def ends():
            try:
                return {p: consumer.get_watermark_offsets(
                    TopicPartition(topic, p), timeout=20)[1]
                    for p in range(PARTITIONS)}
            except KafkaException as error:
                # a topic that has just been made may have no leader yet
                assert error.args[0].retriable() or error.args[0].code() \
                    == KafkaError.NOT_LEADER_FOR_PARTITION, error
                return None

        try:
            return wait_until(ends, 20, "the ends of the partitions")
        finally:
            consumer.close()

    def records(self, since, topic="events"):
        """What has come after `since`, as ends() returned it."""
        ends = self.ends(topic)
        left = sum(ends[p] - since[p] for p in ends)
        found = []
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(topic, p, since[p])
                             for p in ends if ends[p] > since[p]])
            deadline = time.monotonic() + 30
            while len(found) < left:
                message = consumer.poll(1)
                assert time.monotonic() < deadline, f"{len(found)} of {left}"
                if message is None:
                    continue
                assert message.error() is None, message.error()
                found.append(message)
        finally:
            consumer.close()
        return found

    def _consumer(self):
        return Consumer({"bootstrap.servers": self.brokers,
                         "group.id": "test", "enable.auto.commit": False,
                         "fetch.wait.max.ms": 50})


@contextlib.contextmanager
def nginx_alone(directory, build, first, more="", single=False):
    """
    A second nginx, in front of the broker of `first`; its error log must be
    clean at the end, but for what the test did itself.
    """

    own = Ingest(directory, build, more,
                 ports={"kafka": first.ports["kafka"]})
    if single:
        own.nginx_template = own.nginx_template.replace(
            "worker_processes 2", "worker_processes 1")
    try:
        yield own
        own.stop()
        problems = [p for p in own.problems()
                    if "exited on signal 9" not in p]
        assert not problems, "\n".join(problems)
    finally:
        own.close()


def are_stopped(pid):
    """All threads of the process."""
    stats = (Path(task, "stat").read_text() for task in
             Path(f"/proc/{pid}/task").iterdir())
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


@contextlib.contextmanager
def frozen(ingest):
    """The broker does not answer, but its connections stay."""

    pid = ingest.pid("kafka")
    ingest.signal("kafka", signal.SIGSTOP)
    try:
        # On a busy machine its threads may go on for some milliseconds.
        wait_until(lambda: are_stopped(pid), 5, "a frozen broker", 0.002)
        yield
    finally:
        ingest.signal("kafka", signal.SIGCONT)


# Fixtures, for the files that import them.


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    stack = Ingest(tmp_path_factory.mktemp("ingest"), BUILD)

    try:
        stack.start_all()
        yield stack
        stack.stop()
        problems = stack.problems()
        assert not problems, "\n".join(problems)
    finally:
        stack.close()


@pytest.fixture
def client(ingest):
    with httpx.Client(base_url=ingest.url, timeout=30) as client:
        yield client


@pytest.fixture
def since(ingest):
    """Where the partitions of `events` ended before the test."""

    return ingest.ends()


@pytest.fixture
def fatal(tmp_path):
    """The environment in which an event can raise a fatal error."""

    library = tmp_path / "fatal.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library,
                    Path(__file__).parent / "fatal.c",
                    "-lrdkafka"], check=True)
    return {"LD_PRELOAD": str(library),
            "ASAN_OPTIONS": "verify_asan_link_order=0:"
                            "detect_odr_violation=0"}
