"""The shape of the tree: what no linter checks for us."""

import ast
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parent.parent
SOURCES = sorted(p for top in ("services", "cli") for p in (ROOT / top).rglob("*.py"))
LOCKS = sorted(ROOT.glob("requirements*.lock"))
KEY_PATTERN = re.compile(
    r"^(apikey:|(org|user|key|hold|holds|journal):\{|(org|user|key|hold|holds|journal):%s"
    r"|orgs$|(user|journal|hold|holds|org|key):$)"
)


def tracked_files() -> list[Path]:
    """What git would commit: tracked files, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=20,
    )
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_stay_under_250_lines() -> None:
    lengths = {relative(p): len(p.read_text().splitlines()) for p in SOURCES}
    assert lengths
    assert {name: n for name, n in lengths.items() if n >= 250} == {}


def test_functions_stay_under_50_lines() -> None:
    too_long = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines >= 50:
                    too_long[f"{relative(path)}:{node.name}"] = lines
    assert too_long == {}


def test_no_file_is_named_for_nothing() -> None:
    banned = re.compile(r"(^|_)(utils?|helpers?|managers?|misc)(_|$)")
    parts = {part for p in SOURCES for part in Path(relative(p)).with_suffix("").parts}
    assert [part for part in sorted(parts) if banned.search(part)] == []


def docstrings(tree: ast.AST) -> set[int]:
    """The ids of the constants that are docstrings: prose may name a key."""
    found = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            found.add(id(body[0].value))
    return found


def key_spellings(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    prose = docstrings(tree)
    return [
        f"{relative(path)}:{node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in prose
        and KEY_PATTERN.match(node.value)
    ]


def test_each_key_is_spelled_only_in_the_keys_file() -> None:
    keys = ROOT / "services" / "common" / "keys.py"
    assert [line for p in SOURCES if p != keys for line in key_spellings(p)] == []


def test_scripts_are_told_their_keys() -> None:
    spelled = re.compile(r"""['"](apikey|org|user|key|hold|holds|journal):""")
    wrong = []
    for path in sorted((ROOT / "services").rglob("*.lua")):
        code = "\n".join(line.split("--")[0] for line in path.read_text().splitlines())
        if spelled.search(code):
            wrong.append(relative(path))
    assert wrong == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.name)
def test_locks_pin_hashes_and_hold_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert re.findall(r"^.*(?:://|--find-links|--index-url|@ file).*$", text, re.M) == []
    entries = [e for e in re.split(r"\n(?=\S)", text) if e and not e.startswith("#")]
    assert len(entries) > 50
    assert [e for e in entries if "==" not in e.split()[0] or "--hash=sha256:" not in e] == []


def test_the_other_locks_contain_the_runtime_lock() -> None:
    pins = {p.name: set(re.findall(r"^([a-z0-9._-]+==[^ ;]+)", p.read_text(), re.M)) for p in LOCKS}
    runtime = pins.pop("requirements.lock")
    assert {name: runtime - found for name, found in pins.items()} == {
        "requirements-dev.lock": set(),
        "requirements-otel.lock": set(),
    }


def test_locks_agree_with_the_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": project["dependency-groups"]["dev"],
        "requirements-otel.lock": project["project"]["optional-dependencies"]["otel"],
    }
    wrong = []
    for lock, requirements in declared.items():
        text = (ROOT / lock).read_text()
        pins = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", text, re.M))
        for requirement in map(Requirement, requirements):
            pin = pins.get(requirement.name.lower())
            if pin is None or not requirement.specifier.contains(pin):
                wrong.append(f"{lock}: {requirement}, pinned {pin}: run make lock")
    assert wrong == []


def test_nothing_is_left_to_do() -> None:
    word = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")
    suffixes = {".py", ".proto", ".lua", ".md", ".toml", ".yaml", ".yml", ".sh", ""}
    found = [
        f"{relative(p)}:{n}"
        for p in tracked_files()
        if p.suffix in suffixes
        for n, line in enumerate(p.read_text().splitlines(), 1)
        if word.search(line)
    ]
    assert found == []


def settings_classes() -> list[type[BaseSettings]]:
    found = []
    for path in sorted((ROOT / "services").glob("**/settings.py")):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for value in vars(module).values():
            is_class = isinstance(value, type) and issubclass(value, BaseSettings)
            if is_class and value.__module__ == module.__name__:
                found.append(value)
    return found


def environment_names(settings: type[BaseSettings]) -> set[str]:
    """The names a field is read from, as pydantic-settings resolves them."""
    prefix = settings.model_config.get("env_prefix", "")
    names = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        choices = getattr(alias, "choices", None) or ([alias] if alias else [])
        names.add(str(choices[0]) if choices else f"{prefix}{name}".upper())
    return names


def test_every_setting_is_in_the_env_example() -> None:
    example = (ROOT / ".env.example").read_text()
    listed = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", example, re.M))
    assert listed
    missing = {cls.__name__: sorted(environment_names(cls) - listed) for cls in settings_classes()}
    assert {name: names for name, names in missing.items() if names} == {}
