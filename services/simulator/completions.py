"""POST /v1/completions, the legacy API."""

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

from services.simulator import ask as asks
from services.simulator import chunks
from services.simulator.api import FINGERPRINT, Answer, Stamp
from services.simulator.ask import Ask, Body
from services.simulator.chunks import Part
from services.simulator.faults import Faults
from services.simulator.reply import Choice, composed
from services.simulator.usage import chat as usage_member

_DEFAULT_LIMIT = 16

failed = chunks.failed


def read(body: Body) -> Ask:
    """Check a completion request; without ``max_tokens`` OpenAI writes 16."""
    prompt, last = asks.inputs(body, "prompt")
    prompts = body.get("prompt")
    many = len(prompts) if isinstance(prompts, list) and not asks.is_tokens(prompts) else 1
    stream = asks.flag(body, "stream")
    return Ask(
        body,
        asks.model(body),
        prompt,
        last,
        stream,
        asks.include_usage(body, stream),
        asks.number(body, "max_tokens") or _DEFAULT_LIMIT,
        (asks.number(body, "n", most=128) or 1) * many,
        asks.stops(body),
    )


def answer(ask: Ask, faults: Faults, rest: str, stamp: Stamp) -> Answer:
    """One ``text_completion``, or its chunks, which are of the same kind."""
    reply = composed(ask, faults, rest)
    base = {
        "id": stamp.name("cmpl-"),
        "object": "text_completion",
        "created": stamp.created,
        "model": ask.model,
        "system_fingerprint": FINGERPRINT,
    }
    if ask.stream and not faults.json:
        parts = _parts(reply.choices)
        return Answer(events=chunks.assembled(base, parts, ask, faults, reply.usage))
    choices = [_choice(i, choice.text, choice.finish) for i, choice in enumerate(reply.choices)]
    base |= {"choices": choices} | usage_member(reply.usage, faults.usage)
    if faults.huge:
        base["obfuscation"] = "x" * faults.huge
    return Answer(base, reply.tokens)


def _parts(choices: list[Choice]) -> Iterator[Part]:
    running = [_deltas(index, choice) for index, choice in enumerate(choices)]
    yield from filter(None, chain.from_iterable(zip_longest(*running)))
    for index, choice in enumerate(choices):
        yield Part(_choice(index, "", choice.finish), last=index == len(choices) - 1)


def _deltas(index: int, choice: Choice) -> Iterator[Part]:
    for text, tokens in choice.deltas:
        yield Part(_choice(index, text), True, tokens)


def _choice(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
