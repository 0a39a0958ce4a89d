"""Headless Chromium for the tests: find it, serve a folder to it, and watch what a page does."""

import contextlib
import functools
import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "extensions"))
from book_chromium import FLAGS, NAMES, find_chromium

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
# Violations that are the theme's own, and those of the markup that docutils gives to citations.
THEME = {"label-content-name-mismatch", "region"}
CITATIONS = {"aria-required-children", "aria-deprecated-role", "aria-allowed-role"}


@dataclass
class Visit:
    """A page, and what went wrong or went elsewhere since it was opened."""

    page: Any
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, url: str, whole: bool = False) -> Any:
        """Load an address, wait for its equations, and for quiet unless it is whole in itself; return the page."""
        self.page.goto(url, wait_until="load" if whole else "networkidle")
        self.page.evaluate("window.MathJax?.startup?.promise")
        return self.page

    def watch(self) -> None:
        """Record console errors, exceptions, failed answers and requests to other hosts."""
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "response",
            lambda answer: answer.status >= 400 and self.errors.append(f"{answer.status} {answer.url}"),
        )

        def check(route: Any) -> None:
            if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost"):
                route.continue_()
            else:
                self.foreign.append(route.request.url)
                route.abort()

        self.page.route(lambda url: url.startswith("http"), check)

    def violations(self, *allowed: str) -> list[str]:
        """Return what axe finds beyond the theme's own violations and those allowed."""
        from axe_playwright_python.sync_playwright import Axe

        # The preload of axe refetches stylesheets by a wrong address: console errors that are not the page's.
        options = {"resultTypes": ["violations"], "preload": False}
        found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{each['id']}: {each['help']}: " + "; ".join(node["html"][:200] for node in each["nodes"][:3])
            for each in found
            if each["id"] not in THEME.union(allowed)
        ]

    def overflow(self) -> int:
        """Return by how many pixels the page scrolls sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A running Chromium; the test is skipped where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip(f"no Chromium found: looked for CHROMIUM and {', '.join(NAMES)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Return a factory of watched pages: ``visit(dark=True, size=PHONE)``, each in a fresh profile."""
    with contextlib.ExitStack() as stack:

        def new(dark: bool = False, size: dict[str, int] = WIDE, **options: Any) -> Visit:
            context = browser.new_context(
                color_scheme="dark" if dark else "light", viewport=size, reduced_motion="reduce", **options
            )
            stack.callback(context.close)
            made = Visit(context.new_page())
            made.watch()
            return made

        yield new


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line of log for each."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine and give its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Path], str]]:
    """Return a function that serves a folder until the session ends and returns its address."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(folder: Path) -> str:
            opened: AbstractContextManager[str] = serving(folder)
            return stack.enter_context(opened)

        yield start
