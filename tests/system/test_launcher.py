"""``python -m services`` with its real processes."""

import contextlib
import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.common.probe import serving
from services.launch.data import hold
from services.launch.ports import reachable

ROOT = Path(__file__).parent.parent.parent
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


class Launched:
    """A launcher that is running; its output goes to a file."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self._output = directory / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services"],
                env=environment,
                cwd=directory,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def until(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.output}"
            assert self.process.poll() is None, f"ended before {text!r}:\n{self.output}"
            time.sleep(0.02)

    def children(self) -> dict[int, str]:
        """Its processes by id, with their command lines."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    found[int(entry.name)] = b" ".join(words).decode()
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(timeout=60)


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
            "GATEWAY_CATALOG": str(ROOT / "deploy" / "models.toml"),
        }


@pytest.fixture
def launched(environment: dict[str, str], tmp_path: Path) -> Iterator[Launched]:
    """A launcher, and what it started is gone afterwards."""
    launcher = Launched(environment, tmp_path)
    yield launcher
    for _ in range(2):
        with contextlib.suppress(ProcessLookupError):
            launcher.signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            launcher.process.wait(timeout=25)


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


def get(environment: dict[str, str], path: str) -> int:
    edge = http.client.HTTPConnection(environment["GATEWAY_EDGE_LISTEN"], timeout=10)
    with contextlib.closing(edge):
        edge.request("GET", path)
        return edge.getresponse().status


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


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


def is_store(command_line: str) -> bool:
    """Valkey and Redis rewrite their command line once they run."""
    return "-server" in command_line


def test_everything_is_up_when_the_banner_says_so_and_no_key_is_shown(
    environment: dict[str, str], launched: Launched
) -> None:
    launched.until("AI Gateway is ready")
    launched.until('chat "Hello"')
    assert get(environment, "/healthz") == 200
    assert get(environment, "/readyz") == 200
    for name in ("GATEWAY_AUTH_LISTEN", "GATEWAY_QUOTA_LISTEN"):
        assert serving(reachable(name, environment[name]))
    for text in (
        f"http://{environment['GATEWAY_EDGE_LISTEN']}/v1",
        environment["GATEWAY_DATA_DIR"],
        "not a real model",
    ):
        assert text in launched.output
    names = [line.split()[-1] for line in launched.children().values()]
    assert sorted(n for n in names if n.startswith("services.")) == [
        "services.auth",
        "services.edge",
        "services.quota",
        "services.simulator",
    ]
    assert sum(is_store(line) for line in launched.children().values()) == 1
    directory = Path(environment["GATEWAY_DATA_DIR"])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for name in ("admin_api_key", "service_token", "master_key"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
        assert (directory / name).read_text().strip() not in launched.output


def test_a_signal_stops_everything_and_leaves_no_process(launched: Launched) -> None:
    launched.until("AI Gateway is ready")
    children = launched.children()
    assert len(children) == 5
    launched.signal(signal.SIGTERM)
    assert launched.ended() == 0
    assert [line for pid, line in children.items() if alive(pid)] == []
    assert "is killed" not in launched.output


def test_a_signal_while_starting_leaves_no_process(launched: Launched) -> None:
    deadline = time.monotonic() + 30
    while not (children := launched.children()):
        assert time.monotonic() < deadline
    launched.signal(signal.SIGINT)
    assert launched.ended() == 0
    assert [line for pid, line in children.items() if alive(pid)] == []


@pytest.mark.parametrize("victim", ["services.quota", "-server"])
def test_a_process_that_dies_takes_all_down_and_is_named(launched: Launched, victim: str) -> None:
    launched.until("AI Gateway is ready")
    children = launched.children()
    [pid] = [pid for pid, line in children.items() if victim in line]
    os.kill(pid, signal.SIGKILL)
    assert launched.ended() == 1
    name = "kv" if victim == "-server" else victim.removeprefix("services.")
    assert f"error: {name} ended by itself (signal SIGKILL)" in launched.output
    assert [line for pid, line in children.items() if alive(pid)] == []


def test_a_killed_launcher_does_not_let_two_stores_write_the_same_file(
    environment: dict[str, str], launched: Launched, tmp_path: Path
) -> None:
    launched.until("AI Gateway is ready")
    children = launched.children()
    [store] = [pid for pid, line in children.items() if is_store(line)]
    launched.signal(signal.SIGKILL)
    launched.ended()
    try:
        code, output = refusal(environment, tmp_path)
        assert (code, output.count("\n")) == (2, 1)
        assert f"kill {store}" in output
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
