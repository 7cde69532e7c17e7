"""Strict JSON bodies and query strings: what is not understood is refused by name.

orjson checks the syntax (no NaN, no lone surrogates, bounded depth); the standard library reads it
again with exact decimals and an eye on repeated names. Admin bodies are small, so twice is cheap.
"""

import json
from decimal import Decimal
from typing import Any

import orjson
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message as Proto
from starlette.requests import Request
from starlette.types import Message

from services.edge.admin.fields import Field
from services.edge.admin.refusal import missing, unknown, unprocessable
from services.edge.errors import invalid
from services.edge.exchange import Exchange

MAX_BODY_BYTES = 64 * 1024


async def read_body(
    request: Request, fields: tuple[Field, ...], *, optional: bool = False
) -> dict[str, Any]:
    """The body's values by JSON name, checked against ``fields``. ``optional`` takes an empty body
    for ``{}``. Raises ApiError."""
    raw = b"" if optional and _empty(request) else await _read(request)
    if optional and not raw:
        return {}
    given = _parse(raw)
    values: dict[str, Any] = {}
    table = {field.name: field for field in fields}
    for name, value in given.items():
        if name not in table:
            raise unknown(name, "field", list(table))
        values[name] = _value(table[name], value)
    for field in fields:
        if field.required and field.name not in values:
            raise missing(field.name, _example(field))
    return values


def fill(message: Proto, fields: tuple[Field, ...], values: dict[str, Any]) -> None:
    """Put checked values into a proto message; null leaves its field clear."""
    for field in fields:
        value = values.get(field.name)
        if value is None:
            continue
        target, _, leaf = field.path.rpartition(".")
        holder = getattr(message, target) if target else message
        if isinstance(value, list):
            getattr(holder, leaf).extend(value)
        elif isinstance(value, Proto):
            getattr(holder, leaf).CopyFrom(value)
        else:
            setattr(holder, leaf, value)


def mask(fields: tuple[Field, ...], values: dict[str, Any]) -> FieldMask:
    """The update mask: a path for each name present. Raises ApiError for an empty body."""
    if not values:
        names = ", ".join(field.name for field in fields)
        message = f"Nothing to change; name one of: {names}"
        raise invalid(message, code="missing_required_parameter", status=422)
    return FieldMask(paths=[field.path for field in fields if field.name in values])


def _empty(request: Request) -> bool:
    """Whether the head says that no body follows."""
    headers = request.headers
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers


async def _read(request: Request) -> bytes:
    """The body within the edge's rules: plain JSON, bounded in size and in waiting."""
    exchange = Exchange(request.scope, request.receive, _unused)
    return await exchange.body_as(b"application/json", MAX_BODY_BYTES)


async def _unused(message: Message) -> None:
    raise RuntimeError("the endpoint answers")


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        orjson.loads(raw)
        given = json.loads(raw, parse_float=Decimal, object_pairs_hook=_once)
    except (ValueError, ArithmeticError, RecursionError) as error:
        message = f"We could not parse the JSON body of your request: {error}"
        raise invalid(message, code="invalid_json") from None
    if not isinstance(given, dict):
        raise invalid("The body must be a JSON object", code="invalid_type", status=422)
    return given


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise invalid(f"{name} is given twice", param=name, code="invalid_json")
        found[name] = value
    return found


def _value(field: Field, value: Any) -> Any:
    if value is None:
        if field.kind.nullable:
            return None
        raise unprocessable(field.name, "must not be null", "invalid_type")
    try:
        return field.kind.read(value)
    except TypeError as error:
        raise unprocessable(field.name, str(error), "invalid_type") from None
    except ValueError as error:
        raise unprocessable(field.name, str(error)) from None


def _example(field: Field) -> str:
    schema = field.kind.schema
    if "number" in schema["type"]:
        return 'send an amount in USD, for example 25 or "0.50"'
    return f"send a {schema['type']} in the JSON body"
