"""The simulator as a process, its settings, and its pace."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import orjson
import pytest

from services.common.settings import SettingsError
from services.simulator.server import beside, serving
from services.simulator.settings import SimulatorSettings

ROOT = Path(__file__).parent.parent.parent
QUESTION = {"model": "lorem", "messages": [{"role": "user", "content": "[[sim tokens=40]] hi"}]}


@pytest.mark.system
def test_the_process_says_where_it_is_answers_and_ends_cleanly(tmp_path: Path) -> None:
    log = tmp_path / "witness.jsonl"
    environment = {
        **os.environ,
        "GATEWAY_SIMULATOR_LISTEN": "127.0.0.1:0",
        "GATEWAY_SIMULATOR_LOG": str(log),
        "GATEWAY_SIMULATOR_FIRST_TOKEN_MS": "0",
        "GATEWAY_SIMULATOR_TOKENS_PER_SECOND": "0",
        "GATEWAY_LOG_FORMAT": "json",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "services.simulator"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        listening = orjson.loads(process.stderr.readline())
        answer = httpx.post(f"{listening['url']}/v1/chat/completions", json=QUESTION, timeout=10)
        cut = {"x-simulator": "cut_after=1"}
        with pytest.raises(httpx.TransportError):
            httpx.post(
                f"{listening['url']}/v1/chat/completions",
                json=QUESTION | {"stream": True},
                headers=cut,
                timeout=10,
            )
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    assert answer.json()["usage"]["completion_tokens"] == 40
    assert len(log.read_bytes().splitlines()) == 4


async def test_a_busy_port_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = SimulatorSettings.immediate().model_copy(update={"listen": f"127.0.0.1:{port}"})
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with serving(settings):
                pass
        with pytest.raises(SettingsError), beside(settings):
            pass


async def test_a_log_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"GATEWAY_SIMULATOR_LOG: .*directory"):
        async with serving(SimulatorSettings.immediate(log=tmp_path)):
            pass


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SIMULATOR_LISTEN", "127.0.0.1:9999")
    monkeypatch.setenv("GATEWAY_SIMULATOR_TOKENS_PER_SECOND", "25.5")
    settings = SimulatorSettings.load()
    assert (settings.listen, settings.tokens_per_second) == ("127.0.0.1:9999", 25.5)
    monkeypatch.setenv("GATEWAY_SIMULATOR_LISTEN", "nowhere")
    with pytest.raises(SettingsError, match="GATEWAY_SIMULATOR_LISTEN"):
        SimulatorSettings.load()


@pytest.mark.parametrize("stream", [True, False])
def test_the_pace_is_that_of_the_settings(stream: bool) -> None:
    pace = {"first_token_ms": 100, "tokens_per_second": 100}
    with beside(SimulatorSettings.immediate().model_copy(update=pace)) as simulator:
        began = time.monotonic()
        httpx.post(
            f"{simulator.url}/v1/chat/completions", json=QUESTION | {"stream": stream}, timeout=10
        )
        assert time.monotonic() - began > 0.45
