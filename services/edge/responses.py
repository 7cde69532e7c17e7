"""POST /v1/responses: what is particular about it.

Everybody behind the gateway shares a credential at the provider, so whatever a provider keeps by id
could be read by others: responses are never stored there, and what refers to stored ones is
refused.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from services.edge.api import Api
from services.edge.bounds import Bound, content_bound, output_bound
from services.edge.catalog import Target
from services.edge.errors import ApiError, invalid
from services.edge.hold import Hold
from services.edge.members import change
from services.edge.openai import Ask, Body, flag, integer, model_name, parse, service_tier
from services.edge.streamed import response_stream
from services.edge.tools import SEARCH_TOKENS, SEARCHES, check_tools, searches
from services.edge.usage import Meter, text_size

MAX_ITEMS = 10_000
_STATEFUL = ("previous_response_id", "conversation", "prompt")


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
    check_tools(body.get("tools"))
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
            "users would share. Send the item itself instead (client libraries do so with "
            "'store': false).",
            param="input",
            code="unsupported_parameter",
        )


def responses_bound(ask: Ask, target: Target, first_window: int) -> Bound:
    """The bound of a request. A search brings text of its own
    into the input. Raises ApiError 400 for content that cannot be bounded."""
    given = ask.body["input"]
    contents = [
        (f"input.{number}.{name}", held if isinstance(held, list) else [held])
        for number, item in enumerate(given if isinstance(given, list) else ())
        for name in ("content", "output")
        if isinstance(held := item.get(name), list | dict)
    ]
    count = searches(ask.body)
    return content_bound(
        ask,
        target.model,
        contents,
        messages=len(given) if isinstance(given, list) else 1,
        output=output_bound(ask, target.max_output_tokens, first_window),
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
    """Counts the deltas of typed events; remembers which response is on its way, and, where they
    were asked for, the web searches in it."""

    sequence: int = -1
    searching: bool = False
    searched: set[str] = field(default_factory=set)

    def note(self, document: dict[str, Any]) -> None:
        Meter.note(self, document)
        held = document.get("response", document)
        output = held.get("output") if self.searching and isinstance(held, dict) else None
        for item in output if isinstance(output, list) else ():
            self._search(item)

    def extra(self) -> int:
        if self.searching:
            self.count()
        return len(self.searched)

    def _search(self, item: object) -> None:
        """A search is billed; opening a page it found, and looking into it, is not."""
        if not isinstance(item, dict) or item.get("type") != "web_search_call":
            return
        action = item.get("action")
        if not isinstance(action, dict) or action.get("type", "search") == "search":
            self.searched.add(str(item.get("id", len(self.searched))))

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
        elif kind == "response.output_item.done":
            self._search(event.get("item"))
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
    meter=lambda ask: ResponsesMeter(searching=searches(ask.body) > 0),
    withhold=lambda _: False,
    broken=failed,
    cut_short=lambda meter, _, error: failed(meter, error),
    as_stream=response_stream,
)
