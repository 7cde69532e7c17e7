"""What the audit trail keeps of a change, in the words of the HTTP API: its names, money as decimal
strings, times as ISO 8601, lists as lists."""

from datetime import UTC, datetime
from typing import Any

import orjson

from services.common.money import to_usd

_NANO_USD = "_nano_usd"


def facts(text: str) -> Any:
    """The fields of one side of a change; None where there are none."""
    if not text:
        return None
    try:
        kept = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if not isinstance(kept, dict):
        return kept
    return dict(_told(name.removeprefix("rates."), value) for name, value in kept.items())


def _told(name: str, value: Any) -> tuple[str, Any]:
    number = isinstance(value, str) and value.lstrip("-").isdecimal()
    if name.endswith(_NANO_USD) and number:
        return name.removesuffix(_NANO_USD) + "_usd", to_usd(int(value))
    if name.endswith("_time") and number:
        return _time(name, int(value))
    if name.endswith(("_per_minute", "_requests", "_days")) and number:
        return name, int(value)
    if name == "allowed_models":
        return name, str(value).split()
    if name == "allow_upstream_cache":
        return name, value == "1"
    return name, value


def _time(name: str, ms: int) -> tuple[str, str]:
    """``expire_time`` is ``expires_at`` in HTTP."""
    moment = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return name.removesuffix("_time") + "s_at", moment.replace("+00:00", "Z")
