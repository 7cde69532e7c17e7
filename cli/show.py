"""What people and programs see: tables with nothing cut off, or JSON."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = dict[str, Any]
Columns = Sequence[tuple[str, str]]
"""Heading and field; a field ending in ``_usd`` is an amount."""

_PIPE_WIDTH = 1_000


def console(*, error: bool = False) -> Console:
    """Standard output or error. Colours by NO_COLOR and terminal; a pipe is as wide as it takes."""
    stream = sys.stderr if error else sys.stdout
    return Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else _PIPE_WIDTH,
    )


def note(text: str) -> None:
    """A remark for the person; programs read standard output."""
    console(error=True).print(plain(text), style="dim")


def as_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def rows(found: Iterable[Row], columns: Columns, *, as_json_: bool) -> None:
    """A list: a table, or a JSON array."""
    if as_json_:
        as_json(list(found))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, field in columns:
        table.add_column(heading, justify=_side(field), overflow="fold")
    for row in found:
        table.add_row(*(Text(cell(field, row.get(field))) for _, field in columns))
    out = console()
    out.print(table if table.row_count else "none")


def one(row: Row, *, as_json_: bool) -> None:
    """A resource: a line for each field, or a JSON object."""
    if as_json_:
        as_json(row)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for field, value in row.items():
        table.add_row(_title(field), Text(cell(field, value)))
    console().print(table)


def cell(field: str, value: Any) -> str:
    """One value as text: exact amounts, times without their T, a dash for nothing."""
    if value is None or value == "" or value == []:
        return "-"
    if field.endswith("_usd"):
        amount = str(value)
        return f"-${amount[1:]}" if amount.startswith("-") else f"${amount}"
    if field.endswith("_at") or field == "time":
        return str(value).replace("T", " ").removesuffix("Z")[:19] + "Z"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{_title(name)} {cell(name, inner)}" for name, inner in value.items())
    return plain(str(value))


def changes(before: Row | None, after: Row | None) -> str:
    """What became what: ``monthly limit $10 → $20, name - → Ada``; of what only came or only went,
    one side."""
    if not before or not after:
        return cell("", before or after)
    return ", ".join(
        f"{_title(name)} {cell(name, before.get(name))} → {cell(name, after.get(name))}"
        if name in before
        else f"{_title(name)} {cell(name, after[name])}"
        for name in dict.fromkeys((*before, *after))
    )


def plain(text: str) -> str:
    """Without control characters: what others wrote must not steer this terminal."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() or ord(c) > 0x9F))


def _side(field: str) -> Any:
    numbers = ("_usd", "_count", "_tokens", "requests", "entries")
    return "right" if field.endswith(numbers) else "left"


def _title(field: str) -> str:
    return field.removesuffix("_usd").removesuffix("_at").replace("_", " ")
