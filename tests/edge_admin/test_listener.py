"""A13: the control plane on a listener of its own is not on the public one."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from services.edge.__main__ import serving
from tests.edge.world import ADMIN_KEY, World
from tests.system.fleet import free_ports


@pytest.fixture
def listeners(gateway: World, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The public and the admin address of an edge that has both."""
    (port,) = free_ports(1)
    apart = {"admin_listen": f"127.0.0.1:{port}", "data_dir": tmp_path}
    settings = gateway.edge_settings.model_copy(update=apart)
    stack = AsyncExitStack()
    public = gateway.do(stack.enter_async_context(serving(settings)))
    yield f"http://{public}", f"http://127.0.0.1:{port}"
    gateway.do(stack.aclose())


def test_a13_admin_paths_are_404_in_public_and_served_apart(
    gateway: World, listeners: tuple[str, str]
) -> None:
    public, apart = listeners
    key = gateway.member().key
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    holder = {"authorization": f"Bearer {key}"}
    for path in ("/admin/health", "/admin/organizations", "/console"):
        assert httpx.get(public + path, headers=admin, timeout=20).status_code == 404
    assert httpx.get(f"{apart}/admin/health", headers=admin, timeout=20).json()["status"] == "ok"
    assert httpx.get(f"{apart}/console", timeout=20).status_code in (200, 303)
    assert httpx.get(f"{public}/v1/models", headers=holder, timeout=20).status_code == 200
    assert httpx.get(f"{apart}/v1/models", headers=holder, timeout=20).status_code == 404
    for address in listeners:
        assert httpx.get(f"{address}/healthz", timeout=20).status_code == 200
