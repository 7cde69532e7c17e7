"""On a cluster every change stays in one slot: a node refuses scripts that reach into another."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.common.errors import NotFound, Unauthenticated
from services.launch.kv import find_server
from tests.auth.conftest import Auth, Clock, running
from tests.system.fleet import free_ports


@pytest.fixture
def cluster_url(tmp_path: Path) -> Iterator[str]:
    """A cluster of one node that has every slot."""
    port, bus = free_ports(2)
    options = {
        "bind": "127.0.0.1",
        "port": port,
        "cluster-enabled": "yes",
        "cluster-port": bus,
        "cluster-announce-ip": "127.0.0.1",
        "dir": tmp_path,
        "appendonly": "yes",
        "loglevel": "warning",
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen([find_server().path, *words], stdout=subprocess.DEVNULL)
    try:
        client: Any = redis.Redis(
            port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
        )
        with client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                pass
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
async def auth(cluster_url: str) -> AsyncIterator[Auth]:
    async with running(cluster_url, Clock(), kv_cluster=True) as found:
        yield found


async def test_everything_works_on_a_cluster(auth: Auth) -> None:
    org, user, made = await auth.family()
    await auth.org("Other")
    key = {"user_id": user.user_id, "key_id": made.api_key.key_id}
    new = await auth.admin.RotateApiKey(**key, overlap_seconds=60)
    await auth.admin.UpdateApiKey(api_key={**key, "name": "Old"})
    await auth.admin.SetProviderKey(org_id=org.org_id, provider="openai", credential="sk-" * 9)
    answer = await auth.edge.GetProviderCredential(org_id=org.org_id, provider="openai")
    assert answer.credential == "sk-" * 9
    once = auth.admin.but(idempotency_key="k")
    grace = [await once.CreateAdminKey(admin_key={"name": "Grace"}) for _ in range(2)]
    assert grace[0] == grace[1]
    admin = auth.admin.but(grace[0].secret)
    await asyncio.gather(*(auth.key(user.user_id) for _ in range(10)))
    principal = await auth.verify(new.secret)
    assert principal.user_id == user.user_id
    assert len((await admin.ListOrganizations()).organizations) == 2
    assert [one.user_id for one in (await admin.ListUsers()).users] == [user.user_id]
    counts = await admin.GetDirectoryCounts()
    assert (counts.organizations, counts.users, counts.api_keys) == (2, 1, 12)
    assert (await admin.RewrapProviderKeys()).rewrapped == 0
    for trail in (org.org_id, ""):
        assert list((await admin.VerifyAuditTrail(org_id=trail)).breaks) == []
    await admin.DeleteOrganization(org_id=org.org_id)
    with pytest.raises(NotFound):
        await admin.GetUser(user_id=user.user_id)
    with pytest.raises(Unauthenticated):
        await auth.verify(new.secret)
