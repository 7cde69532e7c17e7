"""With many organisations: each is found, and all of them are summed."""

import re
import secrets

import pytest

from services.edge.console import directory
from tests.console.browser import Browser
from tests.edge_admin.rest import Rest
from tests.waiting import wait_until


def test_organisations_are_in_the_order_of_their_names_and_found_by_a_part_of_them(
    operator: Browser, rest: Rest
) -> None:
    mark = secrets.token_hex(4)
    for name in (f"zeta {mark}", f"Alpha {mark}", f"beta {mark}"):
        rest.good("POST", "/organizations", {"name": name, "monthly_budget_usd": "1"})
    page = operator.get(f"/console/organizations?name={mark.upper()}").text
    assert re.findall(rf">(\w+) {mark}</a>", page) == ["Alpha", "beta", "zeta"]
    page = operator.get(f"/console/organizations?name={mark}&status=suspended").text
    assert "No organisation is like that." in page


def test_all_organisations_are_summed_however_many_there_are(
    operator: Browser, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MOST", 2)  # what is offered for choice is not what is summed
    families = [rest.family() for _ in range(3)]
    for family in families:
        assert rest.chat(family["api_key"]).status_code == 200
    ids = [family["org_id"] for family in families]
    usage = [f"/organizations/{org}/usage" for org in ids]
    wait_until(lambda: all(rest.good("GET", path)["request_count"] == 1 for path in usage))
    spent = operator.get("/console/usage?by=organization").text
    assert not [org for org in ids if f"org_id={org}" not in spent]
