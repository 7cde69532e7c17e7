"""The whole gateway with mTLS between its processes, and certificates that change under load."""

import asyncio
import datetime
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from services.common import certs
from services.common.probe import serving
from tests.system.fleet import Fleet, fleet

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]

BODY = {"model": "simulator/echo", "messages": [{"role": "user", "content": "hello"}]}
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def pki() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pki-") as made:
        certs.make(Path(made), now=NOW)
        yield Path(made)


@pytest.fixture(scope="module")
def running(pki: Path) -> Iterator[Fleet]:
    own = pki / "edge"
    settings = {
        "GATEWAY_TLS_CERT": str(own / "tls.crt"),
        "GATEWAY_TLS_KEY": str(own / "tls.key"),
        "GATEWAY_TLS_CA": str(own / "ca.crt"),
    }
    with fleet(settings=settings) as started:
        yield started


def test_F2_without_a_certificate_nobody_is_answered(running: Fleet) -> None:
    for process in (*running.auths, *running.quotas):
        assert serving(process.address, identity=process.identity)
        assert not serving(process.address)


async def test_certificates_are_replaced_under_load_and_no_request_fails(
    running: Fleet, pki: Path
) -> None:
    user = running.user(running.organization(), "mtls@example.com")
    headers = {"authorization": f"Bearer {running.key(user)['api_key']}"}
    edge = running.edges[0]
    before = edge.identity
    refused: list[str] = []

    async def ask(client: httpx.AsyncClient) -> None:
        url = f"{running.urls[0]}/v1/chat/completions"
        answer = await client.post(url, json=BODY, headers=headers)
        if answer.status_code != 200:
            refused.append(answer.text)

    def renewals() -> int:
        return edge.log.read_text().count("channel_renewed")

    async with httpx.AsyncClient(timeout=20) as client:
        await asyncio.gather(*(ask(client) for _ in range(8)))
        certs.make(pki, now=NOW, namespace="elsewhere")
        async with asyncio.timeout(60):
            # One channel to auth, one to quota.
            while await asyncio.to_thread(renewals) < 2:
                await asyncio.gather(*(ask(client) for _ in range(8)))
        await asyncio.gather(*(ask(client) for _ in range(8)))
    assert refused == []
    assert before is not None
    assert edge.identity is not None
    assert edge.identity.pem.cert != before.pem.cert
    await asyncio.to_thread(running.admin, "GET", "/organizations")
