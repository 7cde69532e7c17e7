"""docs/configuration.md, made from .env.example and the settings classes.

``python -m tests.docs.configuration`` writes it; a test holds it to what they say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.docs.recipes import ROOT
from tests.test_shape import environment_names, settings_classes

PAGE = ROOT / "docs" / "configuration.md"
_ORDER = ("launch", "edge", "auth", "quota", "simulator")

_BEGIN = """# Configuration

Every process reads its settings once, at its start, from the environment and then from `.env`, and
prints them without secrets. This page is made from [`.env.example`](../.env.example) and the
settings classes; a test keeps it true. Providers, models and prices are in
[`deploy/models.toml`](../deploy/models.toml).
"""


@dataclass
class Setting:
    name: str
    default: str
    meaning: str


@dataclass
class Group:
    title: str
    intro: str = ""
    settings: list[Setting] = field(default_factory=list)


def groups() -> Iterator[Group]:
    """The groups of .env.example, each with its settings in order."""
    group, comment = Group(""), ""
    for line in [*(ROOT / ".env.example").read_text().splitlines(), "# --- "]:
        setting = re.fullmatch(r"#? ?([A-Z][A-Z0-9_]+)=(.*)", line)
        if line.startswith("# --- "):
            if group.settings:
                yield group
            title, _, intro = line.removeprefix("# --- ").partition(": ")
            group, comment = Group(title, intro), ""
        elif setting:
            group.settings.append(Setting(setting[1], setting[2], comment))
            comment = ""
        elif not line:
            comment = ""
        elif line.startswith("# ") and group.title:
            comment = f"{comment} {line[2:]}".strip()


def readers() -> dict[str, list[str]]:
    """Which processes read a variable."""
    found: dict[str, set[str]] = {}
    for cls in settings_classes():
        room = cls.__module__.split(".")[1]
        for name in environment_names(cls):
            found.setdefault(name, set()).add("launcher" if room == "launch" else room)
    order = ["launcher", *_ORDER[1:]]
    return {
        name: [room for room in order if room in rooms] or ["all"] for name, rooms in found.items()
    }


def rendered() -> str:
    """The whole page."""
    read_by = readers()
    lines = [_BEGIN]
    for group in groups():
        lines += [f"## {group.title.strip()}", ""]
        if group.intro:
            lines += [group.intro[0].upper() + group.intro[1:], ""]
        lines.append("| Variable | Default | Read by | |")
        lines.append("|---|---|---|---|")
        for one in group.settings:
            default = f"`{one.default}`" if one.default else ""
            who = ", ".join(read_by.get(one.name, ["gw"]))
            lines.append(f"| `{one.name}` | {default} | {who} | {one.meaning} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(rendered())
