"""POST /v1/chat/completions."""

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

import orjson

from services.simulator import ask as asks
from services.simulator import chunks
from services.simulator.api import FINGERPRINT, Answer, Stamp
from services.simulator.ask import Ask, Body, Prompt
from services.simulator.chunks import Part
from services.simulator.errors import Refused
from services.simulator.faults import Faults
from services.simulator.reply import Call, Choice, composed
from services.simulator.usage import chat as usage_member

failed = chunks.failed


def read(body: Body) -> Ask:
    """Check a chat request and find what the model would read."""
    messages, functions = _messages(body), asks.functions(body, "function")
    prompt, last = Prompt(), ""
    for message in messages:
        text = prompt.add(message.get("content"))
        prompt.add(message.get("name"))
        for call in asks.objects(message.get("tool_calls")):
            prompt.add([orjson.dumps(call.get("function")).decode()])
        if message.get("role") == "user":
            last = text
    if functions:
        prompt.add(orjson.dumps(functions).decode())
    answered = messages[-1].get("role") in ("tool", "function")
    tool, forced = asks.chosen(functions, body.get("tool_choice"), answered)
    stream = asks.flag(body, "stream")
    return Ask(
        body,
        asks.model(body),
        prompt,
        last,
        stream,
        asks.include_usage(body, stream),
        asks.number(body, "max_completion_tokens") or asks.number(body, "max_tokens"),
        asks.number(body, "n", most=128) or 1,
        asks.stops(body),
        tool,
        forced,
        _schema(body.get("response_format")),
    )


def answer(ask: Ask, faults: Faults, rest: str, stamp: Stamp) -> Answer:
    """One ``chat.completion``, or its chunks."""
    reply = composed(ask, faults, rest)
    base = {
        "id": stamp.name("chatcmpl-"),
        "object": "chat.completion",
        "created": stamp.created,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }
    if ask.stream and not faults.json:
        parts = _parts(reply.choices, stamp)
        base["object"] = "chat.completion.chunk"
        return Answer(events=chunks.assembled(base, parts, ask, faults, reply.usage))
    choices = [
        {
            "index": index,
            "message": _message(choice, stamp, index),
            "logprobs": None,
            "finish_reason": choice.finish,
        }
        for index, choice in enumerate(reply.choices)
    ]
    base |= {"choices": choices} | usage_member(reply.usage, faults.usage)
    if faults.huge:
        base["obfuscation"] = "x" * faults.huge
    return Answer(base, reply.tokens)


def _messages(body: Body) -> list[Body]:
    messages = body.get("messages")
    if messages is None:
        raise Refused("Missing required parameter: 'messages'.", param="messages", code="missing")
    if messages == []:
        raise Refused(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            param="messages",
            code="empty_array",
        )
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise Refused("Invalid 'messages': expected an array of objects.", param="messages")
    return messages


def _schema(wanted: Any) -> Any:
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_object", "json_schema"):
        return None
    described = wanted.get("json_schema")
    return described.get("schema", {}) if isinstance(described, dict) else {}


def _message(choice: Choice, stamp: Stamp, index: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if not choice.calls:
        return message | {"annotations": []}
    calls = [
        {
            "id": _call_id(stamp, index, number),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(choice.calls)
    ]
    return message | {"content": None, "tool_calls": calls, "annotations": []}


def _parts(choices: list[Choice], stamp: Stamp) -> Iterator[Part]:
    for index, choice in enumerate(choices):
        content = None if choice.calls else ""
        yield Part(_chunk(index, {"role": "assistant", "content": content, "refusal": None}))
    running = [_deltas(choice, stamp, index) for index, choice in enumerate(choices)]
    yield from filter(None, chain.from_iterable(zip_longest(*running)))
    for index, choice in enumerate(choices):
        yield Part(_chunk(index, {}, choice.finish), last=index == len(choices) - 1)


def _deltas(choice: Choice, stamp: Stamp, index: int) -> Iterator[Part]:
    for text, tokens in choice.deltas:
        yield Part(_chunk(index, {"content": text}), True, tokens)
    for number, call in enumerate(choice.calls):
        yield Part(_chunk(index, {"tool_calls": [_opening(call, number, index, stamp)]}))
        for text, tokens in call.deltas:
            piece = {"index": number, "function": {"arguments": text}}
            yield Part(_chunk(index, {"tool_calls": [piece]}), True, tokens)


def _opening(call: Call, number: int, index: int, stamp: Stamp) -> dict[str, Any]:
    return {
        "index": number,
        "id": _call_id(stamp, index, number),
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }


def _chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _call_id(stamp: Stamp, index: int, number: int) -> str:
    return stamp.name("call_", 1 + index * 1_000 + number, size=24)
