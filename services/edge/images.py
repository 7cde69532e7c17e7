"""POST /v1/images/generations, /v1/images/edits and /v1/images/variations: what is particular about
them. Offered where the catalog says so: an image has a price of its own (``extra_unit_usd``), or
``max_output_tokens`` is what one takes."""

import re
from typing import Any

from services.edge.api import Api
from services.edge.bounds import PER_REQUEST, Bound
from services.edge.catalog import Target
from services.edge.chat import broken, cut_short
from services.edge.embeddings import upstream_body
from services.edge.errors import ApiError, invalid
from services.edge.forms import form_body, read_form
from services.edge.openai import Ask, flag, integer, model_name, parse
from services.edge.usage import BYTES_PER_TOKEN, Meter, Tokens

MAX_IMAGES = 10
GIVEN = 12_000
"""Input tokens of one image that is to be changed, in the highest fidelity."""


def read_images(raw: bytes) -> Ask:
    """A request for images. Raises ApiError 400."""
    body = parse(raw)
    model = model_name(body)
    if not isinstance(body.get("prompt"), str) or not body["prompt"]:
        raise _missing("prompt", "a string")
    if flag(body, "stream"):
        raise _not_streamed()
    count = integer(body, "n", most=MAX_IMAGES) or 1
    return Ask(raw=raw, body=body, model=model, choices=count)


def read_edit(raw: bytes) -> Ask:
    """A form with images, and what shall become of them. Raises ApiError 400."""
    return _given(raw, prompt=True)


def read_variation(raw: bytes) -> Ask:
    """A form with an image. Raises ApiError 400."""
    return _given(raw, prompt=False)


def _given(raw: bytes, *, prompt: bool) -> Ask:
    form = read_form(raw)
    fields = form.fields
    model = model_name(fields)
    if not form.files("image"):
        raise _missing("image", "a file, or several")
    if prompt and not fields.get("prompt"):
        raise _missing("prompt", "a text")
    count = fields.get("n", "1")
    counted = {"n": int(count) if re.fullmatch("[0-9]{1,3}", count) else count}
    choices = integer(counted, "n", most=MAX_IMAGES) or 1
    if fields.get("stream", "false").lower() not in ("false", "0"):
        raise _not_streamed()
    return Ask(raw, fields, model, choices=choices, form=form)


def _missing(name: str, what: str) -> ApiError:
    return invalid(
        f"Missing required parameter: '{name}' ({what}).",
        param=name,
        code="missing_required_parameter",
    )


def _not_streamed() -> ApiError:
    return invalid(
        "Images are not streamed here. Leave 'stream' out.",
        param="stream",
        code="unsupported_parameter",
    )


def images_bound(ask: Ask, target: Target, _: int) -> Bound:
    output = ask.choices * target.max_output_tokens
    return Bound(
        Tokens(input=len(ask.raw) + PER_REQUEST, output=output, extra_units=ask.choices),
        least_output=output,
        estimated_input=-(-len(ask.raw) // BYTES_PER_TOKEN),
    )


def given_bound(ask: Ask, target: Target, _: int) -> Bound:
    output = ask.choices * target.max_output_tokens
    text = sum(len(value.encode()) for value in ask.body.values())
    images = GIVEN * sum(part.filename is not None for part in ask.form.parts)
    return Bound(
        Tokens(input=text + PER_REQUEST + images, output=output, extra_units=ask.choices),
        least_output=output,
        estimated_input=-(-text // BYTES_PER_TOKEN) + images // 4,
    )


def _api(path: str, *, form: bool, **parts: Any) -> Api:
    return Api(
        operation="images",
        path=f"/images/{path}",
        upstream_body=form_body if form else upstream_body,
        granted_cap=lambda ask, target, hold: 0,
        meter=lambda ask: Meter(units=ask.choices),
        withhold=lambda _: False,
        broken=broken,
        cut_short=cut_short,
        media_type=b"multipart/form-data" if form else b"application/json",
        **parts,
    )


IMAGES = _api("generations", form=False, read=read_images, bound=images_bound)
EDITS = _api("edits", form=True, read=read_edit, bound=given_bound)
VARIATIONS = _api("variations", form=True, read=read_variation, bound=given_bound)
