"""The distribution's Chromium under Playwright, and everything it complains about."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = os.environ.get("CI") == "true"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}

needs_chromium = pytest.mark.skipif(
    EXECUTABLE is None and not REQUIRED,
    reason="no chromium on PATH: make tools-browser (apt-get install chromium)",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    assert EXECUTABLE, "CI needs chromium on PATH: make tools-browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """One page, and what its console said: violations of the policy and scripts that failed."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, key: str) -> None:
        self.open("/console/sign-in")
        self.page.get_by_label("Your key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()


@contextmanager
def tab(browser: Browser, url: str, *, phone: bool = False, dark: bool = False) -> Iterator[Tab]:
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        permissions=["clipboard-read", "clipboard-write"],
        is_mobile=phone,
        has_touch=phone,
    )
    context.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    made = Tab(context.new_page(), url)

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            made.complaints.append(f"{message.type}: {message.text}")

    made.page.on("console", heard)
    made.page.on("pageerror", lambda error: made.complaints.append(f"exception: {error}"))
    try:
        yield made
    finally:
        context.close()
