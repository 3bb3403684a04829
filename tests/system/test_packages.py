"""
The Debian packages: built, and then installed, configured, started, upgraded
and purged in a Debian 12 that has nothing else.
"""

import configparser
import glob
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import httpx
import pytest

from debianroot import REPO, DebianRoot

sys.path.insert(0, os.path.join(REPO, "tests/integration"))
from harness.waiting import wait_until  # noqa: E402

import stackconf  # noqa: E402

DAEMONS = "setup", "writer", "stats", "query"
MODULE = "libnginx-mod-http-millrace"
WORKERS = "millrace-workers"


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """
    {name: path}; the build runs lintian and fails on its errors.
    MILLRACE_PACKAGES names a directory that has them already.
    """

    out = os.environ.get("MILLRACE_PACKAGES")
    if out is None:
        out = str(tmp_path_factory.mktemp("packages") / "out")
        done = subprocess.run(
            ["scripts/packages", os.path.relpath(out, REPO)], cwd=REPO, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200)
        assert done.returncode == 0, done.stdout
        assert not re.search(r"^E: ", done.stdout, re.M)
    return {os.path.basename(path).split("_")[0]: path
            for path in glob.glob(out + "/*.deb")}


@pytest.fixture
def root(tmp_path):
    with DebianRoot("bookworm", tmp_path / "root") as root:
        yield root


def mode(root):
    """Who may read the configuration, in which passwords may stand."""

    return root.run("stat", "-c", "%U:%G:%a",
                    "/etc/millrace/millrace.conf").strip()


def exec_start(root, unit):
    """(command, user) of a unit's ExecStart, as systemd would run it."""

    text = root.read(f"/lib/systemd/system/{unit}")
    command = re.search(r"^ExecStart=(.*)$", text, re.M).group(1)
    user = re.search(r"^User=(.*)$", text, re.M).group(1)
    return shlex.split(command), user


def configure(root, servers):
    root.write("/etc/millrace/millrace.conf",
               stackconf.millrace(servers.ports, {}))
    site = root.read("/etc/nginx/sites-available/millrace")
    site = stackconf.replace(site, {
        "millrace_brokers 127.0.0.1:9092":
            f"millrace_brokers 127.0.0.1:{servers.ports['kafka']}",
        "server 127.0.0.1:8081":
            f"server 127.0.0.1:{servers.ports['query']}",
        "listen 127.0.0.1:8080":
            f"listen 127.0.0.1:{servers.ports['nginx']}",
    }, "the site")
    root.write("/etc/nginx/sites-available/millrace", site)
    os.symlink("../sites-available/millrace",
               root.path("/etc/nginx/sites-enabled/millrace"))
    os.unlink(root.path("/etc/nginx/sites-enabled/default"))


def start(root):
    """setup, then every daemon and nginx, by their units' own commands."""

    command, user = exec_start(root, "millrace-setup.service")
    root.run("chroot", f"--userspec={user}:{user}", "/", *command)
    children = {}
    for name in DAEMONS[1:]:
        command, user = exec_start(root, f"millrace-{name}.service")
        children[name] = root.start(*command, user=f"{user}:{user}")
    root.run("nginx", "-t")
    children["nginx"] = root.start(
        "/usr/sbin/nginx", "-g", "daemon off; master_process on;")
    return children


def stop(root, children):
    for name, child in children.items():
        how = signal.SIGQUIT if name == "nginx" else signal.SIGTERM
        assert root.stop(child, how) == 0, name


def post(url, n, user):
    now = int(time.time())
    events = [{"event_id": f"{user}-{i}", "user_id": user,
               "event_type": "packaged", "timestamp": now}
              for i in range(n)]
    answer = httpx.post(url + "/events", json=events, timeout=30)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"accepted": n}


def stored(url, user):
    answer = httpx.get(url + "/events", params={"user_id": user}, timeout=30)
    return len(answer.json()["events"]) if answer.status_code == 200 else None


def ready(url):
    try:
        return httpx.get(url + "/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def newer(package, directory):
    """The same package with a higher version."""

    tree = os.path.join(directory, "newer")
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = os.path.join(tree, "DEBIAN/control")
    with open(control) as file:
        text = file.read()
    text = re.sub(r"^Version: (.*)$", r"Version: \1+newer", text, flags=re.M)
    with open(control, "w") as file:
        file.write(text)
    path = os.path.join(directory, "newer-" + os.path.basename(package))
    subprocess.run(["dpkg-deb", "-b", tree, path], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["rm", "-r", tree], check=True)
    return path


def test_contents(packages):
    """What is where, and nothing that a system might not have is needed."""

    assert set(packages) >= {MODULE, WORKERS}

    def field(package, name):
        return subprocess.run(
            ["dpkg-deb", "-f", packages[package], name], text=True,
            check=True, stdout=subprocess.PIPE).stdout

    depends = field(MODULE, "Depends") + "," + field(WORKERS, "Depends")
    assert re.search(r"\bnginx-abi-1\.22\.1-\d+\b", field(MODULE, "Depends"))
    assert "yyjson" not in depends

    files = {}
    for name in MODULE, WORKERS:
        files[name] = subprocess.run(
            ["dpkg-deb", "-c", packages[name]], text=True, check=True,
            stdout=subprocess.PIPE).stdout
    for name in DAEMONS:
        assert f"./usr/bin/millrace-{name}\n" in files[WORKERS]
    for name in "audit", "erase":
        assert f"./usr/bin/millrace-{name}\n" in files[WORKERS]
        assert f"./usr/share/man/man8/millrace-{name}.8.gz\n" \
            in files[WORKERS]
    for name in DAEMONS:
        assert f"./lib/systemd/system/millrace-{name}.service\n" \
            in files[WORKERS]
        assert f"./usr/share/man/man8/millrace-{name}.8.gz\n" \
            in files[WORKERS]
    assert "./usr/share/nginx/modules-available/mod-http-millrace.conf" \
        in files[MODULE]


def test_units():
    """systemd takes them, and finds little that could still be forbidden."""

    directory = os.path.join(REPO, "conf/systemd")
    units = [os.path.join(directory, f"millrace-{name}.service")
             for name in (*DAEMONS, "audit")]
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25",
         *units], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_no_daemon_is_given_up():
    """A second apart, five starts would be all that systemd allows."""

    for name in DAEMONS:
        unit = configparser.ConfigParser(
            strict=False, interpolation=None)
        unit.read(os.path.join(
            REPO, f"conf/systemd/millrace-{name}.service"))
        restart = unit["Service"]["Restart"]
        pause = int(unit["Service"]["RestartSec"])
        limit = unit["Unit"].get("StartLimitIntervalSec", "10")
        assert restart in ("always", "on-failure"), name
        assert limit == "0" or 5 * pause > int(limit), name


@pytest.mark.parametrize("ends, verdict", [
    ("exit 0", "new"), ("exit 1", "new"),  # balanced, and not
    ("exit 2", "old"), ("exit 127", "old"), ("kill -SEGV $$", "old"),
    ("kill -TERM $$", "old"), ("kill -KILL $$", "old"),
])
def test_the_last_verdict_stays_until_there_is_another(ends, verdict,
                                                       tmp_path):
    """What the audit's unit does when millrace-audit ends so."""

    with open(os.path.join(
            REPO, "conf/systemd/millrace-audit.service")) as file:
        text = file.read().replace("\\\n", " ")
    shell, flag, script = shlex.split(
        re.search(r"^ExecStart=(.*)$", text, re.M).group(1))
    assert (shell, flag) == ("/bin/sh", "-c")
    audit = tmp_path / "audit"
    audit.write_text(f"#!/bin/sh\necho new\n{ends}\n")
    audit.chmod(0o755)
    (tmp_path / "audit.prom").write_text("old\n")

    script = script.replace("$$", "$").replace(
        "/usr/bin/millrace-audit", str(audit))
    done = subprocess.run([shell, flag, script], cwd=tmp_path,
                          stderr=subprocess.DEVNULL)
    assert (tmp_path / "audit.prom").read_text() == verdict + "\n"
    assert (done.returncode == 0) == (ends == "exit 0")


def test_life(packages, root, servers, tmp_path):
    """Installed, started, upgraded while it runs, removed and purged."""

    for path in packages.values():
        root.copy(path, "/tmp/")
    mine = [f"/tmp/{os.path.basename(packages[name])}"
            for name in (MODULE, WORKERS)]
    root.install("nginx", "man-db", "systemd", *mine)

    # The module is on, and nothing of ours is.
    assert root.exists(
        "/etc/nginx/modules-enabled/50-mod-http-millrace.conf")
    root.run("nginx", "-t")
    assert "millrace" in root.run("id", "millrace")
    assert mode(root) == "root:millrace:640"
    assert not glob.glob(root.path(
        "/etc/systemd/system/*.target.wants/millrace-*"))
    units = [f"millrace-{name}.service" for name in (*DAEMONS, "audit")]
    units.append("millrace-audit.timer")
    verified = root.run("systemd-analyze", "verify", "nginx.service", *units)
    assert "millrace" not in verified, verified
    for name in DAEMONS:
        root.run("man", "-w", f"millrace-{name}")
        assert root.run(f"millrace-{name}", "-V").startswith(
            f"millrace-{name} ")
    assert "Recommends" not in root.run("dpkg", "--audit")

    configure(root, servers)
    children = start(root)
    url = servers.url
    wait_until(lambda: ready(url), 60, "/readyz")
    post(url, 100, "before")
    wait_until(lambda: stored(url, "before") == 100, 60, "100 events")
    assert "Millrace" in httpx.get(url + "/").text
    for path in ("/openapi.yaml", "/docs", "/lib/uplot/uPlot.min.css",
                 "/lib/swagger-ui/swagger-ui.css"):
        assert httpx.get(url + path).status_code == 200, path
    assert "millrace_ingest_events_total" in httpx.get(url + "/metrics").text

    # Upgraded under the running daemons, then restarted as systemd would.
    upgrades = [newer(packages[name], str(tmp_path))
                for name in (MODULE, WORKERS)]
    for path in upgrades:
        root.copy(path, "/tmp/")
    post(url, 50, "across")
    # As 0.1.0 left it.
    root.run("chown", "root:root", "/etc/millrace/millrace.conf")
    root.run("chmod", "644", "/etc/millrace/millrace.conf")
    root.install(*(f"/tmp/{os.path.basename(path)}" for path in upgrades))
    assert "+newer" in root.run("dpkg-query", "-W", WORKERS)
    assert mode(root) == "root:millrace:640"
    stop(root, children)
    # What was configured is still there.
    assert str(servers.ports["kafka"]) in root.read(
        "/etc/millrace/millrace.conf")
    children = start(root)
    wait_until(lambda: ready(url), 60, "/readyz after the upgrade")
    post(url, 10, "after")
    for user, n in ("before", 100), ("across", 50), ("after", 10):
        wait_until(lambda: stored(url, user) == n, 60, f"{n} of {user}")
    stop(root, children)

    # nginx works without the module, whose site comes back with it.
    enabled = root.path("/etc/nginx/sites-enabled/millrace")
    root.run("apt-get", "remove", "-y", MODULE, WORKERS)
    root.run("nginx", "-t")
    assert not os.path.lexists(enabled)
    assert root.exists("/etc/millrace/millrace.conf")
    root.install(*(f"/tmp/{os.path.basename(path)}" for path in upgrades))
    root.run("nginx", "-t")
    assert os.readlink(enabled) == "../sites-available/millrace"
    # An operator's own site is the operator's.
    os.rename(enabled, root.path("/tmp/own"))
    os.symlink("/dev/null", enabled)
    root.run("apt-get", "remove", "-y", MODULE)
    assert os.readlink(enabled) == "/dev/null"
    os.unlink(enabled)
    os.rename(root.path("/tmp/own"), enabled)

    # A purge leaves nothing.
    # As systemd makes it for the audit.
    root.run("install", "-d", "-o", "millrace", "/var/lib/millrace-audit")
    root.run("apt-get", "purge", "-y", MODULE, WORKERS)
    left = [path for path in (
        "/etc/millrace", "/etc/nginx/sites-available/millrace",
        "/etc/nginx/sites-available/millrace.removed",
        "/var/lib/millrace-audit",
        "/etc/nginx/modules-enabled/50-mod-http-millrace.conf",
        "/usr/share/millrace", "/usr/bin/millrace-writer",
        "/lib/systemd/system/millrace-writer.service")
        if root.exists(path)]
    assert left == []
    assert not os.path.lexists(enabled)
    root.run("nginx", "-t")
    assert "millrace" not in root.read("/etc/passwd")
