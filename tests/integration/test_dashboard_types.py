"""
The dashboard with more event types than it can ask for one by one.  On a
pipeline of its own: for a minute every page is refused the types, and audits
ask for each type's share of each day.
"""

import re
import time

import pytest
from playwright.sync_api import expect

from conftest import BUILD
from harness.pipeline import Pipeline
from harness.sender import SentLog
from test_dashboard import browser, tab  # noqa: F401


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    stack = Pipeline(tmp_path_factory.mktemp("many-types"), build=BUILD)
    try:
        stack.start()
        yield stack
        problems = stack.finish()
        assert not problems, "\n".join(problems)
    finally:
        stack.close()


@pytest.fixture(scope="module")
def log():
    return SentLog()


def test_the_rate_of_very_many_types(sender, stack, tab, name):
    """Asked for in a sum, while the stream has them one by one."""

    one = tab()
    page = one.open(range="5m")
    expect(page.locator("#parts")).to_contain_text("the live stream")
    second = int(time.time()) - 20
    sender.deliver([{"event_id": f"{name}{i}", "user_id": name,
                     "event_type": f"{name}{i % 200}",
                     "timestamp": second + i % 10} for i in range(4000)])
    stack.settle()

    def is_sum(response):
        return ("time_interval=1s" in response.url
                and "group_by" not in response.url)

    for _ in range(2):  # by the second answer the first has been drawn
        with page.expect_response(is_sum) as asked:
            page.evaluate("document.dispatchEvent("
                          "new Event('visibilitychange'))")
        series = asked.value.json()["series"]
    highest = max(point["count"] for point in series)
    assert highest >= 400
    expect(page.locator("#tile-rate svg")).to_have_attribute(
        "aria-label", re.compile(f", 0 to {highest}$"))
    page.close()  # it would go on asking
    one.forgive("status of 400")
