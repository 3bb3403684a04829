"""
The commands in the documents.  A block that begins with ```sh run is run, all
of a document's in their order, as somebody would who has just said `make up`:
programs are found, and default addresses and paths are those of a stack of
the test's own.  <!-- prints: text --> lines ahead of a block say what its
output must hold, in any order.
"""

import os
import re
import subprocess
import sys

import pytest

from debianroot import REPO

sys.path.insert(0, os.path.join(REPO, "scripts"))
sys.path.insert(0, os.path.join(REPO, "tests/integration"))

import stack as processes  # noqa: E402
import stackconf  # noqa: E402
from harness.waiting import wait_until  # noqa: E402

BLOCK = re.compile(
    r"((?:^<!-- prints: [^\n]* -->\n)*)^```sh run\n(.*?)^```$", re.M | re.S)


def blocks():
    """[(path, [(script, [what it prints])])]"""

    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=REPO, check=True, text=True,
        stdout=subprocess.PIPE).stdout.split()
    found = []
    for path in listed:
        with open(os.path.join(REPO, path)) as file:
            text = file.read()
        scripts = [(script, re.findall(r"prints: (.*) -->", prints))
                   for prints, script in BLOCK.findall(text)]
        assert len(scripts) == text.count("```sh run\n"), path
        if scripts:
            found.append((path, scripts))
    return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with processes.Stack(tmp_path_factory.mktemp("docs")) as stack:
        stack.start()
        yield stack


def adapted(script, stack):
    """The script with this stack's addresses and paths."""

    for name, (_, port) in stackconf.PORTS.items():
        script = script.replace(f"127.0.0.1:{port}",
                                f"127.0.0.1:{stack.ports[name]}")
    return script.replace("/etc/millrace/millrace.conf", stack.conf)


def test_there_are_some():
    assert {path for path, _ in blocks()} >= {"README.md",
                                              "docs/operations.md"}


@pytest.mark.parametrize("path, scripts", blocks(),
                         ids=[path for path, _ in blocks()])
def test_commands(path, scripts, stack):
    environment = dict(
        os.environ, PATH=stack.build + ":" + os.environ["PATH"],
        CURL_HOME=stack.directory)
    # A command that is answered with an error has failed.
    with open(os.path.join(stack.directory, ".curlrc"), "w") as file:
        file.write("silent\nshow-error\nfail-with-body\n")

    for script, prints in scripts:
        said = ""

        # What was sent a moment ago is readable a moment later.
        def good():
            nonlocal said
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", adapted(script, stack)],
                cwd=REPO, env=environment, text=True, timeout=300,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT)
            said = done.stdout
            assert done.returncode == 0, f"{path}:\n{script}\n{said}"
            return all(text in said for text in prints)

        wait_until(good, 30, lambda: (
            f"{path}:\n{script}\nprints {prints}; it was:\n{said}"))
