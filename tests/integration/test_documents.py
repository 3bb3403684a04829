"""What the documents say of the code, where a program can tell."""

import os
import re
import subprocess

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.join(REPO, os.environ.get("MILLRACE_BUILD", "build"))
DAEMONS = "setup", "writer", "stats", "query", "audit", "erase"


def read(path):
    with open(os.path.join(REPO, path)) as file:
        return file.read()


def output(daemon, *arguments):
    return subprocess.run(
        [os.path.join(BUILD, f"millrace-{daemon}"), *arguments], text=True,
        stdout=subprocess.PIPE, check=True, timeout=30).stdout


def documents():
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPO, check=True, text=True,
        stdout=subprocess.PIPE).stdout.split()
    return [path for path in listed if os.path.exists(
        os.path.join(REPO, path))]


def anchors(text):
    """As GitHub makes them of headings."""

    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-"))
    return found


def test_configuration_is_what_the_code_says():
    """If not: make docs."""

    assert read("docs/configuration.md").partition(
        "<!-- generated -->\n\n")[2] == output("writer", "--document")


def test_configuration_file_has_every_key():
    text = read("conf/millrace.conf")
    section = None
    for line in output("writer", "--document").splitlines():
        header = re.match(r"## \[(\w+)\]", line)
        if header:
            section = header.group(1)
        row = re.match(r"\| `(\w+)` \| `(.*?)` \|", line)
        if row:
            part = text.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
            assert f"\n{row.group(1)} = {row.group(2)}\n" in part, row.group()


@pytest.mark.parametrize("text, message", [
    ("[mongodb]\npool = 8\n[writer]\nthreads = 8\n",
     "[mongodb] pool is 8: the writer needs at least 9"),
    ("[kafka]\nheartbeat.interval.ms = 10000\n",
     "(10000) must be less than session.timeout.ms (10000)"),
    ("[kafka]\nsession.timeout.ms = 2000\n", "heartbeat.interval.ms (2000)"),
    ("[kafka]\nsession.timeout.ms = 45000\nheartbeat.interval.ms = 10000\n",
     "the configuration is good"),
])
def test_what_the_check_takes_the_writer_runs_with(text, message, tmp_path):
    """`-t` tells of what would end the writer, or keep it from its work."""

    conf = tmp_path / "millrace.conf"
    conf.write_text(text)
    done = subprocess.run(
        [os.path.join(BUILD, "millrace-writer"), "-t", "-c", conf], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    assert message in done.stdout
    assert (done.returncode == 0) == ("good" in message)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_manual_has_every_option(daemon):
    """And the manual is good for man."""

    page = f"docs/man/millrace-{daemon}.8"
    text = read(page).replace("\\-", "-")
    options = set(re.findall(r"--[a-z-]+", output(daemon, "-h")))
    assert len(options) >= 4
    assert options <= set(re.findall(r"--[a-z-]+", text)), options


@pytest.mark.parametrize("path", documents())
def test_links_lead_somewhere(path):
    """Files, and headings in them; addresses are not asked for."""

    text = re.sub(r"```.*?```", "", read(path), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(
            REPO, os.path.dirname(path), name)) if name else \
            os.path.join(REPO, path)
        assert os.path.exists(file), f"{path}: {target}"
        if anchor and file.endswith(".md"):
            assert anchor in anchors(read(file)), f"{path}: {target}"


@pytest.mark.parametrize("index, pattern", [
    ("docs/README.md", r"docs/[^/]+\.(md|yaml)"),
    ("docs/decisions/README.md", r"docs/decisions/[^/]+\.md"),
])
def test_every_document_is_listed(index, pattern):
    folder = os.path.dirname(index)
    there = {os.path.join(folder, name)
             for name in os.listdir(os.path.join(REPO, folder))}
    there = {path for path in there if re.fullmatch(pattern, path)} - {index}
    listed = {os.path.normpath(os.path.join(folder, name)) for name in
              re.findall(r"\]\(([^)#\s]+)\)", read(index))}
    assert len(there) > 10
    assert not there - listed
