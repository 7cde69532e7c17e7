"""What an operator and a key holder do, in a real browser: it must have nothing to complain of."""

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.console.chromium import Tab, chromium, needs_chromium, tab
from tests.edge.world import ADMIN_KEY, World
from tests.edge_admin.rest import Rest

pytestmark = [needs_chromium, pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def seen(chrome: Browser, gateway: World) -> Iterator[Tab]:
    with tab(chrome, gateway.url) as made:
        yield made
        assert made.complaints == []


def test_from_signing_in_to_a_key_that_works_and_its_suspension(seen: Tab, rest: Rest) -> None:
    page = seen.page
    name = f"Analytical Engines {secrets.token_hex(4)}"
    seen.sign_in(ADMIN_KEY)
    page.get_by_role("link", name="Organisations").click()
    page.get_by_role("button", name="New organisation").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_be_focused()
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Monthly budget").fill("lots")
    dialog.get_by_role("button", name="Create organisation").click()
    budget = dialog.get_by_label("Monthly budget")
    expect(budget).to_have_attribute("aria-invalid", "true")
    expect(budget).to_be_focused()
    expect(dialog.get_by_role("alert")).to_contain_text("Monthly budget (USD) must be an amount")
    expect(dialog.get_by_label("Name")).to_have_value(name)
    budget.fill("25")
    dialog.get_by_role("button", name="Create organisation").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_role("status").first).to_contain_text("Created")

    page.get_by_role("button", name="New user").click()
    dialog.get_by_label("E-mail").fill("ada@example.com")
    dialog.get_by_label("Monthly limit").fill("5")
    dialog.get_by_role("button", name="Create user").click()
    expect(page.get_by_role("heading", name="ada@example.com")).to_be_visible()
    expect(page.get_by_text("Nothing was spent in this month yet.")).to_be_visible()

    page.get_by_role("button", name="New key").click()
    dialog.get_by_label("Name").fill("laptop")
    expect(dialog.get_by_label("Name")).to_have_value("laptop")
    dialog.get_by_role("button", name="Create key").click()
    expect(dialog.get_by_text("it is shown this once")).to_be_visible()
    dialog.get_by_role("button", name="Copy").first.click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    key = page.evaluate("navigator.clipboard.readText()")
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="I have stored it").click()
    expect(page.get_by_role("cell", name="laptop gw_live_")).to_be_visible()
    assert key not in page.content()
    assert rest.chat(key).status_code == 200

    page.reload()
    drawing = page.locator("[data-drawn] canvas")
    expect(drawing).to_be_visible()
    painted = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    assert drawing.evaluate(painted) > 3

    page.get_by_role("button", name="Suspend").press("Space")
    expect(dialog.get_by_role("heading", name="Suspend ada@example.com?")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert rest.chat(key).status_code == 200
    page.get_by_role("button", name="Suspend").click()
    dialog.get_by_role("button", name="Suspend user").click()
    expect(page.get_by_text("suspended", exact=True)).to_be_visible()
    assert rest.chat(key).status_code == 403
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your key")).to_be_visible()
    seen.complaints = [one for one in seen.complaints if "422" not in one]


def test_filters_tabs_and_proofs_work_with_the_keyboard_and_the_mouse(
    seen: Tab, rest: Rest
) -> None:
    family = rest.family()
    rest.chat(family["api_key"])
    page = seen.page
    seen.sign_in(ADMIN_KEY)
    page.locator("#spend [data-drawn]").wait_for()
    page.locator(".u-over").hover()
    expect(page.locator(".reading")).to_contain_text("(UTC): ")
    seen.open(f"/console/organizations/{family['org_id']}")
    page.get_by_role("button", name="Verify the books").press("Enter")
    expect(page.locator("#verdict")).to_contain_text("Everything agrees.")
    page.get_by_role("link", name="All usage").click()
    page.get_by_role("link", name="By model").click()
    expect(page.get_by_role("cell", name="simulator/echo")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV by model").click()
    assert download.value.suggested_filename.endswith(".csv")
    seen.open("/console/users")
    page.get_by_label("Status").select_option("suspended")
    page.wait_for_url("**status=suspended**")
    expect(page.get_by_label("Status")).to_have_value("suspended")


def test_the_overview_keeps_its_totals_fresh(seen: Tab, rest: Rest) -> None:
    page = seen.page
    page.clock.install()
    seen.sign_in(ADMIN_KEY)
    requests = page.locator("#totals .card").nth(1)
    expect(requests).to_contain_text("Requests")
    before = requests.inner_text()
    rest.chat(rest.family()["api_key"])
    page.clock.run_for(31_000)
    expect(requests).not_to_have_text(before, use_inner_text=True)


def test_the_first_tab_stop_skips_to_the_content(seen: Tab) -> None:
    seen.sign_in(ADMIN_KEY)
    seen.page.keyboard.press("Tab")
    expect(seen.page.get_by_text("Skip to the content")).to_be_focused()
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#main")).to_be_focused()


def test_a_key_holder_reads_limits_and_copies_a_request(seen: Tab, rest: Rest) -> None:
    family = rest.family(name="Ada Lovelace")
    rest.chat(family["api_key"])
    page = seen.page
    seen.sign_in(family["api_key"])
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    page.locator("[data-drawn]").wait_for()
    page.get_by_role("button", name="Copy").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"curl {seen.url}/v1/chat/completions")
    assert family["api_key"] not in copied
