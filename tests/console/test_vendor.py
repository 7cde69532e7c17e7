"""The libraries in static/vendor are the ones that were looked at, with their licences."""

import hashlib
import re
from pathlib import Path

import services.edge.console

CONSOLE = Path(services.edge.console.__file__).parent
FOREIGN_OR_INLINE = re.compile(
    r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}|<style|style=|\son[a-z]+=|javascript:"
    r'|<script(?! src="/console/static/)'
)
VENDOR = CONSOLE / "static" / "vendor"


def sums() -> dict[str, str]:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_each_vendored_file_has_the_sum_that_is_written_down_and_none_is_without() -> None:
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert found == sums()


def test_each_library_has_its_licence_and_its_version_is_in_the_script() -> None:
    taken = re.findall(r"^take (\S+) \S+@([0-9.]+) ", (CONSOLE / "vendor.sh").read_text(), re.M)
    assert {name for name, _ in taken} == {"htmx", "uplot", "pico"}
    for name, _ in taken:
        licence = (VENDOR / f"{name}.LICENSE.txt").read_text()
        assert re.search("MIT License|Zero-Clause BSD", licence, re.I)


def test_no_page_asks_another_site_for_anything_and_none_has_inline_script_or_style() -> None:
    ours = [*CONSOLE.rglob("*.html"), *(CONSOLE / "static").glob("*.*")]
    wrong = []
    for path in ours:
        text = path.read_text()
        for found in FOREIGN_OR_INLINE.findall(text):
            if found != "http://www.w3.org":
                wrong.append(f"{path.name}: {found}")
    assert wrong == []
