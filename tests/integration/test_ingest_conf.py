"""nginx -t: every bad directive is refused, with what is wrong and where."""

import subprocess
import time

import pytest

from harness.ingest import BUILD, Ingest

GOOD_HTTP = "millrace_brokers 127.0.0.1:9092;"
GOOD_LOCATION = "millrace on;"

BAD_CONF = [
    ("millrace_brokers 127.0.0.1;", "", "host:port", 1),
    ("millrace_brokers :9092;", "", "host:port", 1),
    ("millrace_brokers a:0;", "", "host:port", 1),
    ("millrace_brokers a:99999;", "", "host:port", 1),
    ("millrace_brokers a:1,b:2;", "", "host:port", 1),
    ("millrace_brokers a:1; millrace_brokers b:1;", "", "duplicate", 1),
    (None, "", "millrace_brokers", 2),
    ("millrace_kafka acks 1;", "", "acks=all", 1),
    ("millrace_kafka request.required.acks 0;", "", "acks=all", 1),
    ("millrace_kafka enable.idempotence false;", "", "always on", 1),
    ("millrace_kafka partitioner random;", "", "murmur2_random", 1),
    ("millrace_kafka bootstrap.servers a:1;", "", "millrace_brokers", 1),
    ("millrace_kafka metadata.broker.list a:1;", "", "millrace_brokers", 1),
    ("millrace_kafka message.timeout.ms 1;", "", "millrace_ack_timeout", 1),
    ("millrace_kafka delivery.timeout.ms 1;", "", "millrace_ack_timeout", 1),
    ("millrace_kafka queue.buffering.max.messages 1;", "",
     "millrace_queue_events", 1),
    ("millrace_kafka queue.buffering.max.kbytes 1;", "",
     "millrace_queue_size", 1),
    ("millrace_kafka dr_msg_cb x;", "", "callback", 1),
    ("millrace_kafka log_cb x;", "", "callback", 1),
    ("millrace_kafka transactional.id x;", "", "transactions", 1),
    ("millrace_kafka internal.termination.signal 29;", "", "signals", 1),
    ("millrace_kafka log.queue false;", "", "threads", 1),
    ("millrace_kafka delivery.report.only.error true;", "", "202", 1),
    ("millrace_kafka retries 0;", "", "millrace_ack_timeout", 1),
    ("millrace_kafka queuing.strategy lifo;", "", "fifo", 1),
    ("millrace_kafka plugin.library.paths x.so;", "", "foreign", 1),
    ("millrace_kafka topic.acks 1;", "", "without", 1),
    ("millrace_kafka topic.queuing.strategy lifo;", "", "without", 1),
    ("millrace_kafka test.mock.num.brokers 1;", "", "pretend", 1),
    ("millrace_kafka ut_handle_ProduceResponse 0;", "", "own tests", 1),
    ("millrace_kafka allow.auto.create.topics true;", "", "millrace-setup", 1),
    ("millrace_queue_size 1k;", "", "could never be taken", None),
    ("millrace_queue_size 64k;", "millrace_max_event_size 64k;",
     "could never be taken", None),
    ("millrace_kafka max.in.flight 6;", "", "1 to 5", 1),
    ("millrace_kafka max.in.flight.requests.per.connection 9;", "",
     "1 to 5", 1),
    ("millrace_kafka no.such.thing 1;", "", "no such property", 1),
    ("millrace_kafka linger.ms soon;", "", "linger.ms", 1),
    ("millrace_kafka compression.codec zip;", "", "compression", 1),
    ("millrace_kafka linger.ms 1; millrace_kafka linger.ms 2;", "",
     "duplicate", 1),
    ("millrace_kafka linger.ms 60000;", "", "less than", None),
    ("millrace_linger 10s;", "", "less than", None),
    ("millrace_linger 1s;", "millrace_ack_timeout 1s;", "less than", None),
    ("millrace_linger soon;", "", "invalid value", 1),
    ("millrace_linger 1ms; millrace_linger 2ms;", "", "is duplicate", 1),
    ("millrace_kafka message.max.bytes 2000;", "millrace_max_event_size 4k;",
     "message.max.bytes", 2),
    ("millrace_kafka sasl.username u;", "", "sasl_ssl or", None),
    ("millrace_kafka security.protocol ssl;"
     "millrace_kafka sasl.mechanism PLAIN;", "", "sasl_ssl or", None),
    ("millrace_kafka ssl.ca.location /dev/null;", "", "ssl or sasl_ssl", None),
    ("millrace_kafka security.protocol ssl;"
     "millrace_kafka ssl.ca.location /no/such.pem;", "", "ssl.ca.location",
     None),
    ("millrace_kafka security.protocol ssl;"
     "millrace_kafka ssl.key.location /no/such.pem;", "", "ssl.key.location",
     None),
    ("millrace_kafka security.protocol ssl;"
     "millrace_kafka ssl.cipher.suites none;", "", "ssl.cipher.suites",
     None),
    ("millrace_kafka security.protocol sasl_plaintext;"
     "millrace_kafka sasl.mechanism NO-SUCH;", "", "NO-SUCH", None),
    ("millrace_kafka security.protocol sasl_plaintext;"
     "millrace_kafka sasl.mechanism OAUTHBEARER;", "", "no token", None),
    ("millrace_kafka security.protocol sasl_plaintext;"
     "millrace_kafka sasl.mechanism SCRAM-SHA-512;"
     "millrace_kafka sasl.username u;", "", "sasl.password", None),
    ("millrace_kafka security.protocol tls;", "", "security.protocol", 1),
    ("", "millrace_problems yes;", '"on" or "off"', 2),
    ("", "millrace_max_event_size 2m;", "1 to 1m", 2),
    ("", "millrace_max_event_size 0;", "1 to 1m", 2),
    ("", "millrace_max_event_size x;", "invalid value", 2),
    ("", "millrace_max_inflated_size 0;", "more than 0", 2),
    ("", "millrace_max_inflated_size x;", "invalid value", 2),
    ("", "millrace_max_batch 0;", "at least 1", 2),
    ("", "millrace_max_batch -1;", "invalid number", 2),
    ("millrace_queue_events 5;", "millrace_max_batch 6;",
     "millrace_queue_events", 2),
    ("millrace_queue_events 0;", "", "between 1 and", 1),
    ("millrace_queue_size x;", "", "invalid value", 1),
    ("", "millrace_ack_timeout 0;", "more than 0", 2),
    ("", "millrace_ack_timeout 2h;", "at most 1h", 2),
    ("", "millrace_body_timeout 0;", "more than 0", 2),
    ("", "millrace_queue_wait never;", "invalid value", 2),
    ("", "millrace_max_future never;", "invalid value", 2),
    ("", "millrace_beacon yes;", '"on" or "off"', 2),
    ("", "millrace_ignore_client_abort 1;", '"on" or "off"', 2),
    ("", 'millrace_topic "";', "249", 2),
    ("", "millrace_topic " + "x" * 250 + ";", "249", 2),
    ("", "millrace_topic a/b;", "letters", 2),
    ("", "millrace_topic ..;", "neither", 2),
    ("", "millrace_topic a; millrace_topic b;", "duplicate", 2),
    ("", "millrace maybe;", '"on" or "off"', 2),
    ("", "millrace_ready; millrace_ready;", "duplicate", 2),
    ("", "millrace_status; millrace_status;", "duplicate", 2),
    ("", "millrace_ready; millrace_status;", "beside", 2),
    ("", "millrace_status; millrace_ready;", "beside", 2),
    ("", "millrace_acknowledged; millrace_acknowledged;", "duplicate", 2),
    ("", "millrace_acknowledged; millrace_status;", "beside", 2),
    ("millrace_status;", "", "not allowed here", 1),
    ("millrace_acknowledged;", "", "not allowed here", 1),
    ("", "millrace_brokers a:1;", "not allowed here", 2),
    ("millrace on;", "", "not allowed here", 1),
    ("millrace_ready;", "", "not allowed here", 1),
    ("", "millrace_kafka linger.ms 1;", "not allowed here", 2),
]


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    """For its paths alone: nothing of it is started."""

    stack = Ingest(tmp_path_factory.mktemp("conf"), BUILD)
    yield stack
    stack.close()


def check_conf(ingest, path, http, location):
    """Runs nginx -t; what it says.  `http` is in line 1 of included files."""

    (path / "http.conf").write_text(http + "\n")
    (path / "location.conf").write_text("\n" + location + "\n")
    (path / "nginx.conf").write_text(f"""
load_module {ingest.build}/ngx_http_millrace_module.so;
pid {path}/pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include http.conf;
    server {{
        listen 127.0.0.1:{ingest.ports["nginx"]};
        location /events {{
            include location.conf;
        }}
    }}
}}
""")
    done = subprocess.run(
        [ingest.nginx, "-t", "-p", str(path), "-c", str(path / "nginx.conf"),
         "-e", "stderr"], capture_output=True, text=True, timeout=30,
        env=ingest._environment())
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


@pytest.mark.some(31)
@pytest.mark.parametrize("http, location, text, line", BAD_CONF)
def test_a_bad_directive_fails_the_check(ingest, tmp_path, http, location,
                                         text, line):
    own = http if http and http.startswith("millrace_brokers") else \
        None if http is None else f"{GOOD_HTTP} {http}"
    enable = "" if "millrace maybe" in location else GOOD_LOCATION
    done = check_conf(ingest, tmp_path, own or "", f"{enable} {location}")
    assert done.returncode == 1
    told = [t for t in done.stderr.splitlines() if "[emerg]" in t]
    assert len(told) == 1, done.stderr
    assert text in told[0], done.stderr
    if line is not None:
        name = {1: "http.conf:1", 2: "location.conf:2"}[line]
        assert name in told[0], done.stderr


def test_good_directives_pass_the_check(ingest, tmp_path):
    done = check_conf(
        ingest, tmp_path,
        "millrace_brokers a:1 [::1]:9092 c.example:3; millrace_topic t.a_b-1;"
        "millrace_linger 100ms;"
        "millrace_kafka linger.ms 0.5; millrace_kafka max.in.flight 1;"
        "millrace_kafka compression.codec zstd;"
        "millrace_kafka security.protocol SASL_SSL;"
        "millrace_kafka sasl.mechanism SCRAM-SHA-256;"
        "millrace_kafka sasl.username u; millrace_kafka sasl.password p;"
        "millrace_kafka message.max.bytes 2000000;"
        "millrace_kafka topic.metadata.refresh.interval.ms 60000;"
        "millrace_queue_events 500000; millrace_queue_size 1024m;",
        "millrace on; millrace_max_event_size 1m; millrace_max_inflated_size 1m; "
        "millrace_max_batch 500000;"
        "millrace_max_future 0; millrace_ack_timeout 1h;"
        "millrace_body_timeout 500ms; millrace_queue_wait 0;"
        "millrace_beacon off;"
        "millrace_ignore_client_abort on;")
    assert done.returncode == 0, done.stderr


def test_tokens_that_librdkafka_makes_itself_pass_the_check(ingest, tmp_path):
    done = check_conf(
        ingest, tmp_path,
        "millrace_brokers a:1; millrace_kafka security.protocol sasl_ssl;"
        "millrace_kafka sasl.mechanism OAUTHBEARER;"
        "millrace_kafka enable.sasl.oauthbearer.unsecure.jwt true;"
        "millrace_kafka sasl.oauthbearer.config principal=nginx;",
        GOOD_LOCATION)
    assert done.returncode == 0, done.stderr


def test_the_check_starts_no_thread_and_needs_no_broker(ingest, tmp_path):
    start = time.monotonic()
    done = check_conf(ingest, tmp_path, "millrace_brokers 127.0.0.1:1;",
                      GOOD_LOCATION)
    assert done.returncode == 0, done.stderr
    assert "librdkafka" not in done.stderr
    assert time.monotonic() - start < 5
