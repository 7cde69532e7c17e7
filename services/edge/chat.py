"""POST /v1/chat/completions: what is particular about it. The steps it goes through are in
``call``."""

from typing import Any

from services.edge.api import Api
from services.edge.bounds import chat_bound
from services.edge.catalog import Target
from services.edge.errors import ApiError, invalid
from services.edge.hold import Hold
from services.edge.members import change
from services.edge.openai import (
    MAX_CHOICES,
    MAX_MESSAGES,
    Ask,
    flag,
    include_usage,
    integer,
    model_name,
    parse,
    service_tier,
)
from services.edge.sse import encode
from services.edge.streamed import chat_stream
from services.edge.usage import Meter

_OBJECTS = {dict}


def read_chat(raw: bytes) -> Ask:
    """A chat completion's request. Raises ApiError 400."""
    body = parse(raw)
    model = model_name(body)
    messages = body.get("messages")
    if messages is None and "input" in body:
        raise invalid(
            "This looks like a request for the Responses API ('input' without 'messages'). Send "
            "it to /v1/responses, or send 'messages'.",
            param="messages",
            code="wrong_endpoint",
        )
    if messages is None:
        raise invalid(
            "Missing required parameter: 'messages'.",
            param="messages",
            code="missing_required_parameter",
        )
    if not isinstance(messages, list) or not {*map(type, messages)} <= _OBJECTS:
        raise invalid(
            "Invalid type for 'messages': expected an array of objects.",
            param="messages",
            code="invalid_type",
        )
    if not messages:
        raise invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            param="messages",
            code="empty_array",
        )
    if len(messages) > MAX_MESSAGES:
        raise invalid(f"'messages' has more than {MAX_MESSAGES} items.", param="messages")
    cap, older = integer(body, "max_completion_tokens"), integer(body, "max_tokens")
    if cap is None or (older is not None and older > cap):
        cap = older
    return Ask(
        raw=raw,
        body=body,
        model=model,
        stream=flag(body, "stream"),
        include_usage=include_usage(body),
        choices=integer(body, "n", most=MAX_CHOICES) or 1,
        cap=cap,
        service_tier=service_tier(body),
    )


def upstream_body(ask: Ask, target: Target, hold: Hold) -> bytes:
    """The bytes that came, but for what has to be different: the model's name at the provider, a
    cap where the client gave none, usage where a stream did not ask for it."""
    changes = stream_options(ask, target)
    if target.upstream_model != ask.model:
        changes["model"] = target.upstream_model
    cap = granted_cap(ask, target, hold)
    if cap:
        changes[target.provider.cap_field] = cap
    return change(ask.raw, ask.body, changes) if changes else ask.raw


def stream_options(ask: Ask, target: Target) -> dict[str, object]:
    """The change that makes a stream tell its usage, where the client did not ask for it."""
    if not ask.stream or ask.include_usage or target.provider.include_usage != "inject":
        return {}
    options = ask.body.get("stream_options") or {}
    return {"stream_options": {**options, "include_usage": True}}


def granted_cap(ask: Ask, target: Target, hold: Hold) -> int:
    """Output tokens for each choice that the hold pays for; 0 where the client gave a cap, or
    where a window grows with the stream."""
    if ask.cap is not None or hold.bound.window:
        return 0
    paid = int(hold.grant.output_tokens) // ask.choices
    return min(max(paid, 1), target.max_output_tokens)


def broken(_: Meter, error: ApiError) -> bytes:
    """Every client library raises on this event; none does on a clean end."""
    return encode(error.envelope())


def cut_short(meter: Meter, ask: Ask, error: ApiError) -> bytes:
    """The answer ends as at a length limit, then says why: clients that read chunks see the
    finish reason, and the libraries raise the error after it."""
    chunk: dict[str, Any] = {
        "id": "",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": ask.model,
        **meter.identity,
        "choices": [
            {"index": index, "delta": {}, "finish_reason": "length"} for index in range(ask.choices)
        ],
    }
    return encode(chunk) + encode(error.envelope())


CHAT = Api(
    operation="chat",
    path="/chat/completions",
    read=read_chat,
    bound=chat_bound,
    upstream_body=upstream_body,
    granted_cap=granted_cap,
    meter=lambda ask: Meter(units=int("web_search_options" in ask.body)),
    withhold=lambda ask: not ask.include_usage,
    broken=broken,
    cut_short=cut_short,
    chunks=True,
    as_stream=chat_stream,
)
