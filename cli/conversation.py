"""gw chat --interactive: a conversation that remembers what was said.

On a terminal: history, editing, Ctrl-C stops an answer, Ctrl-D leaves. Without one: a line is a
question, the end of the input is the end.
"""

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cli import show
from cli.answer import Message, say, streamed
from cli.client import Client
from cli.failure import Failure


def converse(client: Client, model: str, first: str | None, history: Path) -> None:
    """Ask and answer until the input ends. A failed answer is told and the conversation goes on
    without it; without a terminal it ends there."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    ask = _prompt(history) if terminal else _lines()
    if terminal:
        show.note(f"{model} · Ctrl-C stops an answer, Ctrl-D leaves")
    said: list[Message] = []
    question = first or ask()
    while question is not None:
        if question.strip():
            said.append({"role": "user", "content": question})
            try:
                said.append({"role": "assistant", "content": _answer(client, model, said)})
            except Failure as failure:
                said.pop()
                if not terminal:
                    raise
                show.console(error=True).print(f"error: {failure}", style="red")
        question = ask()


def _answer(client: Client, model: str, said: list[Message]) -> str:
    """Print an answer as it comes; Ctrl-C keeps what has come so far."""
    pieces: list[str] = []
    try:
        with closing(streamed(client, model, said)) as coming:
            for text in coming:
                pieces.append(text)
                say(text)
    except KeyboardInterrupt:
        say(" …")
    finally:
        if pieces:
            say("\n")
    return "".join(pieces)


def _prompt(history: Path) -> Callable[[], str | None]:
    # 0.3 s to import, for this mode alone.
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    history.touch(mode=0o600)
    session: PromptSession[str] = PromptSession(history=FileHistory(str(history)))

    def ask() -> str | None:
        while True:
            try:
                return session.prompt("> ")
            except KeyboardInterrupt:
                continue
            except EOFError:
                return None

    return ask


def _lines() -> Callable[[], str | None]:
    def ask() -> str | None:
        line = sys.stdin.readline()
        return line.rstrip("\n") if line else None

    return ask
