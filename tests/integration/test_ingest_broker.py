"""
Brokers that are not as ours is set up: which create topics by themselves,
which acknowledge slowly, which take only small batches.
"""

import concurrent.futures
import socket
import struct
import time

import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from harness.answers import problem
from harness.ingest import BUILD, Ingest, nginx_alone
from harness.posting import JSON, NDJSON, event, lines, many
from harness.proxy import Proxy, exactly
from harness.waiting import wait_until

PRODUCE = 0  # Kafka's number of the request


class SlowProxy(Proxy):
    """
    In front of a broker that takes `delay` seconds for each Produce request,
    and for what comes behind it on the same connection.
    """

    def __init__(self, delay):
        self.delay = delay
        super().__init__(None)

    def read(self, source):
        head = exactly(source, 4)
        return head + exactly(source, struct.unpack(">i", head)[0])

    def forward(self, sink, data, to_server):
        if to_server and data[4:6] == struct.pack(">h", PRODUCE):
            time.sleep(self.delay)
        sink.sendall(data)


@pytest.fixture(scope="module")
def slow():
    proxy = SlowProxy(delay=0.2)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory, slow):
    own = Ingest(tmp_path_factory.mktemp("broker"), BUILD)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        slow.target = sock.getsockname()[1]
    kafka, control = own.ports["kafka"], own.ports["controller"]
    own.kafka_properties = {
        "auto.create.topics.enable": "true",
        "listeners": f"PLAINTEXT://127.0.0.1:{kafka},"
                     f"SLOW://127.0.0.1:{slow.target},"
                     f"CONTROLLER://127.0.0.1:{control}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{kafka},"
                                f"SLOW://127.0.0.1:{slow.port}",
        "listener.security.protocol.map":
            "PLAINTEXT:PLAINTEXT,SLOW:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    try:
        own.start("kafka")
        own.create_topics("events")
        yield own
        problems = own.problems()
        assert not problems, "\n".join(problems)
    finally:
        own.close()


def test_no_topic_is_made_up(broker, tmp_path):
    with nginx_alone(tmp_path, BUILD, broker) as own:
        own.start("nginx")
        own.await_ready()
        for _ in range(3):
            for path in ("/missing", "/other"):
                problem(httpx.post(own.url + path, headers=JSON, json=event(),
                                   timeout=30), 503)
        topics = AdminClient(
            {"bootstrap.servers": broker.brokers}).list_topics(timeout=10)
        assert set(topics.topics) == {"events"}
        assert "allow.auto.create" not in own.log_text("nginx")


def test_who_acknowledges_slowly_is_not_away(broker, slow, tmp_path):
    """The question whether the broker is there waits behind the events."""

    more = "millrace_kafka message.max.bytes 1000000;"
    with nginx_alone(tmp_path, BUILD, broker, more, single=True) as own:
        own.ports["kafka"] = slow.port
        own.start("nginx")
        own.await_ready()
        until = time.monotonic() + 12

        def send(number):
            answers, ready = [], []
            with httpx.Client(base_url=own.url, timeout=30) as client:
                while time.monotonic() < until:
                    answers.append(client.post(
                        "/events", headers=JSON,
                        json=event(user_id=f"u{number}")))
                    ready.append(client.get("/readyz/ingest").status_code)
            return answers, ready

        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            found = list(pool.map(send, range(24)))
        answers = [a for one, _ in found for a in one]
        taken = sum(a.status_code == 202 for a in answers)
        away = [a.text for a in answers if "not available" in a.text]
        assert not away, f"{len(away)} of {len(answers)}: {away[0]}"
        assert taken > 20
        assert {r for _, ready in found for r in ready} == {200}


def test_a_topic_that_takes_only_small_batches(broker, tmp_path):
    admin = AdminClient({"bootstrap.servers": broker.brokers})
    admin.create_topics([NewTopic("small", 1, 1, config={
        "max.message.bytes": "4000"})])["small"].result(30)
    more = "millrace_kafka compression.type none;"
    with nginx_alone(tmp_path, BUILD, broker, more) as own:
        own.nginx_template = own.nginx_template.replace(
            "millrace_topic other;", "millrace_topic small;")
        own.start("nginx")
        own.await_ready()

        def post(body):
            return httpx.post(own.url + "/other", headers=NDJSON, content=body,
                              timeout=30)

        wait_until(lambda: post(lines(many(1))).status_code == 202, 20,
                   "the topic")
        answer = problem(post(lines(many(1, 6000))), 503)
        assert "max.message.bytes" in answer["detail"]
        assert "send the same request again" not in answer["detail"]
        assert post(lines(many(1))).status_code == 202
