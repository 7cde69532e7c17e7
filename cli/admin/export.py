"""Exports: streamed to a file that appears only when it is whole."""

import sys
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from cli import show
from cli.client import Client
from cli.failure import USAGE, Failure


def export(client: Client, path: str, file: str, query: dict[str, Any]) -> None:
    """Write an answer of any size to ``file``, or to standard output for ``-``. Raises Failure."""
    with client.stream("GET", path, **query) as answer:
        if file == "-":
            for chunk in answer.iter_bytes():
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return
        part = Path(f"{file}.part")
        try:
            lines = _write(answer.iter_bytes(), part)
            part.replace(file)
        except OSError as error:
            raise Failure(f"cannot write {file}: {error.strerror}", USAGE) from None
        finally:
            part.unlink(missing_ok=True)
    show.note(f"{lines} lines in {file}")


def _write(chunks: Any, part: Path) -> int:
    lines = 0
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    out = show.console(error=True)
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        task = progress.add_task("export", total=None)
        with part.open("wb") as target:
            for chunk in chunks:
                target.write(chunk)
                lines += chunk.count(b"\n")
                progress.advance(task, len(chunk))
    return lines
