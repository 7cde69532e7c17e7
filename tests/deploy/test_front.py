"""The balancer of compose.yaml, for real: its configuration before two edges that are restarted."""

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.system.fleet import Fleet, fleet, free_ports
from tests.system.process import Process
from tests.waiting import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed here"),
]

CONFIG = Path(__file__).parent.parent.parent / "deploy" / "haproxy" / "haproxy.cfg"
STREAMS = 16
BODY = {
    "model": "simulator/lorem",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 60,
    "stream": True,
}


def before(edges: list[str], port: int) -> str:
    """The configuration with these addresses instead of Docker's names."""
    text = CONFIG.read_text().replace("bind :8787", f"bind 127.0.0.1:{port}")
    text = re.sub(r" resolvers docker init-addr none", "", text)
    servers = "\n".join(f"    server edge-{n} {address}" for n, address in enumerate(edges))
    changed = re.sub(r"^ *server-template .*$", servers, text, flags=re.M)
    assert changed.count("server edge-") == len(edges)
    return changed


@contextmanager
def front(running: Fleet, directory: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    config = directory / "haproxy.cfg"
    config.write_text(before([edge.address for edge in running.edges], port))
    with (directory / "haproxy.log").open("wb") as output:
        process = subprocess.Popen(["haproxy", "-f", config, "-db"], stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, (directory / "haproxy.log").read_text()
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def served(edge: Process, since: int) -> bool:
    """Whether the balancer gives it requests: one has ended, behind that place in its log."""
    return b'"path":"/v1/chat/completions","status":200' in edge.log.read_bytes()[since:]


def test_the_configuration_is_valid() -> None:
    checked = subprocess.run(
        ["haproxy", "-c", "-f", CONFIG], capture_output=True, text=True, timeout=20, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "warning" not in checked.stderr.lower()


async def test_edges_that_restart_one_after_another_cut_no_stream(tmp_path: Path) -> None:
    # 60 tokens take a second and a half.
    settings = {
        "GATEWAY_SIMULATOR_TOKENS_PER_SECOND": "40",
        "GATEWAY_NOTICE_SECONDS": "3",
        "GATEWAY_DRAIN_SECONDS": "20",
    }
    started = fleet(edges=2, settings=settings)
    running = await asyncio.to_thread(started.__enter__)
    balancer = front(running, tmp_path)
    wrong: list[str] = []
    whole = 0
    stop = asyncio.Event()

    async def streams(url: str, key: str) -> None:
        nonlocal whole
        async with httpx.AsyncClient(timeout=30) as client:
            while not stop.is_set():
                try:
                    answer = await client.post(
                        f"{url}/v1/chat/completions",
                        json=BODY,
                        headers={"authorization": f"Bearer {key}"},
                    )
                except httpx.TransportError as error:
                    wrong.append(repr(error))
                    continue
                if answer.status_code == 200 and answer.text.endswith("data: [DONE]\n\n"):
                    whole += 1
                else:
                    wrong.append(f"{answer.status_code} {answer.text[-200:]}")

    try:
        url = await asyncio.to_thread(balancer.__enter__)
        user = running.user(running.organization(), "front@example.com")
        key = running.key(user)["api_key"]
        tasks = [asyncio.create_task(streams(url, key)) for _ in range(STREAMS)]
        seen = dict.fromkeys((edge.name for edge in running.edges), 0)
        for edge in running.edges:
            await until(lambda: all(served(one, seen[one.name]) for one in running.edges), 60)
            assert await asyncio.to_thread(edge.stop, 60) == 0
            seen[edge.name] = edge.log.stat().st_size
            await asyncio.to_thread(edge.restart)
        await until(lambda: all(served(one, seen[one.name]) for one in running.edges), 60)
        stop.set()
        await asyncio.gather(*tasks)
        assert wrong == []
        assert whole >= STREAMS
    finally:
        await asyncio.to_thread(balancer.__exit__, None, None, None)
        await asyncio.to_thread(started.__exit__, None, None, None)
