"""gw: set up, run and ask the AI Gateway. Exit codes are in cli/failure.py."""

import sys
from typing import Annotated

import typer

from cli import chat, cleanup, setup
from cli.admin import app as admin
from cli.failure import INTERRUPTED, USAGE, Failure
from cli.options import Prod, Session

app = typer.Typer(name="gw", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(admin.app, name="admin")
setup.add_to(app)
cleanup.add_to(app)
chat.add_to(app)


@app.callback(
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 unreachable, 4 not found, "
    "5 key missing or wrong, 6 verification found a difference. Example: gw setup"
)
def gw(
    context: typer.Context,
    prod: Prod = False,
    url: Annotated[
        str | None, typer.Option("--url", help="The gateway; GATEWAY_URL if not given.")
    ] = None,
) -> None:
    """Set up, run and ask the AI Gateway."""
    context.obj = Session(prod=prod, url=url)
    context.call_on_close(context.obj.open.close)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code. Whatever goes wrong is told in one line."""
    try:
        return int(app(arguments, standalone_mode=False) or 0)
    except Failure as failure:
        return _say(str(failure), failure.code)
    except typer.TyperException as error:
        return _say(error.format_message(), USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        return 0


def _say(message: str, code: int) -> int:
    if message:
        print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
