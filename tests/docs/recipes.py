"""The commands of our documents, as a person would paste them."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Recipe:
    """One fenced block: its language and what it says."""

    language: str
    text: str

    def at(self, replacements: dict[str, str]) -> str:
        """The text with addresses and paths of the machine that runs it."""
        text = self.text
        for theirs, ours in replacements.items():
            text = text.replace(theirs, ours)
        return text


def recipes(document: str, *languages: str) -> Iterator[Recipe]:
    """The blocks of a document in these languages, in order."""
    for language, text in _FENCE.findall((ROOT / document).read_text()):
        if language in languages:
            yield Recipe(language, text)


def grpcurl() -> str | None:
    """Where grpcurl is: on PATH or in .tools/bin."""
    return shutil.which("grpcurl") or shutil.which("grpcurl", path=str(ROOT / ".tools" / "bin"))
