"""What a request asks for, whichever API it came by, and the checks OpenAI makes."""

import math
from dataclasses import dataclass
from typing import Any

import orjson

from services.simulator.errors import Refused
from services.simulator.words import BYTES_PER_TOKEN

Body = dict[str, Any]

PART_TOKENS = 85  # an image, an audio clip, a file


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that can be called; ``parameters`` is its JSON schema."""

    name: str
    parameters: Any


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked request. ``last`` is the text where a directive may stand."""

    body: Body
    model: str
    prompt: "Prompt"
    last: str = ""
    stream: bool = False
    include_usage: bool = False
    limit: int | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    tool: Tool | None = None
    forced: bool = False
    schema: Any = None


class Prompt:
    """All that a model would read: its text, and its size."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._counted = 0

    def add(self, content: Any) -> str:
        """Take a string, a list of content parts, or nothing; return its text."""
        if content is None:
            return ""
        if isinstance(content, str):
            self._texts.append(content)
            return content
        if not isinstance(content, list):
            raise Refused("Invalid type for 'content': expected a string or an array of objects.")
        return "".join([self._part(part) for part in content])

    def add_tokens(self, count: int) -> None:
        self._counted += count

    def _part(self, part: Any) -> str:
        text = part.get("text", part.get("refusal")) if isinstance(part, dict) else part
        if isinstance(text, str):
            self._texts.append(text)
            return text
        self._counted += PART_TOKENS
        return ""

    @property
    def seed(self) -> str:
        return "\0".join(self._texts)

    @property
    def tokens(self) -> int:
        size = sum(len(text.encode()) for text in self._texts)
        return math.ceil(size / BYTES_PER_TOKEN) + self._counted


def parsed(raw: bytes) -> Body:
    """The JSON object in a request's body."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(
            "We could not parse the JSON body of your request. (HINT: This likely means you "
            "aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, "
            f"but what was sent was not valid JSON: {error}.)"
        ) from error
    if not isinstance(body, dict):
        raise Refused("Invalid body: expected a JSON object.")
    return body


def model(body: Body) -> str:
    """The name of the model, which every request needs."""
    name = body.get("model")
    if not name:
        raise Refused("you must provide a model parameter")
    if not isinstance(name, str):
        raise Refused("Invalid type for 'model': expected a string.", 400, param="model")
    return name


def flag(body: Body, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(f"Invalid type for '{name}': expected a boolean.", 400, param=name)
    return bool(value)


def number(body: Body, name: str, most: int | None = None) -> int | None:
    """A positive whole number, or None when it is not given."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(
            f"Invalid type for '{name}': expected an integer.", param=name, code="invalid_type"
        )
    if value < 1:
        raise Refused(
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got "
            f"{value} instead.",
            param=name,
            code="integer_below_min_value",
        )
    if most is not None and value > most:
        raise Refused(
            f"Invalid '{name}': integer above maximum value. Expected a value <= {most}, but got "
            f"{value} instead.",
            param=name,
            code="integer_above_max_value",
        )
    return value


def stops(body: Body) -> tuple[str, ...]:
    given = body.get("stop") or ()
    return (given,) if isinstance(given, str) else tuple(s for s in given if isinstance(s, str))


def include_usage(body: Body, stream: bool) -> bool:
    """``stream_options.include_usage``, allowed in streams only."""
    options = body.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise Refused(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    return isinstance(options, dict) and flag(options, "include_usage")


def objects(value: Any) -> list[Body]:
    """The JSON objects of a list; anything else is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def functions(body: Body, wrapper: str | None) -> list[Body]:
    """The functions among ``tools``; chat wraps each in a member ``function``."""
    tools = objects(body.get("tools"))
    if wrapper:
        return objects([tool.get(wrapper) for tool in tools])
    return [tool for tool in tools if tool.get("type") == "function"]


def chosen(declared: list[Body], choice: Any, answered: bool) -> tuple[Tool | None, bool]:
    """The function to call, if any, and whether the request forces it by name."""
    tools = [Tool(str(each.get("name")), each.get("parameters")) for each in declared]
    if not tools or choice == "none":
        return None, False
    if isinstance(choice, dict):
        inner = choice.get("function")
        name = (inner if isinstance(inner, dict) else choice).get("name")
        named = [tool for tool in tools if tool.name == name]
        if not named:
            raise Refused(f"Tool choice '{name}' not found in 'tools'.", param="tool_choice")
        return named[0], True
    return (None if answered and choice != "required" else tools[0]), False


def is_tokens(value: Any) -> bool:
    """Whether ``value`` is one input, already cut into tokens."""
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def inputs(body: Body, name: str) -> tuple[Prompt, str]:
    """A member that is a string, strings, tokens, or lists of tokens; and its last string."""
    given = body.get(name)
    items = [given] if isinstance(given, str) or is_tokens(given) else given
    prompt, last = Prompt(), ""
    if not isinstance(items, list) or not items:
        raise Refused(f"'{name}' is not of a valid type or is empty.", param=name)
    for item in items:
        if isinstance(item, str) and item:
            last = prompt.add(item)
        elif is_tokens(item):
            prompt.add_tokens(len(item))
        else:
            raise Refused(f"'{name}' holds an item that is neither text nor tokens.", param=name)
    return prompt, last
