"""The ledger's Lua scripts: each behind the pieces that all of them share."""

from dataclasses import dataclass
from pathlib import Path

from services.common.script import Script
from services.common.trail import ENTRY

FOLDER = Path(__file__).parent / "scripts"

_PLAIN = ("share", "giveback", "snapshot", "archive")


@dataclass(frozen=True, slots=True)
class Scripts:
    reserve: Script
    exchange: Script
    checkpoint: Script
    settle: Script
    share: Script
    giveback: Script
    forgivable: Script
    reset: Script
    snapshot: Script
    archive: Script


def load(folder: Path = FOLDER, clock: str | None = None) -> Scripts:
    """All scripts of a folder. ``clock`` replaces the piece that tells the time."""
    front = (clock or folder / "clock.lua", folder / "ledger.lua")
    counters = (*front, folder / "counters.lua")
    limits = (*counters, folder / "limits.lua")
    asked = folder / "asked.lua"
    settle = _function("booking", folder / "settle.lua")
    reserve = (
        *_function("choosing", folder / "models.lua"),
        *_function("rating", folder / "rates.lua"),
        *_function("admitting", folder / "reserve.lua"),
    )
    return Scripts(
        settle=Script(*counters, *_within(asked, *settle, _alone("booking"))),
        reserve=Script(*limits, *_within(asked, *reserve, _alone("admitting"))),
        exchange=Script(*limits, *_within(asked, *settle, *reserve, folder / "exchange.lua")),
        reset=Script(*front, ENTRY, folder / "reset.lua"),
        **{name: Script(*limits, folder / f"{name}.lua") for name in ("checkpoint", "forgivable")},
        **{name: Script(*front, folder / f"{name}.lua") for name in _PLAIN},
    )


def _function(name: str, piece: Path) -> tuple[Path | str, ...]:
    """A piece made a function; a rare one is then made only where it is needed."""
    return f"local function {name}()\n", piece, "end\n"


def _within(*pieces: Path | str) -> tuple[Path | str, ...]:
    """What lies in front is a function's surroundings: those within find it without a search."""
    return "local function answer()\n", *pieces, "end\nreturn answer()\n"


def _alone(function: str) -> str:
    return f"local replies = {function}()\nwrite()\nreturn replies\n"
