"""A whole answer, told as the stream that was asked for: some providers answer so, and client
libraries then read an empty stream without a word. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from services.edge.openai import Ask
from services.edge.sse import encode

_DONE = b"data: [DONE]\n\n"

Document = dict[str, Any]


def chat_stream(ask: Ask, document: Document) -> bytes:
    """A chat completion's chunks: what was said, why it ended, usage if it was asked for."""
    choices = [choice for choice in document.get("choices") or [] if isinstance(choice, dict)]
    base = {**document, "object": "chat.completion.chunk"}
    usage = base.pop("usage", None)
    said = [{**_without(c, "message"), "delta": _delta(c), "finish_reason": None} for c in choices]
    ended = [
        {"index": c.get("index", 0), "delta": {}, "finish_reason": c.get("finish_reason") or "stop"}
        for c in choices
    ]
    chunks = [{**base, "choices": said}, {**base, "choices": ended}]
    return _with_usage(ask, base, usage, chunks)


def completion_stream(ask: Ask, document: Document) -> bytes:
    """A plain completion's chunks."""
    base = dict(document)
    usage = base.pop("usage", None)
    return _with_usage(ask, base, usage, [base])


def response_stream(_: Ask, document: Document) -> bytes:
    """A response's events: each item as it was made, then the whole."""
    return b"".join(
        b"event: %b\ndata: %b\n\n"
        % (event["type"].encode(), orjson.dumps({**event, "sequence_number": number}))
        for number, event in enumerate(_response(document))
    )


def _with_usage(ask: Ask, base: Document, usage: object, chunks: list[Document]) -> bytes:
    if ask.include_usage:
        chunks = [*({**c, "usage": None} for c in chunks), {**base, "choices": [], "usage": usage}]
    return b"".join([*map(encode, chunks), _DONE])


def _delta(choice: Document) -> Document:
    message = choice.get("message")
    delta = dict(message) if isinstance(message, dict) else {}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [
            {"index": at, **call} if isinstance(call, dict) else call
            for at, call in enumerate(calls)
        ]
    return delta


def _without(holder: Document, name: str) -> Document:
    return {key: value for key, value in holder.items() if key != name}


def _response(document: Document) -> Iterator[Document]:
    begun = {**document, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    output = document.get("output")
    for at, item in enumerate(output if isinstance(output, list) else ()):
        if isinstance(item, dict):
            yield from _item(at, item)
    status = document.get("status")
    kind = status if status in ("failed", "incomplete") else "completed"
    yield {"type": f"response.{kind}", "response": document}


def _item(at: int, item: Document) -> Iterator[Document]:
    place = {"output_index": at, "item_id": item.get("id", "")}
    added: Document = {**item, "status": "in_progress"}
    added |= {name: [] for name in ("content", "summary") if name in item}
    added |= {"arguments": ""} if "arguments" in item else {}
    yield {"type": "response.output_item.added", "output_index": at, "item": added}
    content = item.get("content")
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict):
            yield from _part({**place, "content_index": number}, part)
    if item.get("type") == "function_call":
        said = item.get("arguments", "")
        kind = "response.function_call_arguments"
        yield {"type": f"{kind}.delta", **place, "delta": said}
        yield {"type": f"{kind}.done", **place, "name": item.get("name", ""), "arguments": said}
    yield {"type": "response.output_item.done", "output_index": at, "item": item}


def _part(place: Document, part: Document) -> Iterator[Document]:
    empty = {"text": ""} if "text" in part else {}
    yield {"type": "response.content_part.added", **place, "part": {**part, **empty}}
    if part.get("type") == "output_text":
        said = {"logprobs": part.get("logprobs") or []}
        text = part.get("text", "")
        yield {"type": "response.output_text.delta", **place, **said, "delta": text}
        yield {"type": "response.output_text.done", **place, **said, "text": text}
    yield {"type": "response.content_part.done", **place, "part": part}
