"""Reading a request: the few fields policy needs, checked; everything else is the provider's.

A body is parsed once. What cannot mean the same to every parser (a known field twice, or in other
letters) is refused, so that the provider sees what policy saw. Bodies stay the bytes that came.
"""

from typing import Any, NamedTuple

import orjson

from services.edge.errors import invalid
from services.edge.members import canonical, repeated

MAX_DEPTH = 64
MAX_NODES = 100_000
MAX_MESSAGES = 10_000
MAX_CHOICES = 128
MAX_TOOLS = 128
MAX_INTEGER = 2**31 - 1
MAX_MODEL_LENGTH = 256

KNOWN = frozenset(
    [
        "model",
        "messages",
        "input",
        "prompt",
        "stream",
        "stream_options",
        "n",
        "best_of",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "service_tier",
        "modalities",
        "audio",
        "prediction",
        "tools",
        "functions",
        "tool_choice",
        "reasoning",
        "reasoning_effort",
        "web_search_options",
        "response_format",
        "store",
        "previous_response_id",
        "conversation",
        "background",
        "max_tool_calls",
        "echo",
    ]
)
"""Fields that decide what a request costs, where it goes, or who could read it there. Their names
are small letters and underscores, as ``members`` expects."""

ROUTING = frozenset(
    [
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "organization",
        "extra_headers",
        "extra_query",
        "custom_llm_provider",
    ]
)
"""Fields by which other gateways let callers choose the address or the credential."""

Body = dict[str, Any]


class Ask(NamedTuple):
    """A checked request. ``cap`` is the client's limit of output tokens for one choice. ``form``
    (of ``forms``) is there where it came as one."""

    raw: bytes
    body: Body
    model: str
    stream: bool = False
    include_usage: bool = False
    choices: int = 1
    cap: int | None = None
    service_tier: str = ""
    form: Any = None


def parse(raw: bytes) -> Body:
    """The JSON object of a body. Raises ApiError 400."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid(
            "We could not parse the JSON body of your request. (HINT: This likely means you "
            f"aren't using your HTTP library correctly; what was sent was not valid JSON: {error}.)"
        ) from None
    if not isinstance(body, dict):
        raise invalid("We expected the JSON body of your request to be an object.")
    _check_size(raw, body)
    _check_names(raw, body)
    tools = body.get("tools")
    if isinstance(tools, list) and len(tools) > MAX_TOOLS:
        raise invalid(
            f"Invalid 'tools': array too long. Expected at most {MAX_TOOLS} tools, but got "
            f"{len(tools)} instead.",
            param="tools",
            code="array_above_max_length",
        )
    return body


def _check_names(raw: bytes, body: Body) -> None:
    for name in body:
        if name in KNOWN:
            continue
        folded = name.casefold()
        if folded in KNOWN:
            raise invalid(
                f"Unknown parameter: '{name[:64]}'. Did you mean '{folded}'?",
                param=name[:64],
                code="unknown_parameter",
            )
        if folded in ROUTING:
            raise invalid(
                f"Unsupported parameter: '{name[:64]}'. The gateway decides where requests go and "
                "with which credential.",
                param=name[:64],
                code="unsupported_parameter",
            )
    twice = None if canonical(raw, body) else repeated(raw, KNOWN & body.keys())
    if twice is not None:
        raise invalid(
            f"'{twice}' is given more than once.", param=twice, code="duplicate_parameter"
        )


def _check_size(raw: bytes, body: Body) -> None:
    """Depth and number of values. Bodies with few brackets and commas cannot break either."""
    opened = _times(raw, b"{") + _times(raw, b"[")
    few = len(raw) < MAX_NODES // 2 or raw.count(b",") < MAX_NODES // 2
    if opened <= MAX_DEPTH and few:
        return
    nodes = 0
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for holder in level:
            nodes += len(holder)
            values = holder.values() if isinstance(holder, dict) else holder
            below += [v for v in values if isinstance(v, dict | list)]
        if nodes > MAX_NODES:
            raise invalid(f"The JSON body has more than {MAX_NODES} values.")
        if not below:
            return
        level = below
    raise invalid(f"The JSON body is nested more than {MAX_DEPTH} levels deep.")


def _times(raw: bytes, bracket: bytes) -> int:
    """How often a body has a bracket, up to one more than ``MAX_DEPTH``. They are few: to find them
    takes less than to count."""
    times, at = 0, raw.find(bracket)
    while at >= 0 and times <= MAX_DEPTH:
        times, at = times + 1, raw.find(bracket, at + 1)
    return times


def model_name(body: Body) -> str:
    name = body.get("model")
    if name is None or name == "":
        raise invalid("you must provide a model parameter", param="model")
    if not isinstance(name, str):
        raise invalid("Invalid type for 'model': expected a string.", param="model")
    return name


def flag(body: Body, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(
            f"Invalid type for '{name}': expected a boolean, but got {_kind(value)} instead.",
            param=name,
            code="invalid_type",
        )
    return bool(value)


def integer(body: Body, name: str, *, most: int = MAX_INTEGER) -> int | None:
    """A positive whole number; None where it is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(
            f"Invalid type for '{name}': expected an integer, but got {_kind(value)} instead.",
            param=name,
            code="invalid_type",
        )
    if value < 1:
        raise invalid(
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got "
            f"{value} instead.",
            param=name,
            code="integer_below_min_value",
        )
    if value > most:
        raise invalid(
            f"Invalid '{name}': integer above maximum value. Expected a value <= {most}, but got "
            f"{value} instead.",
            param=name,
            code="integer_above_max_value",
        )
    return value


def include_usage(body: Body) -> bool:
    """``stream_options.include_usage``."""
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise invalid(
            "Invalid type for 'stream_options': expected an object.",
            param="stream_options",
            code="invalid_type",
        )
    return flag(options, "include_usage")


def service_tier(body: Body) -> str:
    """A tier with a price of its own, or empty."""
    value = body.get("service_tier")
    if value is not None and not isinstance(value, str):
        raise invalid("Invalid type for 'service_tier': expected a string.", param="service_tier")
    return value if value in ("flex", "priority", "batch") else ""


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string"}
    return names.get(type(value), "an array" if isinstance(value, list) else "an object")
