import os
from pathlib import Path

import pytest

from services.common.settings import SettingsError
from services.launch.banner import banner
from services.launch.plans import environment, listens, taken
from services.launch.settings import LaunchSettings

OURS = ("GATEWAY_", "OPENAI_", "AI_GATEWAY_", "REDIS_URL", "ADMIN_API_KEY")
KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours, no .env, a data directory of the test's own."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))


def told(terminal: bool = False) -> dict[str, str]:
    settings = LaunchSettings.load()
    return environment(settings, {"HOME": "/"}, redis_url="unix:///kv", terminal=terminal)


def test_without_an_upstream_the_simulator_is_one_and_the_banner_says_what_it_is() -> None:
    assert told()["GATEWAY_SIMULATOR_URL"] == "http://127.0.0.1:8790/v1"
    assert "GATEWAY_SIMULATOR_LISTEN" in listens(LaunchSettings.load())
    assert "not a real model" in banner(LaunchSettings.load(), store="x")


@pytest.mark.parametrize(
    ("variables", "upstream"),
    [
        ({"OPENAI_API_KEY": "sk-1"}, "OpenAI"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}, "http://127.0.0.1:11434/v1"),
        ({"AI_GATEWAY_ACCOUNT_ID": "a", "AI_GATEWAY_ID": "team"}, "Cloudflare AI Gateway team"),
    ],
)
def test_with_an_upstream_no_simulator_is_started(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], upstream: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = LaunchSettings.load()
    assert settings.upstream == upstream
    assert "GATEWAY_SIMULATOR_LISTEN" not in listens(settings)
    assert "GATEWAY_SIMULATOR_URL" not in told()
    shown = banner(settings, store="x")
    assert upstream in shown
    assert "not a real model" not in shown
    assert "sk-1" not in shown


def test_the_banner_leads_operators_to_the_admin_listener_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_ADMIN_LISTEN", "127.0.0.1:8788")
    shown = banner(LaunchSettings.load(), store="x")
    assert "http://127.0.0.1:8788/console" in shown and "http://127.0.0.1:8788/admin" in shown
    assert "--url http://127.0.0.1:8788 setup" in shown
    assert "http://127.0.0.1:8787/v1" in shown
    assert "8787/admin" not in shown


def test_half_of_cloudflare_is_no_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_GATEWAY_ACCOUNT_ID", "a")
    assert LaunchSettings.load().upstream == ""


def test_the_edge_finds_what_was_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_AUTH_LISTEN", "0.0.0.0:6001")
    monkeypatch.setenv("GATEWAY_QUOTA_LISTEN", "127.0.0.1:6002")
    monkeypatch.setenv("GATEWAY_QUOTA_TARGET", "dns:///quota:6002")
    assert told()["GATEWAY_AUTH_TARGET"] == "127.0.0.1:6001"
    assert told()["GATEWAY_QUOTA_TARGET"] == "dns:///quota:6002"


def test_a_given_key_wins_and_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", KEY)
    given = told()
    assert given["ADMIN_API_KEY"] == KEY
    assert not (tmp_path / "admin_api_key").exists()
    assert given["GATEWAY_MASTER_KEY"] == (tmp_path / "master_key").read_text().strip()
    assert given["GATEWAY_SERVICE_TOKEN"] != given["GATEWAY_MASTER_KEY"]


@pytest.mark.parametrize("name", ["ADMIN_API_KEY", "GATEWAY_SERVICE_TOKEN", "GATEWAY_MASTER_KEY"])
def test_a_weak_key_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "short")
    with pytest.raises(SettingsError, match=f"^{name} is too weak"):
        told()


def test_a_terminal_gets_readable_logs_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert told(terminal=True)["GATEWAY_LOG_FORMAT"] == "console"
    assert "GATEWAY_LOG_FORMAT" not in told(terminal=False)
    monkeypatch.setenv("GATEWAY_LOG_FORMAT", "json")
    assert told(terminal=True).get("GATEWAY_LOG_FORMAT") is None


def by_socket(directory: Path) -> dict[str, str]:
    settings = LaunchSettings.load()
    return environment(settings, {}, redis_url="unix:///kv", terminal=False, sockets=directory)


def test_on_one_machine_the_services_are_reached_by_socket_and_by_port() -> None:
    found = by_socket(Path("/run/gw"))
    assert found["GATEWAY_AUTH_LISTEN"] == "127.0.0.1:50051,unix:/run/gw/auth.sock"
    assert found["GATEWAY_AUTH_TARGET"] == "unix:/run/gw/auth.sock"
    assert found["GATEWAY_QUOTA_LISTEN"] == "127.0.0.1:50052,unix:/run/gw/quota.sock"
    assert found["GATEWAY_QUOTA_TARGET"] == "unix:/run/gw/quota.sock"


def test_a_place_that_was_chosen_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_QUOTA_TARGET", "dns:///quota:6002")
    found = by_socket(Path("/run/gw"))
    assert found["GATEWAY_QUOTA_TARGET"] == "dns:///quota:6002"
    assert found["GATEWAY_QUOTA_LISTEN"] == "127.0.0.1:50052"
    assert found["GATEWAY_AUTH_TARGET"] == "unix:/run/gw/auth.sock"


def test_certificates_and_long_paths_keep_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_socket(Path("/" + "d" * 120))["GATEWAY_AUTH_TARGET"] == "127.0.0.1:50051"
    monkeypatch.setenv("GATEWAY_TLS_CERT", "cert.pem")
    assert by_socket(Path("/run/gw"))["GATEWAY_AUTH_TARGET"] == "127.0.0.1:50051"


def test_several_workers_are_reached_by_the_port_they_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_QUOTA_WORKERS", "2")
    found = by_socket(Path("/run/gw"))
    assert found["GATEWAY_QUOTA_LISTEN"] == "127.0.0.1:50052"
    assert found["GATEWAY_QUOTA_TARGET"] == "127.0.0.1:50052"
    assert found["GATEWAY_AUTH_TARGET"] == "unix:/run/gw/auth.sock"


def test_the_metrics_of_every_worker_take_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_EDGE_WORKERS", "3")
    monkeypatch.setenv("GATEWAY_AUTH_METRICS_LISTEN", "")
    monkeypatch.setenv("GATEWAY_AUTH_WORKERS", "2")
    ports = taken(LaunchSettings.load())
    assert ports["GATEWAY_EDGE_METRICS_LISTEN"] == "127.0.0.1:9100,127.0.0.1:9110,127.0.0.1:9120"
    assert ports["GATEWAY_QUOTA_METRICS_LISTEN"] == "127.0.0.1:9102"
    assert set(ports["GATEWAY_AUTH_METRICS_LISTEN"]) <= {","}
    assert ports["GATEWAY_EDGE_LISTEN"] == "127.0.0.1:8787"
