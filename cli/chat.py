"""gw chat: one question, or a conversation."""

import sys
from typing import Annotated

import typer

from cli import show
from cli.answer import Message, say, streamed
from cli.client import Client
from cli.failure import NO_ACCESS, NOT_FOUND, USAGE, Failure
from cli.options import AsJson, Prod, session
from cli.settings import Target


def add_to(app: typer.Typer) -> None:
    app.command(epilog='Example: gw chat "Hello" --stream')(chat)


def chat(
    context: typer.Context,
    message: Annotated[
        str | None, typer.Argument(metavar="[MESSAGE]", help="Read from a pipe if not given.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option("--api-key", help="The key kept by `gw setup` if not given.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="GATEWAY_MODEL, or the first one there is.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Hold a conversation; Ctrl-D leaves.")
    ] = False,
    prod: Prod = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model through the gateway, as a key holder."""
    chosen_gateway = session(context, prod=prod)
    target = chosen_gateway.target()
    client = chosen_gateway.client(target, _key(target, api_key))
    chosen = model or target.settings.model or _first_model(client)
    if interactive:
        from cli.conversation import converse

        converse(client, chosen, message, target.settings.data_dir / "chat_history")
        return
    if message is None and sys.stdin.isatty():
        raise Failure('say something: gw chat "Hello", or use --interactive', USAGE)
    messages = [{"role": "user", "content": message or sys.stdin.read()}]
    if as_json:
        show.as_json(client.post("/v1/chat/completions", {"model": chosen, "messages": messages}))
    elif stream:
        for text in streamed(client, chosen, messages):
            say(text)
        say("\n")
    else:
        say(_asked(client, chosen, messages) + "\n")


def _asked(client: Client, model: str, messages: list[Message]) -> str:
    answer = client.post("/v1/chat/completions", {"model": model, "messages": messages})
    try:
        told = answer["choices"][0]["message"]
        return str(told.get("content") or told.get("refusal") or "")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Failure("the answer holds no message") from None


def _key(target: Target, given: str | None) -> str:
    found = given or target.demo_key
    if not found:
        raise Failure("no API key: run `gw setup` first, or give --api-key", NO_ACCESS)
    return found


def _first_model(client: Client) -> str:
    models = client.get("/v1/models").get("data") or []
    if not models:
        raise Failure("the gateway lists no model; name one with --model", NOT_FOUND)
    return str(models[0]["id"])
