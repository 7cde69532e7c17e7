"""A Valkey Cluster of real processes on loopback, which can be killed and resharded."""

import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from services.launch.kv import find_server

_SECONDS = 20.0
_BUS = 10_000


def wait_until(true: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports that are free, together with the port of the cluster bus that belongs to each. Below
    the range that the system gives to clients, where tests take theirs from."""
    found: list[int] = []
    candidates = random.sample(range(10_240, 22_000), 2_000)
    for port in candidates:
        try:
            for number in (port, port + _BUS):
                socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


@dataclass
class Node:
    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        server = find_server()
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "cluster-enabled": "yes",
            "cluster-node-timeout": "1500",
            "cluster-require-full-coverage": "no",
            "cluster-allow-replica-migration": "no",
            "repl-diskless-sync-delay": "0",
            "loglevel": "warning",
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        with (self.directory / "log").open("ab") as output:
            self.process = subprocess.Popen(
                [str(server.path), *words], stdout=output, stderr=output
            )
        wait_until(self.answers, f"node {self.port}")

    def answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.ConnectionError:
            return False

    def ask(self, *args: Any) -> Any:
        """A command to this node, as it is."""
        with redis.Redis(
            port=self.port, protocol=3, decode_responses=True, socket_timeout=5
        ) as client:
            return client.execute_command(*args)

    def info(self) -> dict[str, str]:
        told: str = self.ask("CLUSTER", "INFO")
        return dict(line.split(":", 1) for line in told.split("\r\n") if ":" in line)

    @property
    def id(self) -> str:
        return str(self.ask("CLUSTER", "MYID"))

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


@dataclass
class Cluster:
    """``nodes[:primaries]`` have the slots; each node behind them is a replica of one."""

    nodes: list[Node]
    primaries: int

    @property
    def url(self) -> str:
        return "redis://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def owner(self, key: str) -> Node:
        """The node that has this key's slot."""
        slot = key_slot(key.encode())
        alive = next(node for node in self.nodes if node.answers())
        for start, end, (_, port, *_), *_replicas in alive.ask("CLUSTER", "SLOTS"):
            if start <= slot <= end:
                return next(node for node in self.nodes if node.port == port)
        raise RuntimeError(f"nobody has slot {slot}")

    def move(self, key: str, target: Node) -> None:
        """Move this key's slot to another node, atomically, while it is used."""
        slot, source = key_slot(key.encode()), self.owner(key)
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        wait_until(lambda: self.owner(key) is target, f"slot {slot} moves")

    def wait_ok(self) -> None:
        def agreed() -> bool:
            alive = [node for node in self.nodes if node.answers()]
            return all(
                (info := node.info())["cluster_state"] == "ok"
                and info["cluster_slots_ok"] == str(REDIS_CLUSTER_HASH_SLOTS)
                for node in alive
            )

        wait_until(agreed, "the cluster is ok")

    def flush(self) -> None:
        for node in self.nodes[: self.primaries]:
            node.ask("FLUSHALL")


def _form(cluster: Cluster) -> None:
    nodes, first = cluster.nodes, cluster.nodes[0]
    share = REDIS_CLUSTER_HASH_SLOTS // cluster.primaries
    for number, node in enumerate(nodes[: cluster.primaries]):
        last = number == cluster.primaries - 1
        end = REDIS_CLUSTER_HASH_SLOTS - 1 if last else (number + 1) * share - 1
        node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, end)
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        first.ask("CLUSTER", "MEET", "127.0.0.1", node.port)
    everyone = str(len(nodes))
    wait_until(
        lambda: all(node.info()["cluster_known_nodes"] == everyone for node in nodes),
        "the nodes know each other",
    )
    for number, node in enumerate(nodes[cluster.primaries :]):
        primary = nodes[number % cluster.primaries].id
        wait_until(partial(_replicate, node, primary), "a replica follows")
    cluster.wait_ok()
    for node in nodes[cluster.primaries :]:
        wait_until(partial(_is_linked, node), "a replica has its data")


def _replicate(node: Node, primary: str) -> bool:
    try:
        return bool(node.ask("CLUSTER", "REPLICATE", primary))
    except redis.ResponseError:
        return False


def _is_linked(node: Node) -> bool:
    role, _, _, state, _ = node.ask("ROLE")
    return bool(role == "slave" and state == "connected")


@contextmanager
def running(primaries: int = 3, replicas: int = 0) -> Iterator[Cluster]:
    """A cluster for the length of a ``with``; ``replicas`` in all, given to the primaries in
    turn."""
    with tempfile.TemporaryDirectory(prefix="kvc-") as made:
        ports = free_ports(primaries + replicas)
        cluster = Cluster([Node(port, Path(made) / str(port)) for port in ports], primaries)
        try:
            for node in cluster.nodes:
                node.start()
            _form(cluster)
            yield cluster
        finally:
            for node in cluster.nodes:
                node.stop()
