"""Entry point of gw."""

import typer

app = typer.Typer(name="gw", no_args_is_help=True, add_completion=False)


@app.callback()
def gw() -> None:
    """Set up, run and ask the AI Gateway."""


def main() -> None:
    app()


if __name__ == "__main__":
    main()
