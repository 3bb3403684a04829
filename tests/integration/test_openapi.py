"""
docs/openapi.yaml is a valid description, and what runs answers as it says:
schemathesis makes requests of it, right and wrong ones, and judges every
answer by its status, media type, headers and schema.
"""

import os
import re

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    positive_data_acceptance, unsupported_method)

REPO = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
YAML = os.path.join(REPO, "docs", "openapi.yaml")

# What is asked of millrace-query; POST /events has tests of its own, and
# what it stores would have to be noted for the audits.
READ = ["/events", "/stats", "/healthz", "/readyz", "/readyz/ingest",
        "/readyz/query"]

with open(YAML) as f:
    document = yaml.safe_load(f)

# A schema cannot say that from is not after to, that event_id needs user_id,
# that a cursor is one that was given out, or what a width has kept.  TRACE is
# refused by nginx itself, without Allow; test_methods.py tries the others.
UNSAID = [positive_data_acceptance, unsupported_method]

schema = schemathesis.openapi.from_dict(document)
reads = schema.include(method="GET", path=READ)


def test_the_description_is_valid():
    validate(document)


def test_it_describes_every_path():
    """Of nginx's configuration and of the daemon, but pages for people."""

    with open(os.path.join(REPO, "conf/nginx.conf")) as f:
        blocks = re.findall(r"^        location = (/\S+) {(.*?)^        }",
                            f.read(), re.M | re.S)
    paths = {path for path, block in blocks if "internal;" not in block
             and not path.startswith("/docs")}
    with open(os.path.join(REPO, "workers/query/route.c")) as f:
        paths |= set(re.findall(r'^    {"(/\S+)", ', f.read(), re.M))
    assert {"/events", "/stats/stream", "/metrics"} <= paths
    assert paths == set(document["paths"])
    assert set(READ) <= paths


def test_it_describes_what_asking_mongodb_can_end_with():
    """503 while it is away, and 500 where what it has is damaged."""

    with open(os.path.join(REPO, "workers/query/route.c")) as f:
        paths = re.findall(r'^    {"(/\S+)", "[^"]*", 1, ', f.read(), re.M)
    assert {"/events", "/stats"} <= set(paths)
    for path in paths:
        answers = document["paths"][path]["get"]["responses"]
        assert {"400", "405", "500", "503"} <= set(answers), path


def bounded(examples):
    return settings(max_examples=examples, deadline=None, database=None,
                    derandomize=True, phases=[Phase.explicit, Phase.generate],
                    suppress_health_check=list(HealthCheck))


@reads.parametrize()
@bounded(25)
def test_answers_are_as_described(case, stack):
    case.call_and_validate(base_url=stack.url, timeout=30,
                           excluded_checks=UNSAID)


@pytest.mark.slow
@reads.parametrize()
@bounded(2000)
def test_many_answers_are_as_described(case, stack):
    case.call_and_validate(base_url=stack.url, timeout=30,
                           excluded_checks=UNSAID)
