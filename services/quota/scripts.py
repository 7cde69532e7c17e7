"""The ledger's Lua scripts: each behind the pieces that all of them share."""

from dataclasses import dataclass
from pathlib import Path

from services.common.script import Script
from services.common.trail import ENTRY

FOLDER = Path(__file__).parent / "scripts"

_PLACES = "now, k, last_key, a, last_arg"
"""What settle and reserve are functions of: their KEYS and ARGV may lie behind those of another."""

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
    settle = _function("booking", _PLACES, folder / "settle.lua")
    reserve = (
        *_function("choosing", "", folder / "models.lua"),
        *_function("rating", "now", folder / "rates.lua"),
        *_function("admitting", _PLACES, folder / "reserve.lua"),
    )
    return Scripts(
        settle=Script(*counters, *settle, _alone("booking")),
        reserve=Script(*limits, *reserve, _alone("admitting")),
        exchange=Script(*limits, *settle, *reserve, folder / "exchange.lua"),
        reset=Script(*front, ENTRY, folder / "reset.lua"),
        **{name: Script(*limits, folder / f"{name}.lua") for name in ("checkpoint", "forgivable")},
        **{name: Script(*front, folder / f"{name}.lua") for name in _PLAIN},
    )


def _function(name: str, takes: str, piece: Path) -> tuple[Path | str, ...]:
    """A piece made a function; a rare one is then made only where it is needed."""
    return f"local function {name}({takes})\n", piece, "end\n"


def _alone(function: str) -> str:
    return f"local replies = {function}(clock(), 0, #KEYS, 0, #ARGV)\nwrite()\nreturn replies\n"
