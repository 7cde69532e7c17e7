"""A gateway made of real processes: any number of edges, auths and quotas over one KV."""

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from services.launch import kv
from tests.system.process import START_SECONDS, Process
from tests.waiting import wait_until

ADMIN_KEY = "fleet-admin-key-" + "7c" * 16
SERVICE_TOKEN = "fleet-service-token-" + "3e" * 16
MASTER_KEY = "5a" * 32
PATIENT = {"GATEWAY_KV_TIMEOUT_MS": "2000", "GATEWAY_PATIENCE_SECONDS": "10"}
"""For a machine that has much else to do: a process that gets no time for a moment is not what most
tests look for."""


def free_ports(count: int) -> list[int]:
    """Ports nobody listened on a moment ago."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


@dataclass
class Fleet:
    """The running processes, and the admin API as a test uses it."""

    kv_url: str
    simulator: Process
    auths: list[Process]
    quotas: list[Process]
    edges: list[Process]
    directory: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    @property
    def urls(self) -> list[str]:
        """``http://127.0.0.1:…`` of each edge."""
        return [f"http://{edge.address}" for edge in self.edges]

    def everyone(self) -> list[Process]:
        return [self.simulator, *self.auths, *self.quotas, *self.edges]

    def admin(self, method: str, path: str, body: Any = None, *, edge: int = 0) -> Any:
        """The JSON answer of an admin route; raises for any status of 400 or more."""
        return _told(self._admin(method, path, body, edge))

    def look(self, path: str, *, edge: int = 0) -> Any:
        """What an admin route tells, once those it asks are back: they need a moment to notice
        that a KV or a neighbour is there again, and answer 503 until then."""
        answers: list[httpx.Response] = []

        def answered() -> bool:
            answers.append(self._admin("GET", path, None, edge))
            return answers[-1].status_code != 503

        wait_until(answered, START_SECONDS)
        return _told(answers[-1])

    def _admin(self, method: str, path: str, body: Any, edge: int) -> httpx.Response:
        return self.client.request(
            method,
            f"{self.urls[edge]}/admin{path}",
            json=body,
            headers={"authorization": f"Bearer {ADMIN_KEY}"},
        )

    def organization(self, budget: str = "1000", **fields: Any) -> str:
        """A new organisation's id."""
        body = {"name": "Fleet", "monthly_budget_usd": budget, **fields}
        return str(self.admin("POST", "/organizations", body)["org_id"])

    def user(self, org: str, email: str, limit: str = "1000", **fields: Any) -> str:
        """A new user's id."""
        body = {"email": email, "org_id": org, "monthly_limit_usd": limit, **fields}
        return str(self.admin("POST", "/users", body)["user_id"])

    def key(self, user: str, **fields: Any) -> dict[str, str]:
        """A new key: ``key_id`` and ``api_key`` among others."""
        made: dict[str, str] = self.admin(
            "POST", f"/users/{user}/api-keys", {"name": "test", **fields}
        )
        return made


def _told(answer: httpx.Response) -> Any:
    if answer.is_error:
        asked = answer.request
        raise RuntimeError(f"{asked.method} {asked.url}: {answer.status_code} {answer.text}")
    return answer.json() if answer.content else None


def environment(**ours: str) -> dict[str, str]:
    """This process's environment without any setting of a gateway, and then ``ours``."""
    prefixes = ("GATEWAY_", "OPENAI_", "AI_GATEWAY_", "REDIS_URL", "ADMIN_API_KEY")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    return inherited | ours


@contextmanager
def fleet(
    *,
    edges: int = 1,
    auths: int = 1,
    quotas: int = 1,
    kv_url: str | None = None,
    settings: dict[str, str] | None = None,
    edge_settings: Sequence[dict[str, str]] = (),
    quota_way: Callable[[str], str] = str,
    sockets: bool = False,
    waits: Mapping[str, str] = PATIENT,
) -> Iterator[Fleet]:
    """Start everything, give it, stop everything. ``settings`` go to every process,
    ``edge_settings`` to the edges one by one; ``quota_way`` answers where edges reach quota, given
    where it is. With ``sockets`` the edges reach auth and quota, one of each, by unix socket.
    ``waits`` is empty for the time limits that a gateway has by itself."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        url = kv_url or stack.enter_context(kv.running(directory / "kv"))
        ports = iter(free_ports(1 + auths + quotas + edges))
        auth_addresses = [f"127.0.0.1:{next(ports)}" for _ in range(auths)]
        quota_addresses = [f"127.0.0.1:{next(ports)}" for _ in range(quotas)]
        simulator_address = f"127.0.0.1:{next(ports)}"
        common = environment(
            REDIS_URL=url,
            ADMIN_API_KEY=ADMIN_KEY,
            GATEWAY_SERVICE_TOKEN=SERVICE_TOKEN,
            GATEWAY_MASTER_KEY=MASTER_KEY,
            GATEWAY_AUTH_TARGET=_target(auth_addresses),
            GATEWAY_QUOTA_TARGET=quota_way(_target(quota_addresses)),
            GATEWAY_AUTH_METRICS_LISTEN="",
            GATEWAY_QUOTA_METRICS_LISTEN="",
            GATEWAY_EDGE_METRICS_LISTEN="",
            GATEWAY_SIMULATOR_URL=f"http://{simulator_address}/v1",
            GATEWAY_SIMULATOR_LISTEN=simulator_address,
            GATEWAY_SIMULATOR_LOG=str(directory / "witness.jsonl"),
            GATEWAY_SIMULATOR_KEEP_BODIES="true",
            GATEWAY_SIMULATOR_FIRST_TOKEN_MS="0",
            GATEWAY_SIMULATOR_TOKENS_PER_SECOND="0",
            GATEWAY_DATA_DIR=str(directory / "data"),
        ) | {**waits, **(settings or {})}

        def process(name: str, service: str, address: str, **more: str) -> Process:
            return Process(name, service, common | more, address, directory / f"{name}.log")

        made = Fleet(
            url,
            process("simulator", "simulator", simulator_address),
            [
                process(f"auth-{n}", "auth", a, GATEWAY_AUTH_LISTEN=a)
                for n, a in enumerate(auth_addresses)
            ],
            [
                process(f"quota-{n}", "quota", a, GATEWAY_QUOTA_LISTEN=a)
                for n, a in enumerate(quota_addresses)
            ],
            [],
            directory,
        )
        for service, one in (("AUTH", made.auths[0]), ("QUOTA", made.quotas[0])) if sockets else ():
            path = f"unix:{directory}/{one.name}.sock"
            one.environment[f"GATEWAY_{service}_LISTEN"] += f",{path}"
            common[f"GATEWAY_{service}_TARGET"] = path
        for number in range(edges):
            address = f"127.0.0.1:{next(ports)}"
            more = {
                "GATEWAY_EDGE_LISTEN": address,
                "GATEWAY_DATA_DIR": str(directory / f"edge-{number}"),
            } | (edge_settings[number] if number < len(edge_settings) else {})
            made.edges.append(process(f"edge-{number}", "edge", address, **more))
        stack.callback(made.client.close)
        stack.callback(_stop, made)
        for one in made.everyone():
            one.start()
        for one in made.everyone():
            one.wait_healthy()
        yield made


def _target(addresses: list[str]) -> str:
    """One gRPC target for all of them."""
    return addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)


def _stop(made: Fleet) -> None:
    running = [p for p in reversed(made.everyone()) if p.popen and p.popen.poll() is None]
    for one in running:
        one.signal(signal.SIGCONT)
        one.signal(signal.SIGTERM)
    for one in running:
        assert one.popen is not None
        try:
            one.popen.wait(30)
        except subprocess.TimeoutExpired:
            one.kill()
