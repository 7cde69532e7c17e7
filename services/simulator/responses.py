"""POST /v1/responses."""

from collections.abc import Iterator
from typing import Any

import orjson

from services.simulator import ask as asks
from services.simulator import errors
from services.simulator.api import Answer, Event, Stamp
from services.simulator.ask import Ask, Body, Prompt
from services.simulator.errors import Refused
from services.simulator.faults import Faults
from services.simulator.reply import Call, Choice, composed
from services.simulator.usage import responses as usage_member

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}


def read(body: Body) -> Ask:
    """Check a Responses request: ``input`` is a string or a list of items."""
    prompt = Prompt()
    prompt.add(body.get("instructions"))
    items, last = _items(body), ""
    for item in items:
        text = prompt.add(item.get("content"))
        for part in ("name", "arguments", "output"):
            prompt.add(item.get(part))
        if item.get("role") == "user":
            last = text
    functions = asks.functions(body, None)
    if functions:
        prompt.add(orjson.dumps(functions).decode())
    answered = items[-1].get("type") == "function_call_output"
    tool, forced = asks.chosen(functions, body.get("tool_choice"), answered)
    return Ask(
        body,
        asks.model(body),
        prompt,
        last,
        asks.flag(body, "stream"),
        limit=asks.number(body, "max_output_tokens"),
        tool=tool,
        forced=forced,
        schema=_schema(body.get("text")),
    )


def answer(ask: Ask, faults: Faults, rest: str, stamp: Stamp) -> Answer:
    """One ``response``, or the events that build it."""
    reply = composed(ask, faults, rest)
    choice = reply.choices[0]
    unfinished = choice.finish == "length"
    response = _response(ask, stamp) | {
        "status": "incomplete" if unfinished else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if unfinished else None,
        "output": _output(choice, stamp, unfinished),
    }
    response = {**response, "usage": None} | usage_member(reply.usage, faults.usage)
    if faults.usage == "none":
        del response["usage"]
    if ask.stream and not faults.json:
        return Answer(events=_numbered(_events(ask, choice, response, stamp, faults)))
    if faults.huge:
        response["obfuscation"] = "x" * faults.huge
    return Answer(response, reply.tokens)


def failed(error: Refused, faults: Faults, stamp: Stamp, number: int) -> tuple[str | None, bytes]:
    """``response.failed``; an ``error`` event if a style is asked for."""
    if faults.error:
        if faults.error != "openai":
            return "error", errors.written(error, faults.error)[0]
        event = errors.envelope(error) | {"type": "error", "sequence_number": number}
        return "error", orjson.dumps(event)
    response = {
        "id": stamp.name("resp_"),
        "object": "response",
        "created_at": stamp.created,
        "status": "failed",
        "error": {"code": error.code or "server_error", "message": error.message},
        "output": [],
        "usage": None,
    }
    event = {"type": "response.failed", "sequence_number": number, "response": response}
    return "response.failed", orjson.dumps(event)


def _items(body: Body) -> list[Body]:
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    items = asks.objects(given)
    if not items:
        raise Refused(
            "Missing required parameter: 'input'.", param="input", code="missing_required_parameter"
        )
    return items


def _schema(text: Any) -> Any:
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_object", "json_schema"):
        return None
    return wanted.get("schema", {})


def _response(ask: Ask, stamp: Stamp) -> dict[str, Any]:
    given = {name: ask.body[name] for name in _ECHOED if ask.body.get(name) is not None}
    return {
        "id": stamp.name("resp_"),
        "object": "response",
        "created_at": stamp.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": ask.model,
        "output": [],
        "usage": None,
    } | (_ECHOED | given)


def _output(choice: Choice, stamp: Stamp, unfinished: bool) -> list[dict[str, Any]]:
    status = "incomplete" if unfinished else "completed"
    if choice.calls:
        return [
            _call(call, stamp, number, status, call.arguments)
            for number, call in enumerate(choice.calls)
        ]
    return [_message(stamp, status, [_text(choice.text)])]


def _message(stamp: Stamp, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": stamp.name("msg_"),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(call: Call, stamp: Stamp, number: int, status: str, arguments: str) -> dict[str, Any]:
    return {
        "id": stamp.name("fc_", number),
        "type": "function_call",
        "status": status,
        "call_id": stamp.name("call_", number, size=24),
        "name": call.name,
        "arguments": arguments,
    }


def _numbered(events: Iterator[Event]) -> Iterator[Event]:
    for number, event in enumerate(events):
        event.name = event.data["type"]
        event.data["sequence_number"] = number
        yield event


def _events(
    ask: Ask, choice: Choice, response: dict[str, Any], stamp: Stamp, faults: Faults
) -> Iterator[Event]:
    started = _response(ask, stamp)
    yield Event({"type": "response.created", "response": started})
    yield Event({"type": "response.in_progress", "response": started})
    padding = "x" * faults.huge
    if choice.calls:
        for number, call in enumerate(choice.calls):
            yield from _calling(call, stamp, number, response["output"][number], padding)
    else:
        yield from _writing(choice, stamp, response["output"][0], padding)
    yield Event({"type": f"response.{response['status']}", "response": response})


def _writing(
    choice: Choice, stamp: Stamp, message: dict[str, Any], padding: str
) -> Iterator[Event]:
    where = {"output_index": 0}
    part = {"item_id": message["id"], "content_index": 0} | where
    added = _message(stamp, "in_progress", [])
    yield Event({"type": "response.output_item.added", "item": added} | where)
    yield Event({"type": "response.content_part.added", "part": _text("")} | part)
    for text, tokens in choice.deltas:
        data = {"type": "response.output_text.delta", "delta": text, "logprobs": []} | part
        yield Event(data | {"obfuscation": padding or text[::-1]}, delta=True, tokens=tokens)
        padding = ""
    done = message["content"][0]
    whole = {"type": "response.output_text.done", "text": done["text"], "logprobs": []}
    yield Event(whole | part)
    yield Event({"type": "response.content_part.done", "part": done} | part)
    yield Event({"type": "response.output_item.done", "item": message} | where)


def _calling(
    call: Call, stamp: Stamp, number: int, item: dict[str, Any], padding: str
) -> Iterator[Event]:
    where = {"output_index": number}
    part = {"item_id": item["id"]} | where
    added = _call(call, stamp, number, "in_progress", "")
    kind = "response.function_call_arguments"
    yield Event({"type": "response.output_item.added", "item": added} | where)
    for text, tokens in call.deltas:
        data = {"type": f"{kind}.delta", "delta": text} | part
        yield Event(data | {"obfuscation": padding or text[::-1]}, delta=True, tokens=tokens)
        padding = ""
    yield Event({"type": f"{kind}.done", "name": call.name, "arguments": item["arguments"]} | part)
    yield Event({"type": "response.output_item.done", "item": item} | where)
