"""An answer as it comes, and how it is printed."""

import sys
from collections.abc import Generator

from cli import show
from cli.client import Client
from cli.sse import deltas

Message = dict[str, str]


def streamed(client: Client, model: str, messages: list[Message]) -> Generator[str, None, None]:
    """The answer, piece by piece as it comes. Raises Failure."""
    body = {"model": model, "messages": messages, "stream": True}
    with client.stream("POST", "/v1/chat/completions", body=body) as answer:
        yield from deltas(answer.iter_lines())


def say(text: str) -> None:
    """Print a piece of an answer at once; on a terminal, nothing in it steers the terminal."""
    sys.stdout.write(show.plain(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()
