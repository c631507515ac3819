"""Pages as a reader meets them: in a real browser, driven, and watched for what they say and whom they ask."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebError, sync_playwright

WIDTHS = (390, 1024, 1400)
"""In pixels: a phone, a tablet or half a screen, a screen."""

SCHEMES = ("light", "dark")

_AXE = Path(__file__).parents[1] / "data" / "axe" / "axe.min.js"
_HEIGHT = 900
_WAIT_MS = 60_000
"""Far beyond what anything takes where other tests run beside it."""
_FLAGS = ["--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
"""Not even a page that wants to reaches another host."""

Scheme = Literal["light", "dark"]


class Driver:
    """A browser, started once for many tests.

    The driver leaves its event loop marked as running, so that nobody else could run one in this thread. It counts as
    running only inside `used`.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def used(self) -> Iterator[Browser]:
        """The browser, for as long as it is used."""
        asyncio._set_running_loop(self._loop)
        try:
            yield self._browser
        finally:
            asyncio._set_running_loop(None)


@contextmanager
def driven(chromium: str) -> Iterator[Driver]:
    """Start the browser with this program, and end it afterwards."""
    with sync_playwright() as playwright:
        driver = Driver(playwright.chromium.launch(executable_path=chromium, args=_FLAGS))
        asyncio._set_running_loop(None)
        yield driver
        with driver.used() as browser:
            browser.close()
        asyncio._set_running_loop(driver._loop)


class LivePages:
    """Opens pages, and keeps what is amiss: lines on the console, errors, requests to any place but the page's own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._troubles: list[str] = []
        self.requests: list[str] = []
        """Every address that pages asked for, in order."""

    def __call__(
        self, address: str | Path, *, width: int = 1024, scheme: Scheme = "light", height: int = _HEIGHT, **options: Any
    ) -> Page:
        """Open an address or a file as a reader of its own, for whom nothing is stored yet.

        options: those of Playwright's `new_context`, such as java_script_enabled=False. More pages of the same reader:
        `page.context.new_page()`; they are watched too.
        """
        url = address.resolve().as_uri() if isinstance(address, Path) else address
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            locale="en-GB",
            timezone_id="UTC",
            **options,
        )
        self._contexts.append(context)
        context.set_default_timeout(_WAIT_MS)
        self._watch(context, _place(url))
        page = context.new_page()
        page.goto(url)
        return page

    def told(self) -> list[str]:
        """What is amiss so far, for a test that expects something; it is forgotten, and fails nothing more."""
        for context in self._contexts:
            for page in context.pages:
                page.evaluate("0")  # what it has said by now arrives before the answer
        troubles, self._troubles = self._troubles, []
        return troubles

    def close(self) -> list[str]:
        """Close every page. What is amiss and was not asked for."""
        for context in self._contexts:
            context.close()
        return self._troubles

    def _watch(self, context: BrowserContext, own: tuple[str, str]) -> None:
        def asked(request: Request) -> None:
            self.requests.append(request.url)
            if urlsplit(request.url).scheme not in ("data", "blob") and _place(request.url) != own:
                self._troubles.append(f"asks elsewhere: {request.method} {request.url}")

        def said(line: ConsoleMessage) -> None:
            self._troubles.append(f"console {line.type}: {line.text} ({line.location['url']}:{line.location['line']})")

        def broke(error: WebError) -> None:
            self._troubles.append(f"error: {error.error}")

        def opened(page: Page) -> None:
            page.on("websocket", lambda socket: self._troubles.append(f"opens a socket: {socket.url}"))
            page.on("crash", lambda _: self._troubles.append("the page has crashed"))

        context.on("request", asked)
        context.on("console", said)
        context.on("weberror", broke)
        context.on("page", opened)


def _place(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def wait_for_charts(page: Page, charts: int) -> None:
    """Return when a page has drawn all of its charts, which are so many."""
    page.locator(f'body[data-charts="{charts}"][data-drawn="{charts}"]').wait_for(state="attached")
    assert page.locator("body").get_attribute("data-failed") == "0"
    assert page.locator("svg.marks").count() == charts


def assert_accessible(page: Page) -> None:
    """Fail for what axe-core calls serious or critical, and name it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE.read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']}).then((told) => told.violations)")
    grave = [
        f"{rule['impact']} {rule['id']}: {rule['help']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    assert not grave, "\n".join(grave)


_TOO_WIDE = """() => {
    const room = document.documentElement.clientWidth;
    const end = (element) => Math.round(element.getBoundingClientRect().right);
    const found = [];
    const look = (element) => {
        if (end(element) > room + 1) {
            found.push(`${element.tagName.toLowerCase()}${element.id && "#" + element.id}: `
                + `ends at ${end(element)} of ${room} px`);
        } else if (!["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(element).overflowX)) {
            [...element.children].forEach(look);
        }
    };
    look(document.body);
    return found;
}"""


def assert_fits(page: Page) -> None:
    """Fail where something is wider than the window, and name the outermost; what scrolls in its own box is not."""
    wide = page.evaluate(_TOO_WIDE)
    assert not wide, "\n".join(wide)


def screenshot(page: Page, name: str) -> None:
    """Keep a picture of the whole page as NAME.png in the folder that PLANNER_TEST_PICTURES names, to be looked at."""
    if folder := os.environ.get("PLANNER_TEST_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True, animations="allow", caret="initial")
