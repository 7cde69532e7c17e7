"""Strict JSON bodies and query strings: what is not understood is refused by name.

orjson checks the syntax (no NaN, no lone surrogates, bounded depth); the standard library reads it
again with exact decimals and an eye on repeated names. Admin bodies are small, so twice is cheap.
"""

import json
from decimal import Decimal
from typing import Any

import orjson
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from starlette.requests import Request

from services.edge.admin.fields import Field
from services.edge.admin.refusal import missing, unknown, unprocessable, unsupported
from services.edge.errors import ApiError, invalid

MAX_BODY_BYTES = 64 * 1024
_TYPES = ("application/json", "application/merge-patch+json")


async def read_body(
    request: Request, fields: tuple[Field, ...], *, optional: bool = False
) -> dict[str, Any]:
    """The body's values by JSON name, checked against ``fields``. ``optional`` takes an empty body
    for ``{}``. Raises ApiError."""
    raw = await _read(request)
    if not raw and optional:
        return {}
    _require_json(request)
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


def fill(message: Message, fields: tuple[Field, ...], values: dict[str, Any]) -> None:
    """Put checked values into a proto message; null leaves its field clear."""
    for field in fields:
        value = values.get(field.name)
        if value is None:
            continue
        target, _, leaf = field.path.rpartition(".")
        holder = getattr(message, target) if target else message
        if isinstance(value, list):
            getattr(holder, leaf).extend(value)
        elif isinstance(value, Message):
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


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise unsupported(
            "content-encoding", "unsupported_content_encoding", "Send the body uncompressed"
        )
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(raw)


def _too_large() -> ApiError:
    refused = invalid(
        f"The body is larger than {MAX_BODY_BYTES} bytes", code="request_too_large", status=413
    )
    refused.headers["connection"] = "close"
    return refused


def _require_json(request: Request) -> None:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() not in _TYPES or charset not in ("", "charset=utf-8"):
        raise unsupported(
            "content-type",
            "unsupported_content_type",
            "Send the body as application/json (UTF-8)",
        )


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
