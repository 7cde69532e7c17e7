"""POST /v1/responses: what is particular about it.

Everybody behind the gateway shares a credential at the provider, so whatever a provider keeps by id
could be read by others: responses are never stored there, and what refers to stored ones is
refused.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from services.edge.api import Api
from services.edge.bounds import Bound, content_bound, output_bound
from services.edge.catalog import Target
from services.edge.errors import ApiError, invalid
from services.edge.hold import Hold
from services.edge.members import change
from services.edge.openai import Ask, Body, flag, integer, model_name, parse, service_tier
from services.edge.usage import Meter, text_size

MAX_ITEMS = 10_000
SEARCHES = 8
"""Web searches a request may cost, where it does not say how many (``max_tool_calls``)."""

SEARCH_TOKENS = 8_000
"""Input tokens that one search may add."""

_STATEFUL = ("previous_response_id", "conversation", "prompt")
_FREE_TOOLS = frozenset(
    ["function", "custom", "local_shell", "shell", "apply_patch", "namespace", "tool_search"]
)
_SEARCH_TOOLS = ("web_search",)


def read_responses(raw: bytes) -> Ask:
    """A request for a response. Raises ApiError 400."""
    body = parse(raw)
    model = model_name(body)
    _check_input(body)
    for name in _STATEFUL:
        if body.get(name) is not None:
            raise invalid(
                f"'{name}' refers to something stored at the provider, which the gateway's users "
                "would share. Send the whole input instead.",
                param=name,
                code="unsupported_parameter",
            )
    if flag(body, "background"):
        raise invalid(
            "Background responses cannot be held against a budget. Use 'stream' instead.",
            param="background",
            code="unsupported_parameter",
        )
    _check_tools(body)
    return Ask(
        raw=raw,
        body=body,
        model=model,
        stream=flag(body, "stream"),
        include_usage=True,
        cap=integer(body, "max_output_tokens"),
        service_tier=service_tier(body),
    )


def _check_input(body: Body) -> None:
    given = body.get("input")
    if given is None or given == "" or given == []:
        raise invalid(
            "Missing required parameter: 'input'.", param="input", code="missing_required_parameter"
        )
    if isinstance(given, str):
        return
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise invalid(
            "Invalid type for 'input': expected a string or an array of objects.",
            param="input",
            code="invalid_type",
        )
    if len(given) > MAX_ITEMS:
        raise invalid(f"'input' has more than {MAX_ITEMS} items.", param="input")
    if any(item.get("type") == "item_reference" for item in given):
        raise invalid(
            "An 'item_reference' refers to something stored at the provider, which the gateway's "
            "users would share. Send the item itself instead.",
            param="input",
            code="unsupported_parameter",
        )


def _check_tools(body: Body) -> None:
    tools = body.get("tools")
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind in _FREE_TOOLS or _is_search(tool):
            continue
        raise invalid(
            f"The cost of the built-in tool '{str(kind)[:64]}' cannot be bounded, so the request "
            "cannot be held against a budget.",
            param=f"tools.{number}",
            code="unsupported_tool",
        )


def _is_search(tool: object) -> bool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    return isinstance(kind, str) and kind.startswith(_SEARCH_TOOLS)


def searches(body: Body) -> int:
    """The most web searches a request may cost."""
    tools = body.get("tools")
    if not isinstance(tools, list) or not any(map(_is_search, tools)):
        return 0
    return integer(body, "max_tool_calls") or SEARCHES


def responses_bound(ask: Ask, model: str, max_output: int, first_window: int) -> Bound:
    """The bound of a request for ``model`` ("provider/model"). A search brings text of its own
    into the input. Raises ApiError 400 for content that cannot be bounded."""
    given = ask.body["input"]
    contents = [
        (f"input.{number}.{name}", item[name])
        for number, item in enumerate(given if isinstance(given, list) else ())
        for name in ("content", "output")
        if isinstance(item.get(name), list)
    ]
    count = searches(ask.body)
    return content_bound(
        ask,
        model,
        contents,
        messages=len(given) if isinstance(given, list) else 1,
        output=output_bound(ask, max_output, first_window),
        extra_units=count,
        extra_input=count * SEARCH_TOKENS,
    )


def upstream_body(ask: Ask, target: Target, hold: Hold) -> bytes:
    """The bytes that came, but for the model's name at the provider, a cap where the client gave
    none, and that nothing is stored."""
    changes: dict[str, object] = {}
    if target.upstream_model != ask.model:
        changes["model"] = target.upstream_model
    if ask.body.get("store") is not False:
        changes["store"] = False
    cap = granted_cap(ask, target, hold)
    if cap:
        changes["max_output_tokens"] = cap
    if searches(ask.body) and ask.body.get("max_tool_calls") is None:
        changes["max_tool_calls"] = SEARCHES
    return change(ask.raw, ask.body, changes) if changes else ask.raw


def granted_cap(ask: Ask, target: Target, hold: Hold) -> int:
    """Output tokens that the hold pays for; 0 where the client gave a cap, or a window grows."""
    if ask.cap is not None or hold.bound.window:
        return 0
    return min(max(int(hold.grant.output_tokens), 1), target.max_output_tokens)


@dataclass(slots=True)
class ResponsesMeter(Meter):
    """Counts the deltas of typed events; remembers which response is on its way."""

    sequence: int = -1

    def deliver(self, document: dict[str, Any]) -> None:
        size = text_size(document.get("output"))
        if size:
            self.text_bytes += size
            self.deltas += 1

    def _read(self, data: bytes) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if not isinstance(event, dict):
            return
        number = event.get("sequence_number")
        if isinstance(number, int):
            self.sequence = max(self.sequence, number)
        kind = event.get("type")
        if not isinstance(kind, str):
            self.failed = self.failed or bool(event.get("error"))
        elif kind.endswith(".delta"):
            self.text_bytes += text_size(event.get("delta"))
            self.deltas += 1
        elif kind == "response.created" and isinstance(event.get("response"), dict):
            self.identity = event["response"]
        elif kind in ("response.completed", "response.incomplete"):
            self.finished = True
        elif kind in ("response.failed", "error"):
            self.failed = True


def failed(meter: Meter, error: ApiError) -> bytes:
    """The one end that every client of this API takes for a failure, and none repeats when the
    code says that the budget is used up."""
    meter.count()
    number = meter.sequence + 1 if isinstance(meter, ResponsesMeter) else 0
    response = {
        "id": "",
        "object": "response",
        "created_at": 0,
        "output": [],
        **meter.identity,
        "status": "failed",
        "error": {"code": error.code or error.kind, "message": error.message},
        "usage": None,
    }
    event = {"type": "response.failed", "sequence_number": number, "response": response}
    return b"event: response.failed\ndata: " + orjson.dumps(event) + b"\n\n"


RESPONSES = Api(
    operation="responses",
    path="/responses",
    read=read_responses,
    bound=responses_bound,
    upstream_body=upstream_body,
    granted_cap=granted_cap,
    meter=ResponsesMeter,
    withhold=lambda _: False,
    broken=failed,
    cut_short=lambda meter, _, error: failed(meter, error),
)
