"""What our documents tell people to type works, in the order in which they tell it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.recipes import ROOT, grpcurl, recipes
from tests.system.fleet import environment, free_ports

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

LISTENS = {
    "localhost:8787": "GATEWAY_EDGE_LISTEN",
    "localhost:50051": "GATEWAY_AUTH_LISTEN",
    "localhost:50052": "GATEWAY_QUOTA_LISTEN",
}
OTHERS = (
    "GATEWAY_SIMULATOR_LISTEN",
    "GATEWAY_EDGE_METRICS_LISTEN",
    "GATEWAY_AUTH_METRICS_LISTEN",
    "GATEWAY_QUOTA_METRICS_LISTEN",
)


@dataclass
class Gateway:
    """A gateway started by ``make run``, and what to put in place of our documents' addresses."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    replacements: dict[str, str]
    log: Path

    def shell(self, text: str) -> str:
        """What a shell prints; fails where any of its commands fails."""
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout}\n{ran.stderr}\n{self.log.read_text()}"
        return ran.stdout


@contextmanager
def made_to_run() -> Iterator[Gateway]:
    """``make run`` with ports and a data directory of its own, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="gw-") as made, ExitStack() as stack:
        data, log = Path(made) / "data", Path(made) / "log"
        names = [*LISTENS.values(), *OTHERS]
        listens = {
            name: f"127.0.0.1:{port}"
            for name, port in zip(names, free_ports(len(names)), strict=True)
        }
        ours = environment(**listens, GATEWAY_DATA_DIR=str(data))
        replacements = {theirs: listens[name] for theirs, name in LISTENS.items()}
        ours["GATEWAY_URL"] = f"http://{listens['GATEWAY_EDGE_LISTEN']}"
        output = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(
            ["make", "run"],
            cwd=ROOT,
            env=ours,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 90
            while "AI Gateway is ready" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield Gateway(process, ours, {**replacements, ".gateway/": f"{data}/"}, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)


def reachable(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


def test_the_readme_works_from_make_run_to_the_exact_cost() -> None:
    blocks = list(recipes("README.md", "sh", "python"))
    assert blocks[0].text == "make run\n"
    with made_to_run() as gateway:
        printed = []
        for block in blocks[1:]:
            text = block.at(gateway.replacements)
            if block.language == "python":
                ran = subprocess.run(
                    [sys.executable, "-c", text],
                    env=gateway.environment,
                    capture_output=True,
                    text=True,
                    timeout=60,
                )
                assert ran.returncode == 0, ran.stderr
                printed.append(ran.stdout)
            else:
                printed.append(gateway.shell(text))
        everything = "\n".join(printed)
        assert "gw_live_" in printed[0]
        assert '"content":"Hello"' in everything
        assert '"spent_usd":"0.0' in everything
        assert "Research" in printed[-1] or "Research" in everything
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(60)
        for address in gateway.replacements.values():
            assert ":" not in address or not reachable(address), f"{address} is still there"


def test_every_recipe_of_the_api_page_runs() -> None:
    curl_with_grpc = grpcurl()
    if curl_with_grpc is None and os.environ.get("CI") == "true":
        pytest.fail("grpcurl is missing: run `make tools` first")
    script = []
    with made_to_run() as gateway:
        for block in recipes("docs/api.md", "sh"):
            if "grpcurl" in block.text and curl_with_grpc is None:
                continue
            script.append(block.at(gateway.replacements))
        if curl_with_grpc is not None:
            script.insert(0, f'export PATH="$PATH:{Path(curl_with_grpc).parent}"')
        printed = gateway.shell("\n".join(script))
    assert '"content":"Hello"' in printed
    assert "gateway.auth.v1.AuthAdminService" in printed
    assert '"ok":true' in printed.replace(" ", "")
    if curl_with_grpc is None:
        pytest.skip("grpcurl is not installed (`make tools`); the other recipes ran")
