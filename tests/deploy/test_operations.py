"""What the operations manual says to type exists."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from cli.__main__ import app
from tests.deploy.test_observability import METRICS

ROOT = Path(__file__).parent.parent.parent
MANUAL = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", MANUAL, re.M | re.S)


def shell() -> list[str]:
    return [text for kind, text in BLOCKS if kind in ("", "sh")]


def found(pattern: str) -> list[str]:
    matches: list[str] = sorted(set(re.findall(pattern, MANUAL)))
    assert matches, pattern
    return matches


@pytest.mark.parametrize("text", shell(), ids=lambda text: text.split("\n")[0][:40])
def test_commands_are_shell(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text.encode(), check=True, timeout=10)


@pytest.mark.parametrize("word", found(r"(?:`|^)make ([a-z]+)"))
def test_words_of_make_exist(word: str) -> None:
    assert re.search(rf"^{word}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("path", found(r"\b((?:deploy|docs|services)/[A-Za-z0-9_./-]*[A-Za-z0-9])"))
def test_files_exist(path: str) -> None:
    # deploy/.env is the operator's.
    assert (ROOT / path).exists() or path == "deploy/.env"


@pytest.mark.parametrize("name", found(r"\b((?:GATEWAY|REDIS|ADMIN|OPENAI)_[A-Z_]+[A-Z])\b"))
def test_settings_exist(name: str) -> None:
    assert re.search(rf"^#? ?{name}=", (ROOT / ".env.example").read_text(), re.M)


@pytest.mark.parametrize("words", found(r"\bgw ([a-z][a-z-]*(?: [a-z-]+){0,2})`"))
def test_gw_commands_exist(words: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in words.split():
        assert word in command.commands, words
        command = command.commands[word]


@pytest.mark.parametrize("name", found(r"`((?:gateway|gen_ai)_[a-z_]+)"))
def test_metrics_exist(name: str) -> None:
    assert {name, f"{name}_bucket"} & set(METRICS)


def test_the_example_overlay_names_what_is_there() -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "yaml"]
    overlay = yaml.safe_load(text)
    for path in overlay["resources"] + overlay["components"]:
        inside = ROOT / path.removeprefix("../ai-gateway/")
        assert (inside / "kustomization.yaml").exists()
    named = set(re.findall(r"^\| `([a-z-]+)` \|", MANUAL, re.M))
    components = {path.name for path in (ROOT / "deploy/k8s/components").iterdir()}
    assert components <= named
