"""The scripts themselves: what they do when something is not as it should be."""

import contextlib
import http.client
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import types

import pytest

from harness.pipeline import REPO
from harness.waiting import wait_until

import feed
import process
import run as demonstration
import stack


def stub(path, text):
    """A program that stands for another one."""

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def run(*command, **options):
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        **options)


def copied(tmp_path, *names):
    """A tree that has only these scripts in it."""

    for name in names:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(open(os.path.join(REPO, name), "rb").read())
        path.chmod(0o755)
    return tmp_path / "tree"


def no_room():
    """Files can be made, but nothing written to them: a disk that is full."""

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def no_room_for_results():
    """A short line fits, and a step's result does not."""

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (14, 14))


@pytest.mark.parametrize("make, disk, status", [
    ("exit 0", None, 0),
    ("case $* in *fuzz*) exit 1;; esac", None, 1),
    ("case $* in *lint*) exit 1;; esac", None, 1),
    ("exit 0", no_room, 1),
    ("exit 0", no_room_for_results, 1),
], ids=["all is well", "a part fails", "a step fails", "no room", "no results"])
def test_make_test_succeeds_only_if_all_was_run(tmp_path, make, disk, status):
    tree = copied(tmp_path, "scripts/test")
    stub(tmp_path / "bin/make", make + "\n")
    stub(tree / ".cache/venv/bin/python", "exit 0\n")
    done = run("scripts/test", cwd=tree, preexec_fn=disk, env={
        **os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert done.returncode == status, done.stdout
    assert ("FAILED" in done.stdout) == (status != 0), done.stdout
    if disk is None:
        begun = re.findall(r"^== ([^:\n]*)$", done.stdout, re.M)[:-1]
        ended = re.findall(r"^(.*): (?:ok|FAILED), ", done.stdout, re.M)
        assert len(begun) > 10 and sorted(begun) == sorted(ended), done.stdout


def test_make_test_fails_where_it_cannot_keep_its_logs(tmp_path):
    tree = copied(tmp_path, "scripts/test")
    (tree / "build").write_text("no directory\n")
    assert run("scripts/test", cwd=tree).returncode == 1


@pytest.mark.parametrize("counted, others, said", [
    (100, 0, None), (100, 1, "1 more"), (103, 1, "4 more"), (99, 1, "wrong")])
def test_events_of_others_in_the_live_minute(monkeypatch, capsys, counted,
                                             others, said):
    """They are told of; an event of its own that is missing is an error."""

    totals = {True: [7, 7 + counted], False: [9, 9 + counted + others]}

    def get(_stack, path, **parameters):
        assert path == "/stats"
        if "time_interval" in parameters:
            return {"series": []}
        own = parameters.get("event_type") == feed.TYPES
        return {"total": {"count": totals[own].pop(0)}}

    def live(sender, traffic, *_):
        sender.accepted = 101
        traffic.distinct, traffic.repeats = 100, 1

    up = types.SimpleNamespace(url="http://127.0.0.1:1")
    monkeypatch.setattr(demonstration, "get", get)
    monkeypatch.setattr(demonstration, "wait_counted", lambda *_: None)
    monkeypatch.setattr(feed, "live", live)
    if said == "wrong":
        with pytest.raises(demonstration.Wrong, match="100 different"):
            demonstration.live_minute(up)
    else:
        demonstration.live_minute(up)
        printed = capsys.readouterr().out
        assert (said or "") in printed
        assert ("more came" in printed) == (said is not None)


def test_packages_removes_nothing_but_packages(tmp_path):
    """Of the directory that it is given, which may be anybody's."""

    tree = copied(tmp_path, "scripts/packages")
    for name in ("yyjson", "web"):
        (tree / ".cache" / name).mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    subprocess.run(["git", "add", "scripts"], cwd=tree, check=True)
    stub(tmp_path / "bin/dh_nginx", "exit 0\n")
    stub(tmp_path / "bin/lintian", "exit 0\n")
    stub(tmp_path / "bin/dpkg-buildpackage",
         "test -x scripts/packages && touch ../new.deb ../new.changes\n")

    home = tmp_path / "home"
    for name in ("letters/one", "notes.txt", "old.deb", "old.changes"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("mine\n")
    done = run("scripts/packages", str(home), cwd=tree, env={
        **os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    assert {path.name for path in home.iterdir()} == {
        "letters", "notes.txt", "new.deb", "new.changes", "build.log"}
    assert (home / "letters/one").read_text() == "mine\n"
    assert not list(tmp_path.glob("tmp.*"))


def test_ctrl_c_ends_maven_as_well(tmp_path):
    tree = copied(tmp_path, "scripts/install", "scripts/web/sha256sums")
    for name in ("web/.sha256sums", "yyjson/yyjson.c", "mongod/mongod"):
        (tree / ".cache" / name).parent.mkdir(parents=True)
    (tree / ".cache/yyjson/yyjson.c").touch()
    shutil.copy(tree / "scripts/web/sha256sums", tree / ".cache/web/.sha256sums")
    shutil.copy("/bin/true", tree / ".cache/mongod/mongod")
    stub(tmp_path / "bin/dpkg-query", "printf installed\n")
    stub(tmp_path / "bin/java", "exit 0\n")
    started = tmp_path / "started"
    stub(tmp_path / "bin/mvn", f"echo $$ > {started}\nexec sleep 60\n")

    child = subprocess.Popen(
        ["scripts/install", "run"], cwd=tree, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={
            **os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        wait_until(lambda: started.exists() and started.read_text(), 20,
                   "Maven's start")
        maven = int(started.read_text())
        os.killpg(child.pid, signal.SIGINT)
        child.wait(20)
        wait_until(lambda: not process.alive(maven), 5, "Maven's end")
        assert {path.name for path in (tree / ".cache").iterdir()} == {
            "web", "yyjson", "mongod"}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@pytest.mark.parametrize("tree, build", [
    ("a tree", "build"), ("tree", "a build"), ("tree", "../a\tbuild")])
def test_white_space_that_nginx_cannot_take(tmp_path, tree, build):
    """Said at once, instead of what configure makes of it."""

    (tmp_path / tree).mkdir()
    copied(tmp_path, "scripts/build-module")
    if tree != "tree":
        (tmp_path / "tree/scripts").rename(tmp_path / tree / "scripts")
    (tmp_path / "nginx").mkdir()
    (tmp_path / "nginx/conf_flags").write_text("NGX_CONF_FLAGS=()\n")
    done = run("scripts/build-module", build, cwd=tmp_path / tree, env={
        **os.environ, "NGINX_SRC": str(tmp_path / "nginx")})
    assert done.returncode == 1
    assert "cannot take a path with white space" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert not (tmp_path / tree / build).exists()


@pytest.mark.parametrize("command, environment, said", [
    (["scripts/run.py"], {"NGINX_PORT": "abc"},
     "run: NGINX_PORT=abc: a port is 1 to 65535"),
    (["scripts/run.py"], {"MONGOD_CACHE_GB": "much"},
     "run: MONGOD_CACHE_GB=much: a number of GB, as in 0.5"),
    (["scripts/stack.py", "up"], {"MONGOD_CACHE_GB": "much"},
     "stack: MONGOD_CACHE_GB=much: a number of GB, as in 0.5"),
    *((["scripts/feed.py", "--url", url], {},
       f"feed: {url}: a URL is like http://127.0.0.1:8080 or "
       "https://events.example")
      for url in ("localhost:18099", "", "http://:1", "http://a:b",
                  "http://a:70000", "ftp://a", "http://[::1")),
], ids=str)
def test_a_sentence_and_no_traceback(tmp_path, command, environment, said):
    done = run(os.path.join(REPO, command[0]), *command[1:], cwd=tmp_path,
               env={**os.environ, **environment})
    assert (done.returncode, done.stdout) == (1, said + "\n")


def test_the_feed_sends_nothing_in_the_clear_that_is_to_be_encrypted():
    with contextlib.closing(feed.Sender("https://events.example")) as sender:
        assert isinstance(sender.connection, http.client.HTTPSConnection)
        assert sender.connection.port == 443


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("directory", ["run", "elsewhere"])
def test_up_that_is_interrupted_says_what_goes_on(
        tmp_path, monkeypatch, capsys, directory, started):
    def start(self):
        if started:
            with open(self.path("kafka.pid"), "w") as f:
                f.write(f"{os.getpid()}\n")
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stack.Stack, "start", start)
    monkeypatch.setattr(stack, "working_directory",
                        lambda _: str(tmp_path / directory))
    monkeypatch.setattr(sys, "argv", ["stack.py", "-d", directory, "up"])
    assert stack.main() == 130
    printed = capsys.readouterr().err
    assert printed.startswith("stack: interrupted")
    down = {"run": "make down",
            "elsewhere": "scripts/stack.py -d elsewhere down"}[directory]
    assert (f"goes on: {down} ends it\n" in printed) == started


@pytest.mark.parametrize("action, said", [
    (["status"], "nginx            down\n"), (["down"], ""),
    (["stop", "writer"], ""), (["kill", "kafka"], "")], ids=str)
def test_where_nothing_ever_ran_nothing_is_made(tmp_path, action, said):
    done = run(os.path.join(REPO, "scripts/stack.py"), *action, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.endswith(said), done.stdout
    assert list(tmp_path.iterdir()) == []


def test_targets_that_are_named_are_there():
    targets = set(re.findall(r"^([a-z0-9 -]+):(?!=)", "\n".join(
        open(os.path.join(REPO, name)).read()
        for name in ("Makefile", "loadtest/loadtest.mk")), re.M))
    targets = {word for line in targets for word in line.split()}
    named = {}
    for name in os.listdir(os.path.join(REPO, "scripts")):
        path = os.path.join(REPO, "scripts", name)
        if os.path.isfile(path):
            text = open(path).read()
            for target in re.findall(r": make ([a-z-]+)[\"']", text):
                named.setdefault(target, []).append(name)
    assert "deps" in named
    assert {target: files for target, files in named.items()
            if target not in targets} == {}
