"""The ledger's Lua scripts, as texts with their digests."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class Scripts:
    reserve: Script
    checkpoint: Script
    settle: Script
    share: Script
    reset: Script
    snapshot: Script


def load(folder: Path = _FOLDER, clock: str | None = None) -> Scripts:
    """Every script with the shared pieces in front of it. ``clock`` replaces the piece that tells
    the time."""
    front = (clock or (folder / "clock.lua").read_text()) + (folder / "ledger.lua").read_text()

    def joined(name: str) -> Script:
        text = front + (folder / f"{name}.lua").read_text()
        return Script(name, text, hashlib.sha1(text.encode()).hexdigest())

    return Scripts(*map(joined, ("reserve", "checkpoint", "settle", "share", "reset", "snapshot")))
