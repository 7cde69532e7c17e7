"""The processes of a benchmark: mock, gateway, nginx, naive gateway; and what they consume."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tests.system.fleet import SERVICE_TOKEN, Fleet, fleet, free_ports

CATALOG = Path(__file__).with_name("catalog.toml")
_TICKS = os.sysconf("SC_CLK_TCK")
_NGINX = """
daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_buffer_size 64k;
  client_body_temp_path {directory}; proxy_temp_path {directory};
  fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
  upstream mock {{ server 127.0.0.1:{mock}; keepalive 4096; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@dataclass
class Target:
    """Where requests go, and whose CPU they cost."""

    name: str
    port: int
    pids: dict[str, list[int]] = field(default_factory=dict)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU used so far, user and system, by role."""
        return {role: sum(map(cpu_seconds, pids)) for role, pids in self.pids.items()}

    def rss_mib(self) -> dict[str, float]:
        return {role: sum(map(rss_mib, pids)) for role, pids in self.pids.items()}


def cpu_seconds(pid: int) -> float:
    """Of the process and of the children it has now."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS + sum(map(cpu_seconds, children(pid)))


def children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, path.read_text().split())
    return found


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024 + sum(map(rss_mib, children(pid)))
    return 0.0


@contextmanager
def process(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on ``port``."""
    popen = subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if popen.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"does not listen on {port}: {command}") from None
                time.sleep(0.05)
        yield popen
    finally:
        popen.send_signal(signal.SIGTERM)
        try:
            popen.wait(10)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


@contextmanager
def mock(*certificate: str) -> Iterator[Target]:
    """The provider; over TLS with the files of a certificate and its key."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.bench.mock", str(port), *certificate]
    with process(command, port) as popen:
        yield Target("direct", port, {"mock": [popen.pid]})


@contextmanager
def nginx(upstream: Target) -> Iterator[Target | None]:
    """None where nginx is not installed."""
    binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        yield None
        return
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="nginx-") as directory:
        config = Path(directory) / "nginx.conf"
        config.write_text(_NGINX.format(directory=directory, mock=upstream.port, port=port))
        with process([binary, "-p", directory, "-c", str(config)], port) as popen:
            yield Target("nginx", port, {"nginx": [popen.pid]})


@dataclass
class Gateway:
    """The gateway, everything on, with a key whose budget never ends."""

    target: Target
    fleet: Fleet
    key: str
    org: str
    user: str


@contextmanager
def gateway(
    upstream: Target, *, edges: int = 1, quotas: int = 1, **settings: str
) -> Iterator[Gateway]:
    told = {
        "GATEWAY_CATALOG": str(CATALOG),
        "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1",
        "OPENAI_API_KEY": "bench",
        "GATEWAY_DEFAULT_PROVIDER": "bench",
        "GATEWAY_LOG_FORMAT": "json",
        **settings,
    }
    with fleet(edges=edges, quotas=quotas, settings=told, sockets=quotas == 1, waits={}) as made:
        org = made.organization("1000000")
        user = made.user(org, "bench@example.com", "1000000")
        key = made.key(user)["api_key"]
        with redis.Redis.from_url(made.kv_url, protocol=3) as kv:
            kv_pid = int(kv.info("server")["process_id"])
        pids = {
            "edge": [p.popen.pid for p in made.edges if p.popen],
            "auth": [p.popen.pid for p in made.auths if p.popen],
            "quota": [p.popen.pid for p in made.quotas if p.popen],
            "kv": [kv_pid],
        }
        port = int(made.edges[0].address.rpartition(":")[2])
        yield Gateway(Target("gateway", port, pids), made, key, org, user)


@contextmanager
def naive(of: Gateway, upstream: Target) -> Iterator[Target]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{upstream.port}/v1/chat/completions"
    auth, quota = of.fleet.auths[0].address, of.fleet.quotas[0].address
    command = [sys.executable, "-m", "tests.bench.naive", str(port), auth, quota, url]
    with process([*command, SERVICE_TOKEN], port) as popen:
        yield Target("naive", port, {**of.target.pids, "edge": [popen.pid]})
