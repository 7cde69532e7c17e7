"""Kinds of values in admin bodies: how each is checked, and how OpenAPI describes it.

A kind's ``read`` takes what JSON gave (amounts as Decimal) and returns what the proto field takes.
It raises ValueError with the end of a sentence that begins with the field's name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.auth.v1 import admin_pb2
from services.common.money import from_usd

MAX_COUNT = 10**12
MAX_MODELS = 256
_AMOUNT = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?")
_VISIBLE = re.compile(r"[!-~]+")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")


@dataclass(frozen=True, slots=True)
class Kind:
    """``schema`` is JSON Schema; ``nullable`` lets null stand for "none"."""

    read: Callable[[Any], Any]
    schema: dict[str, Any]
    nullable: bool = False

    def or_null(self) -> "Kind":
        types = self.schema["type"]
        names = types if isinstance(types, list) else [types]
        return Kind(self.read, {**self.schema, "type": [*names, "null"]}, nullable=True)


def text(shortest: int, longest: int) -> Kind:
    """Printable text of so many characters."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError("must be a string")
        if not shortest <= len(value) <= longest:
            raise ValueError(f"must have {shortest} to {longest} characters, not {len(value)}")
        if not value.isprintable():
            raise ValueError("must not contain control characters")
        if shortest and not value.strip():
            raise ValueError("must not be blank")
        return value

    return Kind(read, {"type": "string", "minLength": shortest, "maxLength": longest})


def _email(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    if not _EMAIL.fullmatch(value):
        raise ValueError('must be an e-mail address, for example "ada@example.com"')
    return value


def _usd(value: Any) -> int:
    if isinstance(value, str) and not _AMOUNT.fullmatch(value):
        raise ValueError('must be an amount in USD, for example 25 or "0.50"')
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        raise TypeError('must be an amount in USD, for example 25 or "0.50"')
    return from_usd(value)


def whole(least: int, most: int) -> Kind:
    """A JSON integer within bounds."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError("must be a whole number")
        if not least <= value <= most:
            raise ValueError(f"must be {least} to {most}")
        return value

    return Kind(read, {"type": "integer", "minimum": least, "maximum": most})


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("must be true or false")
    return value


def words(choices: dict[str, int]) -> Kind:
    """One of a few words, each standing for an enum number."""
    listed = " or ".join(f'"{word}"' for word in choices)

    def read(value: Any) -> int:
        if not isinstance(value, str):
            raise TypeError(f"must be {listed}")
        if value not in choices:
            raise ValueError(f"must be {listed}")
        return choices[value]

    return Kind(read, {"type": "string", "enum": list(choices)})


def visible(longest: int) -> Kind:
    """Visible ASCII characters, no spaces."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError("must be a string")
        if not 1 <= len(value) <= longest:
            raise ValueError(f"must have 1 to {longest} characters, not {len(value)}")
        if not _VISIBLE.fullmatch(value):
            raise ValueError("must be visible ASCII characters without spaces")
        return value

    schema = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": "^[!-~]+$"}
    return Kind(read, schema)


_MODEL = visible(200)


def _models(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError('must be a list of model names, for example ["openai/gpt-*"]')
    if len(value) > MAX_MODELS:
        raise ValueError(f"must have at most {MAX_MODELS} entries")
    for name in value:
        try:
            _MODEL.read(name)
        except (TypeError, ValueError) as error:
            raise ValueError(f"must hold model names or patterns; one {error}") from None
    return [str(name) for name in value]


def _time(value: Any) -> Timestamp:
    fix = 'must be a time with its zone, for example "2027-01-31T00:00:00Z"'
    if not isinstance(value, str):
        raise TypeError(fix)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(fix) from None
    if moment.tzinfo is None or not 2000 <= moment.year < 9999:
        raise ValueError(fix)
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


EMAIL = Kind(_email, {"type": "string", "format": "email", "maxLength": 254})
USD = Kind(
    _usd,
    {
        "type": ["string", "number"],
        "minimum": 0,
        "maximum": 4_000_000,
        "pattern": r"^[0-9]{1,7}(\.[0-9]{1,9})?$",
        "description": "US dollars, 0 to 4000000, at most nine decimals.",
    },
)
COUNT = whole(0, MAX_COUNT)
FLAG = Kind(_flag, {"type": "boolean"})
TIME = Kind(_time, {"type": "string", "format": "date-time"})
MODELS = Kind(
    _models,
    {
        "type": "array",
        "maxItems": MAX_MODELS,
        "items": _MODEL.schema,
        "description": "Model names or patterns with `*`; empty allows every model.",
    },
)
STATUS = words({"active": admin_pb2.STATUS_ACTIVE, "suspended": admin_pb2.STATUS_SUSPENDED})
FAILURE_MODE = words(
    {
        "fail-closed": admin_pb2.FAILURE_MODE_FAIL_CLOSED,
        "fail-open": admin_pb2.FAILURE_MODE_FAIL_OPEN,
    }
)
