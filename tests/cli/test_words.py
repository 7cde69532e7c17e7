"""The words of gw: help with an example everywhere, clear refusals before anything is sent."""

from pathlib import Path

import pytest
import typer

from cli import settings, show
from cli.__main__ import app
from cli.failure import Failure
from cli.settings import Settings, Target
from tests.cli.conftest import Gw

ENV_EXAMPLE = Path(__file__).parent.parent.parent / ".env.example"


def commands(group: typer.Typer, *above: str) -> list[tuple[str, ...]]:
    """Every command there is, as typed."""
    found = []
    for command in group.registered_commands:
        assert command.callback is not None
        found.append((*above, command.name or command.callback.__name__.rstrip("_")))
    for below in group.registered_groups:
        assert below.typer_instance is not None and below.name is not None
        found += commands(below.typer_instance, *above, below.name)
    return found


COMMANDS = commands(app)


def test_the_words_of_the_design_are_all_there() -> None:
    typed = {" ".join(command) for command in COMMANDS}
    assert typed >= {
        "setup",
        "cleanup",
        "chat",
        *(f"admin {one}" for one in ("metrics", "audit", "usage", "verify")),
        *(f"admin org {one}" for one in ("create", "get", "update", "delete", "usage", "users")),
        *(f"admin user {one}" for one in ("create", "get", "update", "delete", "usage", "list")),
        "admin org list",
        "admin user reset-quota",
        *(f"admin apikey {one}" for one in ("create", "list", "revoke", "rotate")),
        *(f"admin provider-key {one}" for one in ("set", "list", "delete")),
    }


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_each_command_has_an_example_of_itself(
    gw: Gw, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    told = gw(*command, "--help")
    assert told.code == 0
    assert f"Example: gw {' '.join(command)}" in told.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nonsense",), 2),
        (("admin", "org", "create", "Demo"), 2),
        (("admin", "org", "list", "--limit", "-1"), 2),
        (("admin", "org", "list"), 5),
        (("chat", "Hello"), 5),
        (("--prod", "setup"), 2),
        (("chat", "Hello", "--prod"), 2),
        (("--url", "ftp://x", "setup"), 2),
        (("--url", "http://127.0.0.1:1", "chat", "Hello", "--api-key", "k"), 3),
        (("admin", "usage", "--by", "colour"), 2),
        (("admin", "usage", "--format", "xml"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_what_cannot_work_is_told_in_one_line_with_its_exit_code(
    gw: Gw, arguments: tuple[str, ...], code: int
) -> None:
    told = gw(*arguments)
    assert told.code == code
    assert told.error.startswith("error: ")
    assert (told.error.count("\n"), told.out) == (1, "")


def settings_of(directory: Path, **given: str) -> Settings:
    urls = {"url": "http://localhost:1", "prod_url": "https://b"}
    return Settings(**{**urls, "admin_api_key": "", "model": "", **given}, data_dir=directory)


def test_the_local_admin_key_never_leaves_for_production(tmp_path: Path) -> None:
    (tmp_path / "admin_api_key").write_text("local-key\n")
    known = settings_of(tmp_path)
    assert Target.choose(known, prod=False, url=None).admin_key == "local-key"
    with pytest.raises(Failure, match="ADMIN_API_KEY is not set"):
        assert Target.choose(known, prod=True, url=None).admin_key


def test_the_local_admin_key_never_leaves_for_another_address(tmp_path: Path) -> None:
    (tmp_path / "admin_api_key").write_text("local-key\n")
    elsewhere = Target.choose(settings_of(tmp_path), prod=False, url="https://elsewhere.example")
    with pytest.raises(Failure):
        assert elsewhere.admin_key


def test_the_demo_key_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    target = Target.choose(settings_of(directory), prod=False, url=None)
    target.keep_demo_key("gw_live_a")
    target.keep_demo_key("gw_live_b")
    assert target.demo_key == "gw_live_b"
    assert target.demo_key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in directory.iterdir()] == ["demo_api_key"]
    assert Target.choose(settings_of(directory), prod=True, url=None).demo_key == ""


def test_dotenv_is_read_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("GATEWAY_URL=http://from-file\nGATEWAY_MODEL=file/model\n")
    monkeypatch.delenv("GATEWAY_MODEL", raising=False)
    monkeypatch.setenv("GATEWAY_URL", "http://from-environment")
    loaded = Settings.load()
    assert (loaded.url, loaded.model) == ("http://from-environment", "file/model")


def test_every_variable_gw_reads_is_in_the_env_example() -> None:
    source = Path(settings.__file__).read_text()
    names = [part.split('"')[0] for part in source.split('read("')[1:]]
    assert len(names) == 5
    example = ENV_EXAMPLE.read_text()
    assert [name for name in names if f"{name}=" not in example] == []


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("spent_usd", "0.000000001", "$0.000000001"),
        ("limit_usd", None, "-"),
        ("held_usd", "-0.0062", "-$0.0062"),
        ("created_at", "2026-11-23T15:00:00.123Z", "2026-11-23 15:00:00Z"),
        ("name", "\x1b[31mred\x07", "[31mred"),
        ("allowed_models", ["a", "b"], "a, b"),
        ("ok", True, "yes"),
    ],
)
def test_cells_are_exact_and_cannot_steer_the_terminal(
    field: str, value: object, expected: str
) -> None:
    assert show.cell(field, value) == expected


def test_changes_are_told_as_people_say_them() -> None:
    before = {"monthly_limit_usd": "10", "name": "Ada"}
    after = {"monthly_limit_usd": "20", "requests_per_minute": 60, "allowed_models": ["a/*", "b"]}
    assert show.changes(before, after) == (
        "monthly limit $10 → $20, name Ada → -, requests per minute 60, allowed models a/*, b"
    )
    assert show.changes(None, {"status": "active"}) == "status active"
    assert show.changes({"status": "active"}, None) == "status active"
    assert show.changes(None, None) == "-"
