"""The dashboard and /docs in Chromium, on the running system."""

import json
import re
import time

import httpx
import pytest
from playwright.sync_api import Error, expect

from harness.answers import await_events, read_events
from harness.browser import PATIENCE, Tab, chromium
from harness.waiting import wait_until

expect.set_options(timeout=PATIENCE)

# A quiet hour some days ago, from 05:00 UTC: minutes are kept for 35 days.
START = int(time.time()) // 86400 * 86400 - 11 * 86400 + 5 * 3600
DAY = time.strftime("%Y-%m-%d", time.gmtime(START))
VIEW = {"range": "custom", "from": START, "to": START + 3600, "zone": "utc"}

# What a sender may put into its events.
HOSTILE = [
    "<img src=x onerror=\"window.pwned='img'\">",
    "<script>window.pwned='script'</script>",
    "\"><svg/onload=window.pwned='svg'>",
    "javascript:window.pwned='url'",
    "‮txt.exe‬",                       # right to left
    "pay​pal⁠﻿",                  # zero width
    "{{7*7}} ${7*7} %s &lt;b&gt; \\u003cb\\u003e",
    "𝕳" * 12 + "ß" * 3 + "🏴‍☠️",
]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser, stack):
    """A function that makes tabs, which must not have complained."""

    tabs = []

    def make(**options):
        tabs.append(Tab(browser, stack.url, **options))
        return tabs[-1]

    yield make
    complaints = []
    for one in tabs:
        complaints += one.complaints
        one.close()
    assert complaints == []


@pytest.fixture(scope="module")
def memory():
    return {}


@pytest.fixture
def stored(memory, sender, client, name):
    """{"types", "events"}: 300 events of three types within the hour."""

    if not memory:
        types = [name + letter for letter in "abc"]
        events = [{"event_id": f"{name}{i:03}", "user_id": f"{name}u{i % 40}",
                   "event_type": types[min(i % 6, 2)],
                   "timestamp": START + i * 12 + i / 1000,
                   "metadata": {"value": i / 4, "i": i}}
                  for i in range(300)]
        sender.deliver(events)
        await_events(client, len(events), event_type=types)
        memory.update(types=types, events=events)
        await_counted(client, len(events), types)
    return memory


def await_counted(client, n, types):
    wait_until(lambda: stats(client, types)["total"]["count"] == n, 20,
               f"{n} events of {types} in GET /stats")


def stats(client, types, **more):
    answer = client.get("/stats", params={
        "event_type": types, "from": START, "to": START + 3600,
        "time_interval": "1m", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def figure(page, tile):
    return page.locator(f"#tile-{tile} .figure")


def ids_of(page):
    return page.locator("#events tbody td.id").all_inner_texts()


def number(text):
    return float(text.replace(",", ""))


def test_the_figures_are_those_of_stats(stored, client, tab):
    types = stored["types"]
    page = tab().open(type=types, **VIEW)
    expect(figure(page, "events")).to_have_text("300")

    total = stats(client, types)["total"]
    assert number(figure(page, "measure").inner_text()) == pytest.approx(
        total["average"], abs=0.00501)
    expect(page.locator("#tile-measure .note")).to_have_text(
        "average of 300")
    users = figure(page, "users").inner_text()
    assert users == ("–" if total["unique_users"] is None
                     else str(total["unique_users"]))
    for row, name in enumerate(("p50", "p95", "p99")):
        shown = page.locator("#tile-measure dd").nth(row).inner_text()
        assert shown == "–" if total[name] is None else \
            number(shown) == pytest.approx(total[name], rel=0.001)

    for name in types:
        row = page.locator("#types tbody tr", has_text=name)
        expect(row.locator("td").first).to_have_text(
            str(stats(client, [name])["total"]["count"]))


def test_the_chart_shows_what_was_sent(stored, client, tab):
    types = stored["types"]
    page = tab().open(type=types, **VIEW)
    expect(page.locator("#chart canvas")).to_be_visible()
    assert page.evaluate(
        """() => { const canvas = document.querySelector("#chart canvas");
            const data = canvas.getContext("2d").getImageData(0, 0,
                canvas.width, canvas.height).data;
            const colors = new Map();
            for (let i = 0; i < data.length; i += 4) {
                if (data[i + 3] === 255) {
                    const key = data.slice(i, i + 3).join();
                    colors.set(key, (colors.get(key) ?? 0) + 1);
                }
            }
            return [...colors.values()].filter((n) => n > 500).length; }
        """) >= 3, "three types have three colors"

    page.get_by_role("button", name="As a table").click()
    head = page.locator("#chart thead th").all_inner_texts()[1:]
    assert sorted(head) == types
    rows = page.locator("#chart tbody tr").all_inner_texts()
    assert len(rows) == 60
    shown = {}
    for row in rows:
        start, *counts = row.split("\t")
        shown[start] = dict(zip(head, map(number, counts)))
    want = {}
    for point in stats(client, types, group_by="event_type")["series"]:
        minute = point["start"] % 3600 // 60
        want.setdefault(f"{DAY} 05:{minute:02}", {})[
            point["event_type"]] = point["count"]
    assert shown == want


def test_sums_below_zero(sender, client, tab, name):
    """They hang from the zero line, and count in what is told."""

    values = {name + "a": 100, name + "b": 50, name + "c": -30}
    # An hour of its own: types of other tests would take the colors.
    hour = {"from": START - 7200, "to": START - 3600}
    sender.deliver([{"event_id": kind, "user_id": name, "event_type": kind,
                     "timestamp": START - 6600, "metadata": {"value": value}}
                    for kind, value in values.items()])
    wait_until(lambda: stats(client, list(values), **hour)["total"]["count"]
               == 3, 20, "the events in GET /stats")
    page = tab().open(type=list(values), show="sum", **{**VIEW, **hour})
    expect(page.locator("#chart canvas")).to_be_visible()
    page.locator("#chart").focus()
    page.keyboard.press("Home")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#chart-readout")).to_have_text(re.compile(
        f"{DAY} 03:10, .*a 100, .*b 50, .*c -30, Together 120"))
    lowest = page.evaluate(
        """() => { const canvas = document.querySelector("#chart canvas");
            const {width, height} = canvas;
            const data = canvas.getContext("2d").getImageData(0, 0,
                width, height).data;
            return ["42,120,214", "237,161,0"].map((color) => {
                let last = null;
                for (let i = 0; i < data.length; i += 4) {
                    if (data.slice(i, i + 3).join() === color) {
                        last = Math.floor(i / 4 / width);
                    }
                }
                return last; }); }""")
    assert None not in lowest and lowest[1] > lowest[0] + 20, lowest


def test_each_type_has_a_color_of_its_own(stored, tab):
    """Also when none of those before is there any more."""

    page = tab().open(type=stored["types"], **VIEW)
    expect(page.locator("#chart canvas")).to_be_visible()
    before, kept, after = page.evaluate("""async () => {
        const {assign, colorOf} = await import("/js/colors.js");
        const colors = (names) => {
            assign([...names]);
            return [...names].map(colorOf);
        };
        return [colors("abcdef"), colors("cx"), colors("tuvwxyc")]; }""")
    assert len(set(before)) == 6
    assert kept[0] == before[2]
    assert len(set(after)) == 7
    assert after[6] == before[2] and after[4] == kept[1]


def test_choosing_types_goes_into_the_address(stored, tab):
    types = stored["types"]
    page = tab().open(type=types, **VIEW)
    expect(figure(page, "events")).to_have_text("300")
    page.get_by_role("checkbox", name=types[2]).click()
    expect(figure(page, "events")).to_have_text("100")
    assert types[2] not in page.url

    shared = page.url
    page.get_by_label("Show").select_option("Average")
    expect(page.locator("#chart-title")).to_have_text(
        "Average of the measure")
    page.go_back()
    expect(page.locator("#chart-title")).to_have_text("Events")
    assert page.url == shared
    other = tab()
    other.page.goto(shared)
    expect(figure(other.page, "events")).to_have_text("100")


def test_a_stretch_of_the_chart_becomes_the_range(stored, tab):
    page = tab().open(type=stored["types"], **VIEW)
    over = page.locator("#chart .u-over")
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.locator("#chart-note")).not_to_contain_text("05:00")
    first, last = map(int, re.search(r"from=(\d+)&to=(\d+)",
                                     page.url).groups())
    assert START + 840 <= first <= START + 960
    assert START + 1740 <= last <= START + 1860
    n = sum(first <= event["timestamp"] < last for event in stored["events"])
    assert 50 < n < 100
    expect(figure(page, "events")).to_have_text(str(n))


def test_events_page_by_page_and_by_user(stored, client, tab):
    want = [event["event_id"] for event in read_events(
        client, event_type=stored["types"])]
    page = tab().open(type=stored["types"], **VIEW)
    expect(page.locator("#events tbody tr")).to_have_count(20)
    seen = []
    for turn in range(15):
        expect(page.locator("#page-number")).to_have_text(f"Page {turn + 1}")
        expect(page.locator("#events td.id").first).to_have_text(
            want[20 * turn])
        seen += ids_of(page)
        older = page.get_by_role("button", name="Older")
        if turn < 14:
            older.click()
    assert seen == want
    expect(older).to_be_disabled()
    page.get_by_role("button", name="Newer").click()
    expect(page.locator("#events td.id").first).to_have_text(want[260])

    user = stored["events"][7]["user_id"]
    page.get_by_label("User", exact=True).fill(user)
    page.get_by_role("button", name="Apply").click()
    theirs = [event["event_id"] for event in read_events(
        client, event_type=stored["types"], user_id=user)]
    expect(page.locator("#events tbody tr")).to_have_count(len(theirs))
    assert ids_of(page) == theirs
    page.get_by_label("Event", exact=True).fill(theirs[3])
    page.keyboard.press("Enter")
    expect(page.locator("#events tbody tr")).to_have_count(1)
    page.locator("#events summary").click()
    expect(page.locator("#events pre")).to_contain_text('"i": ')

    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#events tbody tr")).to_have_count(20)


def test_paging_while_the_view_is_updated(sender, client, tab, name):
    """The page comes, and so does the next update."""

    now = time.time()
    sender.deliver([{"event_id": f"{name}{i:02}", "user_id": name,
                     "event_type": name, "timestamp": now - 100 + i}
                    for i in range(60)])
    await_events(client, 60, event_type=name)
    page = tab().open(range="5m", type=name)
    first = page.locator("#events td.id").first
    expect(first).to_have_text(name + "59")
    # The update's question has no answer yet.
    page.route("**/events?*", lambda route: "cursor=" in route.request.url
               and route.continue_())
    with page.expect_request("**/events?*"):
        pass
    page.get_by_role("button", name="Older").click()
    expect(page.locator("#page-number")).to_have_text("Page 2")
    expect(first).to_have_text(name + "39")
    with page.expect_request("**/stats?*time_interval=5s*"):
        pass


def test_one_page_of_events_at_a_time(stored, client, tab):
    """Until it is there nothing asks for another, but for a new view."""

    types = stored["types"]
    want = [event["event_id"] for event in read_events(
        client, event_type=types)]
    page = tab().open(type=types, **VIEW)
    first = page.locator("#events td.id").first
    older = page.get_by_role("button", name="Older")
    expect(first).to_have_text(want[0])
    held = []
    page.route("**/events?*cursor=*", lambda route: held.append(route))
    older.dblclick()
    wait_until(lambda: held or page.wait_for_timeout(20), 10, "a question")
    assert len(held) == 1
    expect(older).to_be_disabled()
    held.pop().continue_()
    expect(page.locator("#page-number")).to_have_text("Page 2")
    expect(first).to_have_text(want[20])
    expect(page.get_by_role("button", name="Newer")).to_be_enabled()
    older.press("Enter")
    wait_until(lambda: held or page.wait_for_timeout(20), 10, "a question")
    held.pop().continue_()
    expect(page.locator("#page-number")).to_have_text("Page 3")
    expect(older).to_be_focused()
    page.keyboard.press("Enter")
    wait_until(lambda: held or page.wait_for_timeout(20), 10, "a question")
    page.get_by_role("checkbox", name=types[1]).uncheck()
    expect(figure(page, "events")).to_have_text("250")
    expect(page.locator("#page-number")).to_have_text("Page 1")
    expect(first).to_have_text(want[0])
    expect(page.locator("main.stale")).to_have_count(0)
    expect(older).to_be_enabled()


def test_a_wrong_filter_leaves_the_statistics(stored, tab):
    one = tab()
    page = one.open(type=stored["types"], **VIEW)
    expect(page.locator("#events tbody tr")).to_have_count(20)
    page.get_by_label("User", exact=True).fill("x" * 300)
    page.keyboard.press("Enter")
    expect(page.locator("#events .problem")).to_contain_text("user_id")
    expect(page.get_by_role("button", name="Older")).to_be_disabled()
    expect(figure(page, "events")).to_have_text("300")
    expect(page.locator("#chart canvas")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#events tbody tr")).to_have_count(20)
    one.forgive("status of 400")


def test_what_is_being_typed_stays(stored, tab):
    page = tab().open(type=stored["types"], **VIEW)
    user = page.get_by_label("User", exact=True)
    user.fill("half")
    page.get_by_label("Show").select_option("Events a second")
    expect(page.locator("#chart-title")).to_have_text("Events a second")
    expect(user).to_have_value("half")
    page.locator("#events .plain").first.click()
    expect(user).to_have_value(re.compile(f"^{stored['types'][0][:-1]}u"))


def test_what_is_wrong_is_said(stored, stack, tab):
    one = tab()
    page = one.open(type="no such type", **VIEW)
    expect(page.locator("#chart")).to_contain_text("No events in this range")
    expect(page.locator("#events")).to_contain_text("No event matches")

    page = one.open(type=stored["types"], **VIEW)
    expect(figure(page, "events")).to_have_text("300")
    page.get_by_label("Measure").fill("no-such")
    page.keyboard.press("Enter")
    expect(page.locator("#chart")).to_contain_text(
        "measure must be one of those configured: value")
    page.get_by_label("Measure").fill("value")
    page.keyboard.press("Enter")
    expect(figure(page, "events")).to_have_text("300")

    stack.stop("query")
    expect(page.locator("#banner")).to_contain_text(
        "millrace-query is away: nothing can be read")
    expect(page.locator("#status")).to_have_text("millrace-query is away")
    stack.start("query")
    expect(page.locator("#banner")).to_be_empty()
    expect(figure(page, "events")).to_have_text("300")
    wait_until(lambda: streams(stack), 20, "the live stream")
    # Chromium reports each answer of 400 and 503 on the console itself.
    one.forgive(r"status of (400|503)")


def test_what_was_refused_is_asked_again_as_time_goes_on(tab, name):
    """The range moves on to where there is an answer."""

    one = tab()
    detail = (f'event type "{name}" has statistics of its own from '
              f"{int(time.time())} on")
    one.page.route("**/stats?*time_interval=5s*", lambda route: route.fulfill(
        status=400, content_type="application/problem+json",
        json={"title": "Bad Request", "status": 400, "detail": detail}))
    page = one.open(range="5m", type=name)
    expect(page.locator("#chart")).to_contain_text(detail)
    one.page.unroute("**/stats?*time_interval=5s*")
    expect(page.locator("#chart")).to_contain_text("No events in this range")
    one.forgive("status of 400")


@pytest.mark.slow
@pytest.mark.parametrize("part, status, sentence", [
    ("kafka", "Kafka is away", "Kafka is away: events are refused with 503"),
    ("mongod", "MongoDB is away", "MongoDB is away: statistics and events"),
])
def test_a_server_is_away(stored, stack, tab, part, status, sentence):
    one = tab()
    page = one.open(type=stored["types"], **VIEW)
    expect(figure(page, "events")).to_have_text("300")
    stack.kill(part)
    expect(page.locator("#banner")).to_contain_text(sentence, timeout=60000)
    expect(page.locator("#status")).to_have_text(status)
    expect(page.locator(".part.bad .detail").first).not_to_be_empty()
    assert figure(page, "events").inner_text() == "300", "it stays, dimmed"
    stack.start(part)
    expect(page.locator("#banner")).to_be_empty(timeout=60000)
    expect(page.locator("#status")).to_have_text("All parts work")
    wait_until(lambda: streams(stack), 60, "the live stream")
    one.forgive(r"status of 503|stats/stream")


def streams(stack):
    """Whether the live stream is there again, after a restart."""

    return httpx.head(stack.url + "/stats/stream").status_code == 200


def test_an_event_appears_by_itself(sender, tab, name):
    page = tab(behind=5 * 3600).open(range="5m", type=name)
    expect(page.locator("#chart")).to_contain_text("No events in this range")
    now = int(time.time())
    sender.deliver([{"event_id": f"{name}{i}", "user_id": name,
                     "event_type": name, "timestamp": now - 60 + i}
                    for i in range(7)])
    expect(figure(page, "events")).to_have_text("7")
    expect(page.locator("#events tbody tr")).to_have_count(7)
    expect(page.locator("#chart canvas")).to_be_visible()
    expect(page.locator("#parts")).to_contain_text("the live stream")


def test_many_windows_are_drawn_together(tab):
    """However many types there are."""

    one = tab()
    windows = [{"width": "1s", "start": int(time.time()) - 2, "count": 1,
                "event_type": f"t{i}", "measures": {}} for i in range(2000)]
    windows[-1]["measures"] = {"last": {}}
    one.page.route("**/stats/stream*", lambda route: route.fulfill(
        content_type="text/event-stream", body="retry: 60000\n\n" + "".join(
            f"event: window\ndata: {json.dumps(window)}\n\n"
            for window in windows)))
    one.page.add_init_script("""addEventListener("DOMContentLoaded", () => {
        window.drawn = 0;
        new MutationObserver((records) => { window.drawn += records.length; })
            .observe(document.querySelector(".spark"), {childList: true}); })
        """)
    page = one.open(range="5m")
    expect(page.locator("#measures option[value=last]")).to_be_attached()
    assert 1 <= page.evaluate("drawn") <= 20


def test_an_update_leaves_the_reader_in_place(sender, client, tab, name):
    now = time.time()
    sender.deliver([{"event_id": name, "user_id": name, "event_type": name,
                     "timestamp": now - 100,
                     "metadata": {"long": ["x" * 50] * 60}}])
    await_events(client, 1, event_type=name)
    page = tab().open(range="5m", type=name)
    page.get_by_role("button", name="As a table").click()
    page.locator("#events summary").click()
    places = {"#chart .scroll": 200, "#events pre": 100}
    for focused in places:
        page.locator(focused).focus()
        for place, top in places.items():
            page.locator(place).evaluate("""(element, top) => {
                element.scrollTop = top;
                element.before_update = true; }""", top)
        for place in places:
            page.wait_for_function("""(place) => !document.querySelector(
                place).before_update""", arg=place)
        for place, top in places.items():
            assert page.locator(place).evaluate("e => e.scrollTop") == top
        expect(page.locator(focused)).to_be_focused()


def test_a_hidden_tab_leaves_the_stream_alone(tab):
    """Also one that was about to try again."""

    one = tab()
    page = one.page
    page.clock.install()
    page.route("**/stats/stream*", lambda route: route.fulfill(status=503))
    page.add_init_script("""window.opened = window.failed = 0;
        window.EventSource = class extends EventSource {
            constructor(url) {
                super(url);
                window.opened++;
                this.addEventListener("error", () => window.failed++);
            }
        };""")
    one.open(range="5m")
    page.wait_for_function("() => failed === 1")

    def hide(hidden):
        page.evaluate("""(hidden) => {
            Object.defineProperty(document, "hidden",
                {configurable: true, value: hidden});
            document.dispatchEvent(new Event("visibilitychange")); }""",
                      hidden)

    hide(True)
    page.clock.fast_forward(20000)
    assert page.evaluate("opened") == 1
    hide(False)
    assert page.evaluate("opened") == 2
    one.forgive("status of 503")


def test_all_that_is_stored(sender, stack, tab, name):
    """However old it is; what no answer has room for is said to be older."""

    now = int(time.time())

    def deliver(times):
        sender.deliver([{"event_id": name + what, "user_id": name,
                         "event_type": name, "timestamp": timestamp}
                        for what, timestamp in times.items()])
        stack.settle()

    deliver({"now": now, "older": now - 999 * 86400,
             "oldest": now - 1100 * 86400})
    one = tab()
    page = one.open(range="all", type=name, zone="utc")
    expect(figure(page, "events")).to_have_text("3")

    deliver({"2001": 10**9, "1970": 0})
    page.reload()
    # Up to the newest event there is, which may be tomorrow's.
    began = "|".join(time.strftime("%Y-%m-%d", time.gmtime(
        now - days * 86400)) for days in (10998, 10997))
    expect(page.locator("#tile-events .note")).to_have_text(
        re.compile(f"^one type, .* a day, without 1 from before ({began})$"))
    expect(figure(page, "events")).to_have_text("4")
    assert ids_of(page) == [name + what for what in (
        "now", "older", "oldest", "2001", "1970")]
    one.forgive("status of 400")  # so many points are asked piece by piece


def test_a_stray_event_of_long_ago(sender, stack, tab, name):
    """The types are told apart all the same: years of nothing cost nothing."""

    middle, years = 9 * 10**8, 13 * 365 * 86400
    sender.deliver([{"event_id": f"{name}{i}", "user_id": name,
                     "event_type": f"{name}{i % 20:02}",
                     "timestamp": middle if i else middle - years}
                    for i in range(100)])
    stack.settle()
    one = tab()
    page = one.open(**{**VIEW, "from": middle - years, "to": middle + years})
    rows = page.locator("#types tbody tr", has_text=name)
    expect(rows).to_have_count(20)
    for row in rows.all():
        expect(row.locator("td").first).to_have_text("5")
    one.forgive("status of 400")


def test_numbers_are_shown_as_they_were_sent(sender, client, tab, name):
    """Also those that a double does not hold."""

    metadata = {"above": 2**53 + 1, "least": -2**63, "tenth": 0.1,
                "in": {"a": [2**63 - 1, "2, [3: {", {}, []]}}
    event = {"event_id": name, "user_id": name, "event_type": name,
             "timestamp": START + 1800, "metadata": metadata}
    sender.deliver([event])
    await_counted(client, 1, name)
    page = tab().open(type=name, **VIEW)
    summary = page.locator("#events summary")
    expect(summary).to_contain_text("above 9007199254740993 ")
    expect(summary).to_contain_text("least -9223372036854775808 ")
    expect(summary).to_contain_text("[9223372036854775807,")
    summary.click()
    shown = page.locator("#events pre").inner_text()
    assert json.loads(shown) == event
    assert shown == json.dumps(event, indent=2)


def test_the_health_keeps_to_the_chosen_zone(tab):
    """Which need not be the browser's own, 5:45 h ahead of UTC."""

    page = tab().open(zone="utc")
    until = page.locator("#parts dl div", has_text="all counted until"
                         ).locator("dd")
    for zone, offset in (("utc", 0), ("local", 20700)):
        page.get_by_label("Times in").select_option(zone)
        near = "|".join(time.strftime("%H:%M", time.gmtime(
            time.time() + offset + 60 * minute)) for minute in (-1, 0, 1))
        expect(until).to_have_text(re.compile(rf"^({near}):\d\d$"))


def test_markup_in_events_stays_text(sender, client, tab, name):
    events = [{"event_id": f"{name}{text}", "user_id": f"{name}{text}",
               "event_type": (name + text)[:60], "timestamp": START + 1800 + i,
               "metadata": {text: text, "deep": {"er": [text]}}}
              for i, text in enumerate(HOSTILE)]
    events.append({"event_id": name + "x" * 80, "user_id": name + "y" * 200,
                   "event_type": name + "W" * 70, "timestamp": START + 1900,
                   "metadata": {"long": "z" * 60000}})
    sender.deliver(events)
    types = [event["event_type"] for event in events]
    await_counted(client, len(events), types)
    one = tab()
    page = one.open(type=types, **VIEW)
    expect(page.locator("#events tbody tr")).to_have_count(len(events))
    expect(page.locator("#types tbody tr input:checked")).to_have_count(
        len(events))
    for summary in page.locator("#events summary").all():
        summary.click()
    page.get_by_role("button", name="As a table").click()
    page.get_by_label("User", exact=True).fill(HOSTILE[0])

    shown = page.locator("body").inner_text()
    for text in HOSTILE[:4]:
        assert text in shown
    assert "⟨U+202E⟩txt.exe⟨U+202C⟩" in shown
    assert "pay⟨U+200B⟩pal⟨U+2060⟩⟨U+FEFF⟩" in shown
    assert not re.search("[\u200b\u202e\u2060\ufeff]", shown)
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img, main script, main iframe, main a").count() \
        == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1320


def test_the_policy_would_stop_it_too(client, stack, browser):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    for path in ("/", "/docs", "/js/main.js", "/lib/uplot/uPlot.esm.js",
                 "/events", "/stats", "/no-such", "/openapi.yaml"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in client.get("/docs").headers[
        "content-security-policy"]

    tab = Tab(browser, stack.url)
    page = tab.open()
    for attack, word in (
            ("document.body.innerHTML = '<img src=x>'", "TrustedHTML"),
            ("document.write('<b>x</b>')", "TrustedHTML"),
            ("document.createElement('script').text = 'x()'",
             "TrustedScript"),
            ("document.createElement('script').src = '/js/main.js'",
             "TrustedScriptURL"),
            ("document.body.setAttribute('onclick', 'x()')",
             "TrustedScript"),
            ("fetch('http://localhost:1/')", "Failed to fetch")):
        with pytest.raises(Error, match=word):
            page.evaluate(attack)
    page.evaluate("""() => {
        const image = document.createElement("img");
        image.src = "http://localhost:1/x.png";
        const style = document.createElement("style");
        style.textContent = "body { display: none; }";
        document.body.append(image, style); }""")
    for directive in ("connect-src", "img-src", "style-src"):
        wait_until(lambda: any(f"policy: {directive}" in text
                               for text in tab.complaints)
                   or page.wait_for_timeout(50), 5, directive)
    expect(page.locator("#main")).to_be_visible()
    tab.close()


def test_with_the_keyboard_alone(stored, tab):
    page = tab().open(type=stored["types"], **VIEW)
    expect(figure(page, "events")).to_have_text("300")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = []
    for _ in range(100):
        about = page.evaluate("""() => {
            const element = document.activeElement;
            const style = getComputedStyle(element);
            const box = element.getBoundingClientRect();
            return {id: element.id || element.name || element.className
                        || element.dataset.key || element.textContent,
                tag: element.tagName, outline: style.outlineStyle,
                seen: box.width > 0 && box.bottom > 0
                    && box.top < innerHeight}; }""")
        if about["tag"] == "BODY":
            break
        assert about["outline"] != "none", f"the focus is not seen: {about}"
        assert about["seen"], f"out of sight: {about}"
        seen.append(about["id"])
        if about["id"] == "chart":
            page.keyboard.press("Home")
            page.keyboard.press("ArrowRight")
            expect(page.locator("#chart-readout")).to_have_text(re.compile(
                DAY + r" 05:01, [^,]*0.05, [^,]*0.017, [^,]*0.017, "
                "Together 0.083"))
        if about["id"] == "show":
            page.keyboard.press("ArrowDown")
            expect(page.locator("#chart-title")).to_have_text(
                "Events a second")
        page.keyboard.press("Tab")
    for wanted in ("range", "interval", "show", "measure", "zone",
                   "chart-table", "chart", stored["types"][0], "types-clear",
                   "user", "event", "page-older"):
        assert wanted in seen, f"{wanted} is not reached: {seen}"
    page.locator("#page-older").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#page-number")).to_have_text("Page 2")
    unlabelled = page.evaluate("""() => [...document.querySelectorAll(
        "button, input, select, a")].filter((element) =>
            !(element.labels?.length || element.textContent.trim()
                || element.getAttribute("aria-label")))
        .map((element) => element.outerHTML)""")
    assert unlabelled == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone(stored, tab, dark):
    page = tab(phone=True, dark=dark, motion=False).open(
        type=stored["types"], **VIEW)
    expect(figure(page, "events")).to_have_text("300")
    expect(page.locator("#events tbody tr")).to_have_count(20)
    expect(page.locator("#chart canvas")).to_be_visible()
    too_wide = page.evaluate("""() => [...document.querySelectorAll(
        "body *")].filter((element) => element.getClientRects().length > 0
            && !element.closest(".hidden, .skip, .u-wrap, pre")
            && element.getBoundingClientRect().right > innerWidth + 0.5)
        .map((element) => element.outerHTML.slice(0, 120))""")
    assert too_wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    ground, ink = page.evaluate("""() => {
        const style = getComputedStyle(document.body);
        return [style.backgroundColor, style.color].map((color) =>
            color.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)); }
        """)
    assert ground < 120 and ink > 600 if dark else ground > 600 and ink < 150
    moving = page.evaluate("document.getAnimations().length")
    assert moving == 0


def test_docs_show_the_description_offline(client, tab):
    page = tab().open("/docs")
    names = [f"{path} {method}" for path, method in re.findall(
        r"^  (/[^\n:]*):|^    (get|post|options):$",
        client.get("/openapi.yaml").text, re.M)]
    operations = sum(name.startswith(" ") for name in names)
    assert operations >= 8
    expect(page.locator(".opblock")).to_have_count(operations)
    page.locator("#operations-query-getStats .opblock-summary-control").click()
    expect(page.locator("#operations-query-getStats")).to_contain_text(
        "Width of a bucket")
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table").first).to_contain_text(
        '"as_of"')
