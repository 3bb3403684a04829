"""The commands of the documents, run as they stand there."""

import os
import re
import time

import httpx
import pytest

from harness.document import matches, run, steps
from harness.pipeline import REPO, Pipeline

BUILD = os.environ.get("MILLRACE_BUILD", "build")
ADDRESS = "http://127.0.0.1:8080"


def document(name):
    with open(os.path.join(REPO, name), encoding="utf-8") as f:
        return f.read()


@pytest.mark.parametrize("shown, printed, same", [
    ("a\n", "a", True), ("a\n", "b", False), ("a\n", "a\nb", False),
    ("a...c\n", "a b\nb c", True), ("a...c\n", "a b", False),
    ("a.c\n", "abc", False), ("", "a", False), ("a\n", "", False),
])
def test_what_counts_as_the_same(shown, printed, same):
    assert matches(shown, printed) is same


def test_commands_are_found():
    found = steps("x\n```console\n$ a\n> b\nout\n$ c\n```\n```sh\n$ d\n```\n")
    assert [(s.command, s.output, s.line) for s in found] == [
        ("a\nb", "out\n", 3), ("c", "", 6)]


def shown(step, stack, directory):
    """What a command prints; one that only reads is given some time."""

    command = step.command.replace(ADDRESS, stack.url)
    reads = re.fullmatch(r"curl -s '[^']*'( \|\s+python3 -c '[^']*')?",
                         command)
    end = time.monotonic() + 30
    while True:
        printed = run(command, directory, os.environ)
        if (matches(step.output, printed) or not reads
                or time.monotonic() > end):
            return printed
        time.sleep(0.2)


@pytest.mark.slow
def test_the_tour_of_the_interface(tmp_path):
    """docs/api.md from its beginning to its end, on a fresh pipeline."""

    text = document("docs/api.md")
    found = steps(text)
    assert len(found) == len(re.findall(r"^\$ ", text, re.M)) > 20
    with Pipeline(tmp_path / "stack", build=BUILD) as stack:
        stack.start()
        assert httpx.get(stack.url + "/readyz").status_code == 200
        for step in found:
            printed = shown(step, stack, tmp_path)
            assert matches(step.output, printed), (
                f"docs/api.md:{step.line}: {step.command}\nshows "
                f"{step.output}\nprinted {printed}")
        assert stack.problems() == []
