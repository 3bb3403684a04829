"""
What an operator watches Millrace by: the metrics of all parts, the alert
rules and the dashboard made of them, and the logs that a machine reads.
"""

import json
import os
import re
import subprocess
import time
import urllib.request

import pytest

from harness.waiting import wait_until

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PROMTOOL = os.path.join(REPO, ".cache/promtool/promtool")
RULES = os.path.join(REPO, "conf/prometheus/millrace.rules.yml")
DASHBOARD = os.path.join(REPO, "conf/grafana/millrace.json")
OPERATIONS = os.path.join(REPO, "docs/operations.md")

# Prometheus makes it itself.
FOREIGN = {"up"}


def promtool(*args, stdin=None):
    done = subprocess.run([PROMTOOL, *args], input=stdin, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          cwd=REPO, timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout


def scrape(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        kind = answer.headers["Content-Type"]
        assert kind == "text/plain; version=0.0.4; charset=utf-8"
        return answer.read().decode()


@pytest.fixture
def scrapes(stack, sender, client, name):
    """The text of every part's /metrics, after some work of every kind."""

    event = {"event_id": "1", "user_id": name, "event_type": name,
             "timestamp": int(time.time()), "metadata": {"value": 1}}
    sender.post([event])
    stack.settle()
    assert client.get("/events", params={"user_id": name}).json()["events"]
    assert client.get("/stats").status_code == 200
    urls = {"nginx": stack.url + "/metrics"}
    for part in "writer", "stats", "query":
        port = stack.ports[f"{part}_metrics"]
        urls[part] = f"http://127.0.0.1:{port}/metrics"
    found = {part: scrape(url) for part, url in urls.items()}
    found["audit"] = subprocess.run(
        [os.path.join(stack.build, "millrace-audit"), "-c", stack.conf,
         "--metrics"], text=True, stdout=subprocess.PIPE, timeout=90,
        check=False).stdout
    return found


def families(text):
    """{name: type} of a scrape."""

    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def samples(text):
    """{name: [labels, ...]} of a scrape."""

    found = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? \S+$", text,
                                   re.M):
        found.setdefault(name, []).append(
            dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels)))
    return found


def selectors(expression):
    """[(metric, {label: (operator, value)})] of a PromQL expression."""

    found = []
    for name, labels in re.findall(
            r"\b((?:millrace|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?",
            expression):
        found.append((name, {
            label: (operator, value) for label, operator, value in
            re.findall(r'([a-z_]+)(=~|=)"([^"]*)"', labels)}))
    return found


def expressions():
    """What the rules and the dashboard ask for: (where, PromQL)."""

    with open(RULES) as file:
        rules = file.read()
    for alert in rules.split("- alert: ")[1:]:
        expression = re.search(r"expr: (.*?)\n +(?:for|labels):", alert, re.S)
        yield "alert " + alert.split()[0], expression.group(1)
    with open(DASHBOARD) as file:
        dashboard = json.load(file)
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield "panel " + panel["title"], target["expr"]


def test_metrics_are_as_prometheus_wants_them(scrapes):
    for part, text in scrapes.items():
        assert promtool("check", "metrics", stdin=text) == "", part


def test_dashboard_and_rules_ask_for_what_exists(scrapes):
    """Every metric, and every label value, but those of a job."""

    known = {}
    for text in scrapes.values():
        for name, labels in samples(text).items():
            known.setdefault(name, []).extend(labels)

    asked = list(expressions())
    assert len(asked) > 50
    missing = []

    for where, expression in asked:
        found = selectors(expression)
        assert found, where
        for name, wanted in found:
            if name in FOREIGN:
                continue
            if name not in known:
                missing.append(f"{where}: no {name}")
            for label, (operator, value) in wanted.items():
                # Which answers there were is the tests' matter.
                if label in ("job", "path", "status"):
                    continue
                if not any(re.fullmatch(value, labels.get(label, ""))
                           for labels in known.get(name, [])):
                    missing.append(f"{where}: no {name} with "
                                   f"{label}{operator}{value}")

    assert not missing, "\n".join(missing)


def test_every_metric_is_documented(scrapes):
    """docs/operations.md and docs/directives.md, in both directions."""

    have = set()
    for text in scrapes.values():
        have |= {name for name in families(text)
                 if name.startswith("millrace_")}
    documented = set()
    for path in OPERATIONS, os.path.join(REPO, "docs/directives.md"):
        with open(path) as file:
            documented |= set(re.findall(
                r"^\| `(millrace_(?:ingest|writer|stats|query|audit|log|build)"
                r"_[a-z_]+)` \|", file.read(), re.M))

    assert have - documented == set()
    # A counter of what never happened here need not be there.
    assert documented - have <= {"millrace_query_divided_total",
                                 "millrace_query_expired_total",
                                 "millrace_query_cancelled_total",
                                 "millrace_query_sketches_damaged_total",
                                 "millrace_query_too_slow_total"}


def test_counters_never_go_back(scrapes, stack):
    """And a daemon's own start is known, so that a restart can be seen."""

    for part in "writer", "stats", "query":
        values = dict(re.findall(r"^(process_[a-z_]+) (\S+)$",
                                 scrapes[part], re.M))
        assert abs(float(values["process_start_time_seconds"])
                   - time.time()) < 24 * 3600
        with open(f"/proc/{stack.pid(part)}/statm") as file:
            pages = int(file.read().split()[1])
        assert float(values["process_resident_memory_bytes"]) == \
            pytest.approx(pages * os.sysconf("SC_PAGESIZE"), rel=0.5)
        assert float(values["process_cpu_seconds_total"]) > 0


def test_rules():
    promtool("check", "rules", RULES)
    promtool("check", "config",
             os.path.join(REPO, "conf/prometheus/prometheus.yml"))
    promtool("test", "rules",
             os.path.join(REPO, "tests/prometheus/millrace.rules.test.yml"))


def test_every_rule_is_tested_and_explained():
    with open(RULES) as file:
        alerts = set(re.findall(r"- alert: (\S+)", file.read()))
    assert len(alerts) > 15
    with open(os.path.join(
            REPO, "tests/prometheus/millrace.rules.test.yml")) as file:
        tests = file.read()
    with open(OPERATIONS) as file:
        operations = file.read()
    for alert in alerts:
        assert f"name: {alert} fires" in tests
        assert f"name: {alert} is quiet" in tests
        assert f"| `{alert}` |" in operations


def test_lag_is_seen_while_mongodb_is_away(stack, sender, name):
    """A writer that cannot store still tells how much waits."""

    def lag():
        text = scrape(
            f"http://127.0.0.1:{stack.ports['writer_metrics']}/metrics")
        values = re.findall(r"^millrace_writer_lag_records\{.*\} (\S+)$",
                            text, re.M)
        return sum(float(value) for value in values)

    stack.settle()
    assert wait_until(lambda: lag() == 0, 30, "a lag of 0")
    stack.stop("mongod")
    now = int(time.time())
    sender.post([
        {"event_id": str(i), "user_id": name + str(i), "event_type": name,
         "timestamp": now} for i in range(50)])
    wait_until(lambda: lag() == 50, 60, "a lag of 50")
    stack.start("mongod")
    wait_until(lambda: lag() == 0, 90, "a lag of 0 again")


@pytest.mark.parametrize("kind", ["json", "logfmt"])
def test_structured_logs(stack, tmp_path, kind):
    """A line of a daemon that cannot start, as a collector reads it."""

    taken = stack.ports["writer_metrics"]
    conf = tmp_path / "millrace.conf"
    conf.write_text(f"[query]\nmetrics = 127.0.0.1:{taken}\n")
    done = subprocess.run(
        [os.path.join(stack.build, "millrace-query"), "-c", str(conf)],
        env=dict(os.environ, MILLRACE_LOG_FORMAT=kind), timeout=30,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    errors = []
    for line in lines:
        if kind == "json":
            entry = json.loads(line)
        else:
            pairs = re.fullmatch(
                r'time=(\S+) level=(\w+) program=(\S+)(?: \w+=\S+)* msg="(.*)"',
                line)
            assert pairs, line
            entry = dict(zip(("time", "level", "program", "message"),
                             pairs.groups()))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
                            entry["time"])
        assert entry["program"] == "millrace-query"
        if entry["level"] == "error":
            errors.append(entry["message"])
    assert any(f"127.0.0.1:{taken}" in error for error in errors), lines
