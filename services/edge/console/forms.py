"""Forms: what a person types, as JSON for the admin API; and its refusals, beside the field.

Nothing is checked here: the admin API does, and says which field and what to do.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from services.edge.console.visit import Visit
from services.edge.errors import ApiError

Values = Mapping[str, Any]


UNCERTAIN = (
    "The gateway's services do not answer at the moment, so it is not known whether this was done. "
    "Send the form again: it is done only once."
)


@dataclass(frozen=True, slots=True)
class Input:
    """``kind``: text, email, usd, count, models, choice, flag, time, secret, long. What is blank is
    not sent by a form that creates, and is "none" to one that changes."""

    name: str
    label: str
    kind: str = "text"
    help: str = ""
    required: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    more: bool = False
    """Behind "More settings"."""


@dataclass(frozen=True, slots=True)
class Form:
    """``back`` is where the page came from; ``facts`` are said before the fields."""

    title: str
    inputs: tuple[Input, ...]
    submit: str
    back: str
    facts: tuple[str, ...] = ()
    danger: bool = False
    values: Mapping[str, str] = field(default_factory=dict)


Perform = Callable[[Values, str], Awaitable[Response]]
"""Does what the form is for, with the values to send and an idempotency key."""


async def answer(visit: Visit, form: Form, perform: Perform, *, changing: bool = False) -> Response:
    """The form; or, when it was sent, what ``perform`` answers; or the form with what was wrong.
    ``changing`` sends only what the person changed."""
    if not visit.writing:
        shown = {each.name: form.values.get(each.name, "") for each in form.inputs}
        return _show(visit, form, shown, shown, None, _fresh())
    typed = {each.name: visit.form.get(each.name, "") for each in form.inputs}
    was = {each.name: visit.form.get(f"was.{each.name}", "") for each in form.inputs}
    once = visit.form.get("once", "") or _fresh()
    inputs = [
        each
        for each in form.inputs
        if not changing or _tidy(typed[each.name]) != _tidy(was[each.name])
    ]
    try:
        if changing and not inputs:
            return visit.go(form.back)
        return await perform(_values(inputs, typed, changing), once)
    except ApiError as refused:
        if refused.status not in (400, 404, 409, 422, 503):
            raise
        # After a 503 it may have happened: the same key makes trying again safe.
        once = once if refused.status == 503 else _fresh()
        return _show(visit, form, typed, was, refused, once)


def _fresh() -> str:
    return "console-" + secrets.token_hex(16)


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _show(
    visit: Visit,
    form: Form,
    typed: Mapping[str, str],
    was: Mapping[str, str],
    refused: ApiError | None,
    once: str,
) -> Response:
    problems, general = {}, ""
    if refused is not None:
        known = {each.name: each.label for each in form.inputs}
        if refused.param in known:
            said = refused.message.removeprefix(refused.param)
            label = known[refused.param]
            problems[refused.param] = label + said if said != refused.message else said
        else:
            general = UNCERTAIN if refused.status == 503 else refused.message
    return visit.page(
        "form.html",
        refused.status if refused else 200,
        form=form,
        action=visit.request.url.path,
        typed=typed,
        was=was,
        problems=problems,
        general=general,
        once=once,
        open_more=any(each.more and each.name in problems for each in form.inputs),
    )


def _values(inputs: Iterable[Input], typed: Mapping[str, str], changing: bool) -> dict[str, Any]:
    found = {}
    for each in inputs:
        value = _value(each, _tidy(typed[each.name]))
        if value is not None or changing:
            found[each.name] = value
    return found


def _value(each: Input, text: str) -> Any:
    """What JSON gets; None for a blank."""
    if each.kind == "models":
        return text.replace(",", " ").split()
    if each.kind == "flag":
        return text == "on"
    if each.kind in ("text", "email", "secret", "long"):
        return text
    if not text:
        return None
    if each.kind == "usd":
        return text.removeprefix("$").replace(",", "")
    if each.kind == "count":
        plain = text.replace(",", "")
        return int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 19 else text
    if each.kind == "time":
        return f"{text}:00Z" if len(text) == len("2027-01-31T00:00") else text
    return text


def typed(inputs: Iterable[Input], resource: Mapping[str, Any]) -> dict[str, str]:
    """What the fields of a form show for a resource of the admin API."""
    found = {}
    for each in inputs:
        value = resource.get(each.name)
        if each.kind == "models":
            found[each.name] = "\n".join(value or ())
        elif each.kind == "flag":
            found[each.name] = "on" if value else ""
        elif each.kind == "time":
            found[each.name] = (value or "")[: len("2027-01-31T00:00")]
        else:
            found[each.name] = "" if value is None else str(value)
    return found
