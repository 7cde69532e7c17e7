"""Usage as each API writes it, and as it should never be written."""

from dataclasses import dataclass, replace
from typing import Any

from services.simulator.faults import Faults

_HUGE = 2**63


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts; details are parts of the counts, not additions to them."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0
    audio: int = 0
    audio_out: int = 0


def counted(prompt: int, completion: int, faults: Faults) -> Usage:
    """The counts of a request, or those that its directives give instead."""
    reasoning = faults.reasoning or 0
    return Usage(
        prompt if faults.prompt is None else faults.prompt,
        completion + reasoning if faults.completion is None else faults.completion,
        faults.cached or 0,
        reasoning,
        faults.audio or 0,
        faults.audio_out or 0,
    )


def so_far(usage: Usage, completion: int) -> Usage:
    """The same usage while only ``completion`` tokens are written."""
    return replace(usage, completion=min(completion, usage.completion))


def chat(usage: Usage, spoiled: str | None) -> dict[str, Any]:
    """The member ``usage`` of chat and legacy completions: one member, or none."""
    return _member(
        {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
            "prompt_tokens_details": {
                "cached_tokens": usage.cached,
                "audio_tokens": usage.audio,
            },
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning,
                "audio_tokens": usage.audio_out,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        spoiled,
    )


def responses(usage: Usage, spoiled: str | None) -> dict[str, Any]:
    """The member ``usage`` of the Responses API."""
    return _member(
        {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.prompt + usage.completion,
        },
        spoiled,
    )


def embeddings(usage: Usage, spoiled: str | None) -> dict[str, Any]:
    """The member ``usage`` of embeddings."""
    return _member({"prompt_tokens": usage.prompt, "total_tokens": usage.prompt}, spoiled)


def _member(counts: dict[str, Any], spoiled: str | None) -> dict[str, Any]:
    match spoiled:
        case None:
            return {"usage": counts}
        case "none":
            return {}
        case "null":
            return {"usage": None}
        case _:
            return {"usage": _spoil(counts, spoiled)}


def _spoil(count: Any, how: str) -> Any:
    if isinstance(count, dict):
        return {name: _spoil(part, how) for name, part in count.items()}
    match how:
        case "zero":
            return 0
        case "negative":
            return -1 - count
        case "huge":
            return _HUGE
        case "bool":
            return True
        case "text":
            return str(count)
        case _:
            return count + 0.5
