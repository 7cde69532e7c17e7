"""/console/users"""

from typing import Any

from starlette.responses import Response

from services.edge.console.api import path
from services.edge.console.directory import organizations
from services.edge.console.forms import Form, Input, Values, answer, typed
from services.edge.console.inputs import REASON, USER
from services.edge.console.spending import current_month, spending
from services.edge.console.visit import Visit

LIST = "/console/users"


async def list_(visit: Visit) -> Response:
    filters = {name: visit.query(name) for name in ("org_id", "status", "email")}
    asked = {**filters, "page_token": visit.query("page_token"), "page_size": "50"}
    found = await visit.get(path("users"), asked)
    known = await organizations(visit)
    return visit.page("users.html", users=found, filters=filters, organizations=known)


async def new(visit: Visit) -> Response:
    known = await organizations(visit)
    asked = visit.query("org_id")
    chosen = (
        asked
        or visit.form.get("org_id", "")
        or (known.rows[0]["org_id"] if len(known.rows) == 1 else "")
    )
    where = Input("org_id", "Organisation", "choice", required=True, choices=known.choices(chosen))
    inputs = (where, *USER)
    back = f"/console/organizations/{chosen}" if asked else LIST
    form = Form("New user", inputs, "Create user", back, values=typed(inputs, {"org_id": chosen}))

    async def create(values: Values, once: str) -> Response:
        made = await visit.send("POST", path("users"), values, once)
        return visit.go(f"{LIST}/{made['user_id']}?done=created")

    return await answer(visit, form, create)


async def show(visit: Visit) -> Response:
    user_id = visit.id("user_id")
    user = await visit.get(path("users", user_id))
    organization = await visit.get(path("organizations", user["org_id"]))
    usage = await visit.get(path("users", user_id, "usage"))
    keys = await visit.get(
        path("users", user_id, "api-keys"),
        {"page_size": "50", "page_token": visit.query("page_token")},
    )
    names = {key["key_id"]: key["name"] or key["key_id"] for key in keys["data"]}
    spent = await spending(visit, user["org_id"], current_month(), ("day", "key"), user_id=user_id)
    return visit.page(
        "user.html",
        user=user,
        organization=organization,
        usage=usage,
        keys=keys,
        chart=spent.chart("key_id", names),
    )


async def edit(visit: Visit) -> Response:
    user_id = visit.id("user_id")
    user = await visit.get(path("users", user_id))
    form = Form(
        f"Edit {user['email']}",
        USER,
        "Save changes",
        f"{LIST}/{user_id}",
        facts=("What you save holds for the very next request.",),
        values=typed(USER, user),
    )

    async def save(values: Values, once: str) -> Response:
        await visit.send("PATCH", path("users", user_id), values, once)
        return visit.go(f"{form.back}?done=saved")

    return await answer(visit, form, save, changing=True)


async def suspend(visit: Visit) -> Response:
    user = await visit.get(path("users", visit.id("user_id")))
    form = Form(
        f"Suspend {user['email']}?",
        (),
        "Suspend user",
        f"{LIST}/{user['user_id']}",
        facts=(
            "Requests with any of this user's keys are refused from now on, until you reactivate "
            "the user.",
            "Running streams end within five seconds. Nothing is deleted.",
        ),
        danger=True,
    )
    return await _set_status(visit, form, user, "suspended")


async def reactivate(visit: Visit) -> Response:
    user = await visit.get(path("users", visit.id("user_id")))
    form = Form(
        f"Reactivate {user['email']}?",
        (),
        "Reactivate user",
        f"{LIST}/{user['user_id']}",
        facts=("The user's keys work again at once, within the limits.",),
    )
    return await _set_status(visit, form, user, "active")


async def _set_status(visit: Visit, form: Form, user: Any, status: str) -> Response:
    async def change(_: Values, once: str) -> Response:
        await visit.send("PATCH", path("users", user["user_id"]), {"status": status}, once)
        return visit.go(f"{form.back}?done={status}")

    return await answer(visit, form, change)


async def reset_quota(visit: Visit) -> Response:
    user = await visit.get(path("users", visit.id("user_id")))
    form = Form(
        f"Reset the quota of {user['email']}?",
        (REASON,),
        "Reset quota",
        f"{LIST}/{user['user_id']}",
        facts=(
            "The user may spend this month's limit again. What was spent stays in the books, and "
            "counts against the organisation's budget.",
        ),
        danger=True,
    )

    async def reset(values: Values, once: str) -> Response:
        await visit.send("POST", path("users", user["user_id"], "reset-quota"), values, once)
        return visit.go(f"{form.back}?done=reset")

    return await answer(visit, form, reset)


async def delete(visit: Visit) -> Response:
    target = path("users", visit.id("user_id"))
    user = await visit.get(target)
    facts: tuple[str, ...] = ()
    if not visit.writing:
        gone = await visit.rehearse_delete(target)
        number = gone["api_keys_revoked"]
        keys = f"{number:,} working API key{' goes' if number == 1 else 's go'}"
        facts = (
            f"{keys} with the user. This cannot be undone.",
            "Usage and journal stay readable.",
        )
    form = Form(
        f"Delete {user['email']}?",
        (),
        "Delete user",
        f"{LIST}/{user['user_id']}",
        facts=facts,
        danger=True,
    )

    async def remove(_: Values, once: str) -> Response:
        await visit.send("DELETE", target, None, once)
        return visit.go(f"/console/organizations/{user['org_id']}?done=deleted")

    return await answer(visit, form, remove)
