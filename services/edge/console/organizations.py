"""/console/organizations"""

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from services.edge.console.api import path
from services.edge.console.directory import MOST, by_name
from services.edge.console.forms import Form, Values, answer, typed
from services.edge.console.inputs import ORGANIZATION
from services.edge.console.spending import current_month, spending
from services.edge.console.visit import Visit

LIST = "/console/organizations"
_SEARCHED = 10


async def list_(visit: Visit) -> Response:
    """A page by name; with a name asked for, whatever holds it on the next few pages."""
    status, name, token = (visit.query(one) for one in ("status", "name", "page_token"))
    rows: list[dict[str, Any]] = []
    for _ in range(_SEARCHED if name else 1):
        asked = {"status": status, "page_token": token, "page_size": str(MOST)}
        found = await visit.get(path("organizations"), asked)
        rows += [row for row in found["data"] if name.casefold() in row["name"].casefold()]
        token = found["next_page_token"]
        if not token:
            break
    return visit.page(
        "organizations.html",
        rows=by_name(rows),
        next_page_token=token,
        filters={"status": status, "name": name},
    )


async def new(visit: Visit) -> Response:
    form = Form(
        "New organisation", ORGANIZATION, "Create organisation", LIST, values={"failure_mode": ""}
    )
    form = replace(form, values=typed(ORGANIZATION, {"failure_mode": "fail-closed"}))

    async def create(values: Values, once: str) -> Response:
        made = await visit.send("POST", path("organizations"), values, once)
        return visit.go(f"{LIST}/{made['org_id']}?done=created")

    return await answer(visit, form, create)


async def show(visit: Visit) -> Response:
    org_id = visit.id("org_id")
    organization = await visit.get(path("organizations", org_id))
    usage = await visit.get(path("organizations", org_id, "usage"))
    users = await visit.get(
        path("organizations", org_id, "users"),
        {"page_size": "50", "page_token": visit.query("page_token")},
    )
    provider_keys = await visit.get(path("organizations", org_id, "provider-keys"))
    spent = await spending(visit, org_id, current_month(), ("day", "model"))
    return visit.page(
        "organization.html",
        organization=organization,
        usage=usage,
        users=users,
        provider_keys=provider_keys["data"],
        chart=spent.chart("model"),
    )


async def edit(visit: Visit) -> Response:
    org_id = visit.id("org_id")
    organization = await visit.get(path("organizations", org_id))
    form = Form(
        f"Edit {organization['name']}",
        ORGANIZATION,
        "Save changes",
        f"{LIST}/{org_id}",
        facts=("What you save holds for the very next request.",),
        values=typed(ORGANIZATION, organization),
    )

    async def save(values: Values, once: str) -> Response:
        await visit.send("PATCH", path("organizations", org_id), values, once)
        return visit.go(f"{form.back}?done=saved")

    return await answer(visit, form, save, changing=True)


async def suspend(visit: Visit) -> Response:
    organization = await visit.get(path("organizations", visit.id("org_id")))
    form = Form(
        f"Suspend {organization['name']}?",
        (),
        "Suspend organisation",
        f"{LIST}/{organization['org_id']}",
        facts=(
            "Every request of its users is refused from now on, until you reactivate it.",
            "Running streams end within five seconds. Nothing is deleted.",
        ),
        danger=True,
    )
    return await _set_status(visit, form, organization, "suspended")


async def reactivate(visit: Visit) -> Response:
    organization = await visit.get(path("organizations", visit.id("org_id")))
    form = Form(
        f"Reactivate {organization['name']}?",
        (),
        "Reactivate organisation",
        f"{LIST}/{organization['org_id']}",
        facts=("Its users' keys work again at once, within their limits.",),
    )
    return await _set_status(visit, form, organization, "active")


async def _set_status(visit: Visit, form: Form, organization: Any, status: str) -> Response:
    async def change(_: Values, once: str) -> Response:
        target = path("organizations", organization["org_id"])
        await visit.send("PATCH", target, {"status": status}, once)
        return visit.go(f"{form.back}?done={status}")

    return await answer(visit, form, change)


async def delete(visit: Visit) -> Response:
    org_id = visit.id("org_id")
    target = path("organizations", org_id)
    organization = await visit.get(target)
    facts: tuple[str, ...] = ()
    if not visit.writing:
        gone = await visit.rehearse_delete(target)
        facts = (
            f"{_some(gone['users_deleted'], 'user')}, "
            f"{_some(gone['api_keys_revoked'], 'working API key')} and "
            f"{_some(gone['provider_keys_deleted'], 'provider key')} go with it. "
            "This cannot be undone.",
            "Usage, journal and audit trail stay readable.",
        )
    form = Form(
        f"Delete {organization['name']}?",
        (),
        "Delete organisation",
        f"{LIST}/{org_id}",
        facts=facts,
        danger=True,
    )

    async def remove(_: Values, once: str) -> Response:
        await visit.send("DELETE", target, None, once)
        return visit.go(f"{LIST}?done=deleted")

    return await answer(visit, form, remove)


async def verify(visit: Visit) -> Response:
    """Proves the organisation's books and audit trail."""
    org_id = visit.id("org_id")
    found = await visit.get(path("organizations", org_id, "verify"))
    return visit.page(
        "verify.html",
        ledger=found["ledger"],
        trail=found["audit"],
        ok=found["ok"],
        back=f"/console/organizations/{org_id}",
        back_name="Organisation",
    )


def _some(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
