"""The ledger's Lua scripts: each behind the pieces that all of them share."""

from dataclasses import dataclass, fields
from pathlib import Path

from services.common.script import Script
from services.common.trail import ENTRY

FOLDER = Path(__file__).parent / "scripts"


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
    limits = (*front, folder / "limits.lua")
    told: dict[str, tuple[Path | str, ...]] = {
        "reset": (*front, ENTRY),
        "exchange": (
            *limits,
            *_function("booking", folder / "settle.lua"),
            *_function("admitting", folder / "reserve.lua"),
        ),
        **dict.fromkeys(("reserve", "checkpoint", "forgivable"), limits),
    }
    names = [script.name for script in fields(Scripts)]
    return Scripts(
        **{name: Script(*told.get(name, front), folder / f"{name}.lua") for name in names}
    )


def _function(name: str, script: Path) -> tuple[Path | str, ...]:
    return f"local function {name}(KEYS, ARGV)\n", script, "end\n"
