"""From the proto messages to the model: what each field of a request must be. Errors name the path
of the field in the request message."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from services.auth import model, rules
from services.auth.wire import FAILURE_MODE, STATUS, to_ms
from services.common.errors import InvalidField

Reader = Callable[[Any], dict[str, Any]]
"""Takes a message; gives fields of the model. Raises ValueError."""

_RATES = {
    "requests_per_minute": "rpm",
    "tokens_per_minute": "tpm",
    "concurrent_requests": "concurrency",
}


@dataclass(frozen=True)
class Shape:
    """The fields of a resource that can be written, by their paths, and those that cannot."""

    root: str
    identity: str
    required: tuple[str, ...]
    readers: Mapping[str, Reader]
    fixed: Mapping[str, str]
    output: frozenset[str]

    def created(self, message: Message) -> dict[str, Any]:
        """The fields of a new resource. What only the server writes is ignored."""
        paths = [*self.required, *(p for p in self._populated(message) if p in self.readers)]
        return self._read(message, paths)

    def updated(self, message: Message, mask: FieldMask, current: Any) -> dict[str, Any]:
        """The fields to change, by the mask; without one, every populated field. Raises
        InvalidField for a path that is unknown or cannot be changed."""
        if mask.paths:
            return self._read(message, self._named(mask))
        paths = list(self._populated(message))
        for path in paths:
            attribute = self.fixed.get(path)
            if attribute and getattr(message, path) != getattr(current, attribute):
                raise InvalidField(f"{self.root}.{path}", "cannot be changed")
        return self._read(message, [path for path in paths if path in self.readers])

    def _named(self, mask: FieldMask) -> Iterator[str]:
        for path in mask.paths:
            if path == "rates" and f"rates.{next(iter(_RATES))}" in self.readers:
                yield from (f"rates.{name}" for name in _RATES)
            elif path in self.readers:
                yield path
            elif path in self.fixed or path in self.output or path == self.identity:
                raise InvalidField("update_mask", f"names {path}, which cannot be changed")
            else:
                raise InvalidField("update_mask", f"names {path[:100]}, which is not a field")

    def _populated(self, message: Message) -> Iterator[str]:
        for descriptor, value in message.ListFields():
            if descriptor.name == "rates":
                yield from (f"rates.{inner.name}" for inner, _ in value.ListFields())
            else:
                yield descriptor.name

    def _read(self, message: Message, paths: Any) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for path in paths:
            try:
                changes.update(self.readers[path](message))
            except ValueError as error:
                raise InvalidField(f"{self.root}.{path}", str(error)) from None
        return changes


def _status(message: Any) -> dict[str, Any]:
    for text in (model.ACTIVE, model.SUSPENDED):
        if message.status == STATUS[text]:
            return {"status": text}
    raise ValueError("must be STATUS_ACTIVE or STATUS_SUSPENDED")


def _failure_mode(message: Any) -> dict[str, Any]:
    for text, number in FAILURE_MODE.items():
        if message.failure_mode == number:
            return {"failure_mode": text}
    raise ValueError("must be FAILURE_MODE_FAIL_CLOSED or FAILURE_MODE_FAIL_OPEN")


def _limit(path: str, *, required: bool) -> Reader:
    def read(message: Any) -> dict[str, Any]:
        if message.HasField(path):
            return {"limit": rules.amount(getattr(message, path))}
        if required:
            raise ValueError("is required")
        return {"limit": None}

    return read


def _rate(name: str, attribute: str) -> Reader:
    def read(message: Any) -> dict[str, Any]:
        there = message.rates.HasField(name)
        return {attribute: rules.rate(getattr(message.rates, name)) if there else None}

    return read


def _expire_time(message: Any) -> dict[str, Any]:
    return {"expires": to_ms(message.expire_time) if message.HasField("expire_time") else None}


_SHARED: dict[str, Reader] = {
    "allowed_models": lambda m: {"models": rules.models(list(m.allowed_models))},
    **{f"rates.{name}": _rate(name, attribute) for name, attribute in _RATES.items()},
}

ORGANIZATION = Shape(
    root="organization",
    identity="org_id",
    required=("name", "monthly_budget_nano_usd"),
    readers={
        **_SHARED,
        "name": lambda m: {"name": rules.name(m.name)},
        "status": _status,
        "monthly_budget_nano_usd": _limit("monthly_budget_nano_usd", required=True),
        "failure_mode": _failure_mode,
        "fallback_daily_limit_nano_usd": lambda m: {
            "fallback_daily": rules.amount(m.fallback_daily_limit_nano_usd)
        },
        "allow_upstream_cache": lambda m: {"allow_upstream_cache": m.allow_upstream_cache},
    },
    fixed={},
    output=frozenset({"create_time", "update_time", "revision"}),
)

USER = Shape(
    root="user",
    identity="user_id",
    required=("email", "monthly_limit_nano_usd"),
    readers={
        **_SHARED,
        "email": lambda m: {"email": rules.email(m.email)},
        "name": lambda m: {"name": rules.name(m.name, required=False)},
        "status": _status,
        "monthly_limit_nano_usd": _limit("monthly_limit_nano_usd", required=True),
    },
    fixed={"org_id": "org_id"},
    output=frozenset({"create_time", "update_time"}),
)

API_KEY = Shape(
    root="api_key",
    identity="key_id",
    required=(),
    readers={
        **_SHARED,
        "name": lambda m: {"name": rules.name(m.name, required=False)},
        "monthly_limit_nano_usd": _limit("monthly_limit_nano_usd", required=False),
        "expire_time": _expire_time,
    },
    fixed={"user_id": "user"},
    output=frozenset(
        {
            "org_id",
            "status",
            "prefix",
            "suffix",
            "create_time",
            "revoke_time",
            "last_use_time",
            "rotated_from",
        }
    ),
)
