"""Each page at each width and colour, as pictures in artifacts/console, without a complaint of the
browser and without anything wider than the screen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.console import scene
from tests.console.chromium import Tab, chromium, needs_chromium, tab
from tests.edge.world import ADMIN_KEY, World
from tests.edge_admin.rest import Rest

pytestmark = [needs_chromium, pytest.mark.browser, pytest.mark.timeout(180)]

PICTURES = Path(__file__).parents[2] / "artifacts" / "console"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def made(gateway: World) -> Iterator[scene.Scene]:
    rest = Rest(gateway.url)
    yield scene.build(gateway, rest)
    rest.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_every_page_fits_and_the_browser_has_no_complaint(
    gateway: World, made: scene.Scene, browser: Browser, phone: bool, dark: bool
) -> None:
    folder = PICTURES / f"{'phone' if phone else 'desktop'}-{'dark' if dark else 'light'}"
    folder.mkdir(parents=True, exist_ok=True)
    user = f"/console/users/{made.user_ids[0]}"
    org = f"/console/organizations/{made.org_id}"
    with tab(browser, gateway.url, phone=phone, dark=dark) as seen:
        seen.open("/console")
        _take(seen, folder, "sign-in")
        seen.sign_in(ADMIN_KEY)
        seen.page.locator("[data-drawn]").wait_for()
        _take(seen, folder, "overview")
        for name, path in (
            ("organizations", "/console/organizations"),
            ("organization", org),
            ("organization-edit", f"{org}/edit"),
            ("verify", f"{org}/verify"),
            ("users", "/console/users"),
            ("user", user),
            ("journal", f"{user}/journal"),
            ("usage-by-day", f"/console/usage?org_id={made.org_id}"),
            ("usage-by-model", f"/console/usage?org_id={made.org_id}&by=model"),
            ("usage-by-key", f"/console/usage?org_id={made.org_id}&by=key"),
            ("audit", f"/console/audit?org_id={made.org_id}"),
            ("admin-keys", "/console/admin-keys"),
            ("not-found", "/console/users/user_unknown"),
        ):
            seen.open(path)
            if "usage" in name or name in ("user", "organization"):
                seen.page.locator("[data-drawn]").wait_for()
            _take(seen, folder, name)
        seen.complaints = [one for one in seen.complaints if "404 (Not Found)" not in one]
        seen.open(org)
        seen.page.get_by_role("button", name="Delete").click()
        seen.page.get_by_text("go with it").wait_for()
        _take(seen, folder, "dialog-delete")
        seen.page.get_by_role("button", name="Cancel").click()
        seen.page.get_by_role("button", name="Edit").click()
        seen.page.get_by_text("More settings").click()
        seen.page.get_by_label("Requests per minute").fill("many")
        seen.page.get_by_role("button", name="Save changes").click()
        seen.page.get_by_role("alert").wait_for()
        _take(seen, folder, "dialog-mistake")
        seen.complaints = [one for one in seen.complaints if "422 (Unprocessable" not in one]
        seen.open(user)
        seen.page.get_by_role("button", name="New key").click()
        seen.page.get_by_label("Name").wait_for()
        _take(seen, folder, "dialog-new-key")
        seen.page.get_by_role("button", name="Create key").click()
        seen.page.get_by_text("API key created").wait_for()
        seen.page.get_by_text("Try it: curl and Python").click()
        _take(seen, folder, "dialog-key-shown")
        assert seen.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_the_page_of_a_key_holder_fits_too(
    gateway: World, made: scene.Scene, browser: Browser, phone: bool, dark: bool
) -> None:
    folder = PICTURES / f"{'phone' if phone else 'desktop'}-{'dark' if dark else 'light'}"
    folder.mkdir(parents=True, exist_ok=True)
    with tab(browser, gateway.url, phone=phone, dark=dark) as seen:
        seen.sign_in(made.api_key)
        seen.page.locator("[data-drawn]").wait_for()
        _take(seen, folder, "mine")
        assert seen.complaints == []


WIDER_TABLES = """() => [...document.querySelectorAll(".table")]
    .filter((table) => table.clientWidth && table.scrollWidth > table.clientWidth + 1)
    .map((table) => `${table.scrollWidth} > ${table.clientWidth}: ${table.innerText}`)"""


def _take(seen: Tab, folder: Path, name: str) -> None:
    seen.page.screenshot(path=folder / f"{name}.png", full_page="dialog" not in name)
    assert seen.page.evaluate(OVERFLOW) <= 0, f"{name} is wider than the screen"
    assert seen.page.evaluate(WIDER_TABLES) == [], f"{name} has a table that must be scrolled"
