"""POST /v1/embeddings: what is particular about it."""

import base64
import struct
from typing import Any

import orjson

from services.edge.api import Api
from services.edge.bounds import PER_REQUEST, Bound
from services.edge.catalog import Target
from services.edge.chat import broken, cut_short
from services.edge.errors import invalid
from services.edge.hold import Hold
from services.edge.members import change
from services.edge.openai import MAX_MESSAGES, Ask, Body, integer, model_name, parse
from services.edge.usage import BYTES_PER_TOKEN, Meter, Tokens

_ENCODINGS = ("float", "base64")


def read_embeddings(raw: bytes) -> Ask:
    """A request for embeddings. Raises ApiError 400."""
    body = parse(raw)
    model = model_name(body)
    _check_input(body.get("input"))
    encoding = body.get("encoding_format")
    if encoding is not None and encoding not in _ENCODINGS:
        raise invalid(
            "Invalid value for 'encoding_format': expected 'float' or 'base64'.",
            param="encoding_format",
            code="invalid_value",
        )
    integer(body, "dimensions")
    return Ask(raw=raw, body=body, model=model)


def _check_input(given: object) -> None:
    """A text, tokens, or a list of either."""
    match given:
        case str() if given:
            return
        case [first, *_] if isinstance(first, str | list) or type(first) is int:
            kinds = {type(item) for item in given}
            if kinds <= {str} or kinds <= {int} or kinds <= {list}:
                if len(given) > MAX_MESSAGES and kinds != {int}:
                    raise invalid(f"'input' has more than {MAX_MESSAGES} items.", param="input")
                return
    raise invalid(
        "Invalid 'input': expected a string, an array of strings, or an array of tokens.",
        param="input",
        code="invalid_input",
    )


def embeddings_bound(ask: Ask, _: Target, __: int) -> Bound:
    """Tokens are at most the bytes they are told in; there is no output."""
    inputs = len(ask.raw) + PER_REQUEST
    estimate = -(-len(ask.raw) // BYTES_PER_TOKEN)
    return Bound(Tokens(input=inputs), least_output=0, estimated_input=estimate)


def upstream_body(ask: Ask, target: Target, _: Hold) -> bytes:
    """The bytes that came, but for the model's name at the provider."""
    if target.upstream_model == ask.model:
        return ask.raw
    return change(ask.raw, ask.body, {"model": target.upstream_model})


def as_asked(ask: Ask, document: Body) -> bytes | None:
    """The answer in the encoding that was asked for. Providers that know one encoding only ignore
    the other, and client libraries then read empty vectors without a word."""
    wanted = ask.body.get("encoding_format") or "float"
    data = document.get("data")
    if not isinstance(data, list):
        return None
    changed = False
    for item in data:
        held = item.get("embedding") if isinstance(item, dict) else None
        turned = _turned(held, wanted)
        if turned is not None:
            item["embedding"] = turned
            changed = True
    return orjson.dumps(document) if changed else None


def _turned(held: object, wanted: str) -> Any:
    """The vector in the other encoding; None where it is as wanted, or no vector."""
    try:
        if wanted == "base64" and isinstance(held, list):
            return base64.b64encode(struct.pack(f"<{len(held)}f", *held)).decode()
        if wanted == "float" and isinstance(held, str):
            packed = base64.b64decode(held, validate=True)
            return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (ValueError, OverflowError, struct.error):
        return None
    return None


EMBEDDINGS = Api(
    operation="embeddings",
    path="/embeddings",
    read=read_embeddings,
    bound=embeddings_bound,
    upstream_body=upstream_body,
    granted_cap=lambda ask, target, hold: 0,
    meter=lambda _: Meter(),
    withhold=lambda _: False,
    broken=broken,
    cut_short=cut_short,
    rewrite=as_asked,
)
