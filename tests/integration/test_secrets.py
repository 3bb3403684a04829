"""
A password in MongoDB's URI or in a property of Kafka is shown nowhere: not in
a log, however detailed, not in an error, not in the list of processes.
"""

import os
import re
import subprocess

import pytest

from conftest import BUILD
from harness.pipeline import REPO, processes
from harness.waiting import wait_until

SECRET = "geheim-7fQ"
free_port = processes.free_port
PROGRAMS = ["setup", "writer", "stats", "query", "audit"]

CONFIGURATION = """
[kafka]
brokers = 127.0.0.1:1
security.protocol = SASL_PLAINTEXT
sasl.mechanism = PLAIN
sasl.username = millrace
sasl.password = {secret}
debug = security,broker

[mongodb]
uri = mongodb://millrace:{secret}@127.0.0.1:1/?replicaSet=rs0&connectTimeoutMS=500

[writer]
metrics = 127.0.0.1:{port}
[stats]
metrics = 127.0.0.1:{port}
[query]
metrics = 127.0.0.1:{port}
listen = 127.0.0.1:{listen}
"""


def program(name):
    return os.path.join(REPO, BUILD, f"millrace-{name}")


def environment(**more):
    return {**os.environ, "MILLRACE_LOG": "debug", "ASAN_OPTIONS":
            "fast_unwind_on_malloc=0", "LSAN_OPTIONS": "suppressions="
            + os.path.join(REPO, "tests", "lsan.supp"), **more}


@pytest.mark.parametrize("name", PROGRAMS)
def test_servers_that_do_not_answer(name, tmp_path):
    conf = tmp_path / "millrace.conf"
    conf.write_text(CONFIGURATION.format(
        secret=SECRET, port=free_port(), listen=free_port()))
    log = tmp_path / "log"
    more = ["--timeout", "3"] if name in ("setup", "audit") else []

    with open(log, "wb") as out:
        process = subprocess.Popen([program(name), "-c", str(conf), *more],
                                   stdout=out, stderr=out, env=environment())
    try:
        with open(f"/proc/{process.pid}/cmdline") as f:
            assert SECRET not in f.read()
        # Whom it cannot reach it names.
        wait_until(lambda: "127.0.0.1:1" in log.read_text()
                   or "No suitable servers" in log.read_text(), 20,
                   log.read_text)
    finally:
        process.terminate()
        process.wait(30)

    text = log.read_text()
    assert SECRET not in text
    # Nor does it complain of what it sets itself.
    assert not re.search(r" warn .* is deprecated", text)
    assert "sasl" in text.lower() or "mongo" in text.lower(), text


@pytest.mark.some(13)
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("bad", [
    f"[mongodb]\nuri = mongodb://u:{SECRET}@/\n",
    f"[mongodb]\nuri = mongodb://u:{SECRET}@h/?replicaSet=rs0&tls=maybe\n",
    f"[mongodb]\nuri = mongodb://u:{SECRET}@h/?tlsEnabled={SECRET}\n",
    f"[mongodb]\nuri = {SECRET}\npool = x\n",
    f"[kafka]\nsasl.password = {SECRET}\nsecurity.protocol = sasl\n",
    f"[kafka]\nsasl.passwort = {SECRET}\n",
    f"[kafka]\nsasl.password = {SECRET}\nsasl.password = {SECRET}\n",
])
def test_a_bad_configuration(name, bad, tmp_path):
    conf = tmp_path / "millrace.conf"
    conf.write_text(bad)
    done = subprocess.run([program(name), "-t", "-c", str(conf)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env=environment(), timeout=60,
                          check=False)
    assert done.returncode != 0, done.stdout
    assert SECRET not in done.stdout


def test_secrets_from_the_environment(tmp_path):
    done = subprocess.run(
        [program("writer"), "-t"], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        env=environment(MILLRACE_MONGODB_URI=f"mongodb://u:{SECRET}@h:x/",
                        MILLRACE_KAFKA_SASL_PASSWORD=SECRET))
    assert done.returncode != 0
    assert "[mongodb] uri is no connection string" in done.stdout
    assert SECRET not in done.stdout
