"""/console/users/{user_id}/api-keys: the key itself is in the answer to its making, and nowhere
else."""

from typing import Any

from starlette.responses import Response

from services.edge.console.api import path
from services.edge.console.forms import Form, Values, answer, typed
from services.edge.console.inputs import API_KEY, OVERLAP
from services.edge.console.visit import Visit


async def new(visit: Visit) -> Response:
    user = await visit.get(path("users", visit.id("user_id")))
    form = Form(f"New API key for {user['email']}", API_KEY, "Create key", _back(visit))

    async def create(values: Values, once: str) -> Response:
        made = await visit.send("POST", path("users", user["user_id"], "api-keys"), values, once)
        return _shown(visit, made, "API key created")

    return await answer(visit, form, create)


async def edit(visit: Visit) -> Response:
    key = await _key(visit)
    form = Form(
        f"Edit {_title(key)}",
        API_KEY,
        "Save changes",
        _back(visit),
        facts=("What you save holds for the very next request.",),
        values=typed(API_KEY, key),
    )

    async def save(values: Values, once: str) -> Response:
        await visit.send("PATCH", _path(visit), values, once)
        return visit.go(f"{form.back}?done=saved")

    return await answer(visit, form, save, changing=True)


async def rotate(visit: Visit) -> Response:
    key = await _key(visit)
    form = Form(
        f"Rotate {_title(key)}?",
        (OVERLAP,),
        "Rotate key",
        _back(visit),
        facts=("A new key is made with the same name and limits, and shown once.",),
        values={"overlap_seconds": "86400"},
    )

    async def replace(values: Values, once: str) -> Response:
        seconds = values.get("overlap_seconds", "0")
        overlap = int(seconds) if seconds.isascii() and seconds.isdigit() else seconds
        body = {"overlap_seconds": overlap}
        made = await visit.send("POST", f"{_path(visit)}/rotate", body, once)
        return _shown(visit, made, "API key rotated")

    return await answer(visit, form, replace)


async def revoke(visit: Visit) -> Response:
    key = await _key(visit)
    form = Form(
        f"Revoke {_title(key)}?",
        (),
        "Revoke key",
        _back(visit),
        facts=(
            "Requests with this key are refused from now on, and running streams end within five "
            "seconds.",
            "A revoked key cannot be brought back; its usage stays readable.",
        ),
        danger=True,
    )

    async def end(_: Values, once: str) -> Response:
        await visit.send("DELETE", _path(visit), None, once)
        return visit.go(f"{form.back}?done=revoked")

    return await answer(visit, form, end)


def _path(visit: Visit) -> str:
    return path("users", visit.id("user_id"), "api-keys", visit.id("key_id"))


async def _key(visit: Visit) -> Any:
    return await visit.get(_path(visit))


def _back(visit: Visit) -> str:
    return f"/console/users/{visit.id('user_id')}"


def _title(key: Any) -> str:
    return f"{key['name'] or 'key'} ({key['prefix']}…{key['suffix']})"


def _shown(visit: Visit, made: Any, title: str) -> Response:
    return visit.page(
        "secret.html",
        title=title,
        what="API key",
        secret=made["api_key"],
        back=_back(visit),
        snippets=True,
        base_url=visit.base_url,
        model=visit.example_model,
    )
