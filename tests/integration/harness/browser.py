"""
Headless Chromium on the pages of a pipeline.  A Tab keeps what a page must
not do: errors on its console, broken rules of its content security policy,
requests that leave the origin.
"""

import contextlib
import re
import shutil
import urllib.parse

from playwright.sync_api import sync_playwright

# It has no business but with the server under test.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]

DESKTOP = {"width": 1320, "height": 900}
PHONE = {"width": 375, "height": 740}

# Milliseconds that a page gets to come to a state.
PATIENCE = 20000


@contextlib.contextmanager
def chromium():
    path = shutil.which("chromium")
    assert path is not None, "chromium is not installed: make deps"
    with sync_playwright() as playwright:
        # A user data directory of its own, which ends with it.
        browser = playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """
    A page in a context of its own.  `phone`: small, and with touch; `behind`:
    seconds that its clock is late.
    """

    def __init__(self, browser, url, phone=False, dark=False, motion=True,
                 behind=0):
        self.url = url
        self.complaints = []
        self.context = browser.new_context(
            viewport=PHONE if phone else DESKTOP, has_touch=phone,
            is_mobile=phone, color_scheme="dark" if dark else "light",
            reduced_motion="no-preference" if motion else "reduce",
            timezone_id="Asia/Kathmandu")
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(
            f"uncaught: {error}"))
        self.page.on("request", self._request)
        self.page.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) =>"
            " console.error('policy: ' + event.violatedDirective + ' '"
            " + event.blockedURI))")
        if behind:
            self.page.add_init_script(
                "{ const now = Date.now; Date.now = () => now() - "
                f"{behind * 1000}; }}")

    def open(self, path="/", **parameters):
        query = urllib.parse.urlencode(parameters, doseq=True)
        self.page.goto(self.url + path + ("?" + query if query else ""))
        return self.page

    def forgive(self, pattern):
        """Drop the complaints that match: the test brought them about."""

        self.complaints[:] = [text for text in self.complaints
                              if not re.search(pattern, text)]

    def close(self):
        self.context.close()

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(
                f"{message.type}: {message.text} "
                f"{message.location.get('url', '')}")

    def _request(self, request):
        if not request.url.startswith((self.url + "/", "data:")):
            self.complaints.append(f"asked another origin: {request.url}")
