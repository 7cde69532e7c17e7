"""``python -m services`` with its real processes."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.launch.data import hold

LISTENS = (
    "GATEWAY_EDGE_LISTEN",
    "GATEWAY_AUTH_LISTEN",
    "GATEWAY_QUOTA_LISTEN",
    "GATEWAY_SIMULATOR_LISTEN",
    "GATEWAY_EDGE_METRICS_LISTEN",
    "GATEWAY_AUTH_METRICS_LISTEN",
    "GATEWAY_QUOTA_METRICS_LISTEN",
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """The environment of a launcher with free ports, a new data directory and no upstream."""
    with tempfile.TemporaryDirectory(prefix="gw-") as data, ExitStack() as held:
        ports = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in LISTENS]
        listens = [f"127.0.0.1:{server.getsockname()[1]}" for server in ports]
        held.close()
        ours = ("GATEWAY_", "OPENAI_", "AI_GATEWAY_", "REDIS_URL", "ADMIN_API_KEY")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        yield {
            **inherited,
            **dict(zip(LISTENS, listens, strict=True)),
            "GATEWAY_DATA_DIR": f"{data}/data",
        }


def refusal(environment: dict[str, str], directory: Path) -> tuple[int, str]:
    """Exit code and output of a launcher that does not start."""
    ran = subprocess.run(
        [sys.executable, "-m", "services"],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_a_busy_port_is_one_line_that_names_port_and_variable(
    environment: dict[str, str], tmp_path: Path
) -> None:
    host, port = environment["GATEWAY_QUOTA_LISTEN"].split(":")
    with socket.create_server((host, int(port))):
        code, output = refusal(environment, tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert f"port {port}" in output
    assert "GATEWAY_QUOTA_LISTEN" in output


def test_a_second_launcher_on_the_same_data_is_one_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with hold(Path(environment["GATEWAY_DATA_DIR"])):
        code, output = refusal(environment, tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert "GATEWAY_DATA_DIR" in output


def test_a_weak_admin_key_is_refused_by_name(environment: dict[str, str], tmp_path: Path) -> None:
    code, output = refusal({**environment, "ADMIN_API_KEY": "changeme"}, tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert "ADMIN_API_KEY is too weak" in output
    assert "changeme" not in output


def test_an_address_that_is_none_is_refused_by_name(
    environment: dict[str, str], tmp_path: Path
) -> None:
    code, output = refusal({**environment, "GATEWAY_EDGE_LISTEN": "8787"}, tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert "GATEWAY_EDGE_LISTEN" in output
