"""
Tests of what is delivered: packages, image, other versions of nginx, the
commands in the documents.  All are slow; `make test-all` runs them.
"""

import os
import sys

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "scripts"))

import stack as processes  # noqa: E402


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.slow)


@pytest.fixture
def servers(tmp_path):
    """Kafka and mongod on free ports, and ports for the rest."""

    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    with processes.Stack(tmp_path / "stack") as stack:
        stack.start("kafka", "mongod")
        yield stack
