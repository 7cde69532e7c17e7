"""POST /v1/embeddings."""

import base64
import math
import struct

from services.simulator import ask as asks
from services.simulator import chunks
from services.simulator.api import Answer, Stamp
from services.simulator.ask import Ask, Body
from services.simulator.errors import Refused
from services.simulator.faults import Faults
from services.simulator.usage import counted
from services.simulator.usage import embeddings as usage_member
from services.simulator.words import seeded

_DIMENSIONS = 1536
_MOST_DIMENSIONS = 3072
_MOST_INPUTS = 2048

failed = chunks.failed


def read(body: Body) -> Ask:
    """Check an embedding request: a string, strings, tokens, or lists of tokens."""
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise Refused("Invalid 'encoding_format': expected 'float' or 'base64'.")
    asks.number(body, "dimensions", most=_MOST_DIMENSIONS)
    prompt, last = asks.inputs(body, "input")
    if len(_inputs(body)) > _MOST_INPUTS:
        raise Refused(f"Invalid 'input': maximum array length is {_MOST_INPUTS}.", param="input")
    return Ask(body, asks.model(body), prompt, last)


def answer(ask: Ask, faults: Faults, rest: str, stamp: Stamp) -> Answer:
    """A unit vector for each input, the same for the same input and size."""
    size = ask.body.get("dimensions") or _DIMENSIONS
    packed = ask.body.get("encoding_format") == "base64"
    data = []
    for index, given in enumerate(_inputs(ask.body)):
        vector = _vector(str(given), size)
        raw = struct.pack(f"<{size}f", *vector)
        embedding = base64.b64encode(raw).decode() if packed else vector
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    member = usage_member(counted(ask.prompt.tokens, 0, faults), faults.usage)
    return Answer({"object": "list", "data": data, "model": ask.model} | member)


def _inputs(body: Body) -> list[object]:
    given = body["input"]
    return given if isinstance(given, list) and not asks.is_tokens(given) else [given]


def _vector(text: str, size: int) -> list[float]:
    random = seeded(text, size)
    raw = [random.uniform(-1, 1) for _ in range(size)]
    length = math.sqrt(sum(x * x for x in raw))
    return [x / length for x in raw]
