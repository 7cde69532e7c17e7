"""compose.yaml, without Docker: its schema, and what it promises."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
EXAMPLE = (DEPLOY.parent / ".env.example").read_text()

Service = dict[str, Any]


def project() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


SERVICES: dict[str, Service] = project()["services"]
PROCESSES = {
    name: service
    for name, service in SERVICES.items()
    if service["image"].startswith("ai-gateway:") and name != "certs"
}


def test_compose_follows_the_specification() -> None:
    tool = Path(sys.executable).with_name("check-jsonschema")
    subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", COMPOSE],
        check=True,
        capture_output=True,
        timeout=30,
    )


@pytest.mark.parametrize("name", SERVICES)
def test_F8_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert re.search(r":.*\d", service["image"]), "an image without a version"


@pytest.mark.parametrize("name", [*PROCESSES, "certs", "valkey"])
def test_F8_what_holds_data_or_keys_is_not_root(name: str) -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", SERVICES[name]["user"])


def test_only_loopback_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", ["edge", "auth", "quota"])
def test_what_scales_has_no_port_and_no_name_of_its_own(name: str) -> None:
    service = SERVICES[name]
    assert "ports" not in service
    assert "container_name" not in service


def test_edge_and_quota_read_the_same_catalog() -> None:
    catalog = "./models.toml:/app/deploy/models.toml:ro"
    assert catalog in SERVICES["edge"]["volumes"]
    assert catalog in SERVICES["quota"]["volumes"]


def test_what_an_edge_leaves_behind_is_found_by_another_one() -> None:
    mounts = [volume for volume in SERVICES["edge"]["volumes"] if isinstance(volume, str)]
    assert "edges:/data" in mounts
    assert "edges" in project()["volumes"]


@pytest.mark.parametrize("name", ["edge", "auth", "quota", "valkey"])
def test_each_start_waits_for_the_health_of_the_one_before(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    waits = {before for before, how in SERVICES[name].get("depends_on", {}).items() if how}
    assert waits >= {"edge": {"auth", "quota"}, "valkey": set()}.get(name, {"valkey", "certs"})


@pytest.mark.parametrize("name", ["edge", "auth", "quota"])
def test_F1_the_processes_speak_mtls_with_their_own_certificate_only(name: str) -> None:
    environment = SERVICES[name]["environment"]
    names = ("CERT", "KEY", "CA")
    assert [environment[f"GATEWAY_TLS_{part}"].split("/")[1] for part in names] == ["certs"] * 3
    mounts = [volume for volume in SERVICES[name]["volumes"] if isinstance(volume, dict)]
    assert [(m["source"], m["volume"]["subpath"], m["read_only"]) for m in mounts] == [
        ("certs", name, True)
    ]


def test_auth_quota_and_the_store_have_no_way_out() -> None:
    assert project()["networks"]["back"] == {"internal": True}
    for name in ("auth", "quota", "valkey"):
        assert SERVICES[name]["networks"] == ["back"]


def test_the_edge_gets_no_key_that_is_not_for_it() -> None:
    environment = SERVICES["edge"]["environment"]
    for name in ("ADMIN_API_KEY", "GATEWAY_MASTER_KEY", "GATEWAY_KV_PASSWORD", "REDIS_URL"):
        assert environment[name] == ""


def test_the_store_keeps_what_it_was_told() -> None:
    (_, _, script) = SERVICES["valkey"]["command"]
    for option in ("--appendonly yes", "--maxmemory-policy noeviction", "user default off"):
        assert option in script
    assert "valkey:/data" in SERVICES["valkey"]["volumes"]


@pytest.mark.parametrize("name", PROCESSES)
def test_the_command_is_a_process_of_ours(name: str) -> None:
    python, flag, module = SERVICES[name]["command"]
    assert (python, flag) == ("python", "-m")
    assert importlib.util.find_spec(f"{module}.__main__")


@pytest.mark.parametrize("name", ["edge", "auth", "quota"])
def test_a_stop_leaves_time_to_drain(name: str) -> None:
    drain = int(SERVICES[name]["environment"].get("GATEWAY_DRAIN_SECONDS", 15))
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= drain + 15


def test_every_variable_is_in_the_env_example() -> None:
    text = COMPOSE.read_text()
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))
    given = {
        name
        for service in PROCESSES.values()
        for name in service["environment"]
        if name.startswith(("GATEWAY_", "ADMIN_", "REDIS_"))
    }
    listed = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.M))
    assert (asked | given) - listed == set()


def test_mounted_files_are_in_the_repository() -> None:
    mounts = [m for s in SERVICES.values() for m in s.get("volumes", ()) if str(m).startswith("./")]
    assert mounts
    assert [m for m in mounts if not (DEPLOY / m.split(":")[0]).exists()] == []
