"""A page that is open in a real browser."""

import shutil

from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LONGEST_MS = 20_000


class Opened:
    """A page with everything that went wrong in it; to ask anybody but its own address is wrong."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.address = "about:blank"
        self.wrong: list[str] = []
        self.asked = 0
        page.set_default_timeout(LONGEST_MS)
        page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", lambda request: self._request(request.url))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def open(self, address: str) -> Page:
        self.address = address
        self.page.goto(address)
        self.page.wait_for_selector(".plot .main-svg")
        return self.page

    def _request(self, address: str) -> None:
        self.asked += 1
        if not address.startswith(self.address):
            self.wrong.append(f"request: {address}")
