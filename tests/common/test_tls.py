"""mTLS between real processes' parts: who gets in, and what a new certificate changes."""

from __future__ import annotations

import asyncio
import datetime
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from gateway.auth.v1 import auth_pb2, auth_pb2_grpc
from services.common import certs, probe
from services.common.access import Access
from services.common.border import HOT, Border
from services.common.dial import dial
from services.common.errors import NotFound, Unavailable
from services.common.kv import open_kv
from services.common.metrics import RpcMetrics, expose
from services.common.serve import LIVE, Server
from services.common.settings import ServiceSettings, SettingsError
from services.common.tls import Identity, channel_credentials

NAME = "gateway.auth.v1.AuthService"
SERVICE = "s" * 40
NOW = datetime.datetime.now(datetime.UTC)


class Witness(auth_pb2_grpc.AuthServiceServicer):
    """Remembers the certificate of each caller."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    async def VerifyApiKey(self, request, context):  # type: ignore[no-untyped-def]
        self.seen += context.auth_context().get("x509_pem_cert", [])
        return auth_pb2.VerifyApiKeyResponse()

    async def GetProviderCredential(self, request, context):  # type: ignore[no-untyped-def]
        raise NotFound("none here")

    async def RecordAuditEvent(self, request, context):  # type: ignore[no-untyped-def]
        return auth_pb2.RecordAuditEventResponse()


def files(directory: Path, service: str) -> dict[str, Any]:
    own = directory / service
    return {
        "cert": str(own / "tls.crt"),
        "key": str(own / "tls.key"),
        "ca": str(own / "ca.crt"),
    }


async def up() -> None:
    return None


async def down() -> None:
    raise Unavailable("the KV is away")


@asynccontextmanager
async def serving(
    kv_url: str,
    own: dict[str, Any],
    ready: Callable[[], Awaitable[None]] = up,
    **settings: Any,
) -> AsyncIterator[tuple[Server, Witness]]:
    kv = open_kv(kv_url, timeout_ms=500, connections=4)
    witness = Witness()
    given: dict[str, Any] = {f"tls_{name}": path for name, path in own.items()}
    server = Server(
        listen="127.0.0.1:0",
        settings=ServiceSettings(drain_seconds=1, **given, **settings),
        border=Border(
            Access(kv, admin_key="a" * 40, service_token=SERVICE),
            RpcMetrics(CollectorRegistry()),
            {NAME: HOT},
        ),
        services=[(NAME, lambda s: auth_pb2_grpc.add_AuthServiceServicer_to_server(witness, s))],
        ready=ready,
    )
    await server.start()
    try:
        yield server, witness
    finally:
        await server.stop()
        await kv.aclose()


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    certs.make(tmp_path / "certs", now=NOW)
    return tmp_path / "certs"


async def call(channel: grpc.aio.Channel, token: str = SERVICE) -> grpc.StatusCode:
    stub = auth_pb2_grpc.AuthServiceStub(channel)
    try:
        await stub.VerifyApiKey(
            auth_pb2.VerifyApiKeyRequest(),
            timeout=2,
            metadata=(("authorization", f"Bearer {token}"),),
        )
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def dialled(address: str, own: dict[str, Any], token: str = SERVICE) -> grpc.StatusCode:
    async with dial(address, NAME, **own) as channel:
        return await call(channel, token)


async def test_F2_a_certificate_of_our_authority_is_let_in(kv_url: str, pki: Path) -> None:
    async with serving(kv_url, files(pki, "auth")) as (server, _):
        assert await dialled(server.addresses[0], files(pki, "edge")) is grpc.StatusCode.OK


async def test_F2_a_certificate_without_the_service_token_is_not_enough(
    kv_url: str, pki: Path
) -> None:
    async with serving(kv_url, files(pki, "auth")) as (server, _):
        code = await dialled(server.addresses[0], files(pki, "edge"), token="wrong")
        assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_F2_a_caller_without_a_certificate_is_refused(kv_url: str, pki: Path) -> None:
    root = (pki / "ca.crt").read_bytes()
    async with serving(kv_url, files(pki, "auth")) as (server, witness):
        credentials = grpc.ssl_channel_credentials(root_certificates=root)
        async with grpc.aio.secure_channel(server.addresses[0], credentials) as channel:
            assert await call(channel) is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
            assert await call(channel) is grpc.StatusCode.UNAVAILABLE
        assert witness.seen == []


async def test_F2_a_certificate_of_another_authority_is_refused(
    kv_url: str, pki: Path, tmp_path: Path
) -> None:
    certs.make(tmp_path / "other", now=NOW)
    foreign = {**files(tmp_path / "other", "edge"), "ca": str(pki / "ca.crt")}
    async with serving(kv_url, files(pki, "auth")) as (server, witness):
        assert await dialled(server.addresses[0], foreign) is not grpc.StatusCode.OK
        assert witness.seen == []


async def test_F2_a_server_of_another_authority_is_not_trusted(
    kv_url: str, pki: Path, tmp_path: Path
) -> None:
    certs.make(tmp_path / "other", now=NOW)
    believer = {**files(pki, "edge"), "ca": str(tmp_path / "other" / "ca.crt")}
    async with serving(kv_url, files(pki, "auth")) as (server, witness):
        assert await dialled(server.addresses[0], believer) is not grpc.StatusCode.OK
        assert witness.seen == []


async def test_F2_a_server_with_another_name_is_not_trusted(kv_url: str, pki: Path) -> None:
    async with serving(kv_url, files(pki, "auth")) as (server, witness):
        credentials = channel_credentials(Identity(**files(pki, "edge")).pem)
        for name, expected in (
            ("auth.gateway.svc", grpc.StatusCode.OK),
            ("elsewhere", grpc.StatusCode.UNAVAILABLE),
        ):
            told = (("grpc.ssl_target_name_override", name),)
            async with grpc.aio.secure_channel(server.addresses[0], credentials, told) as channel:
                assert await call(channel) is expected
        assert len(witness.seen) == 1


async def test_a_server_takes_up_new_certificates_without_a_restart(
    kv_url: str, pki: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(pki, old)
    async with serving(kv_url, files(pki, "auth")) as (server, _):
        assert await dialled(server.addresses[0], files(old, "edge")) is grpc.StatusCode.OK
        shutil.rmtree(pki)
        certs.make(pki, now=NOW)
        assert await dialled(server.addresses[0], files(pki, "edge")) is grpc.StatusCode.OK
        assert await dialled(server.addresses[0], files(old, "edge")) is not grpc.StatusCode.OK


async def test_a_client_takes_up_new_certificates_without_a_restart(kv_url: str, pki: Path) -> None:
    own = files(pki, "edge")
    before = Identity(**own).pem.cert
    async with (
        serving(kv_url, files(pki, "auth")) as (server, witness),
        dial(server.addresses[0], NAME, **own, look_seconds=0.02) as channel,
    ):
        assert await call(channel) is grpc.StatusCode.OK
        assert witness.seen == [before]
        certs.make(pki, now=NOW, namespace="new")
        after = Identity(**own).pem.cert
        for _ in range(500):
            assert await call(channel) is grpc.StatusCode.OK
            if witness.seen[-1] == after:
                break
            await asyncio.sleep(0.01)
        assert witness.seen[-1] == after != before


def test_half_of_a_new_pair_is_left_alone_until_the_other_half_is_there(
    pki: Path, tmp_path: Path
) -> None:
    own = files(pki, "edge")
    identity = Identity(**own)
    before = identity.pem
    certs.make(tmp_path / "new", now=NOW)
    shutil.copy(tmp_path / "new/edge/tls.key", own["key"])
    assert not identity.renewed()
    assert identity.pem == before
    shutil.copy(tmp_path / "new/edge/tls.crt", own["cert"])
    assert identity.renewed()
    assert identity.pem.cert == (tmp_path / "new/edge/tls.crt").read_bytes()
    assert not identity.renewed()


@pytest.mark.parametrize("broken", ["missing", "empty", "another's key"])
def test_files_that_cannot_be_used_are_told_at_the_start(pki: Path, broken: str) -> None:
    own = files(pki, "edge")
    if broken == "missing":
        own["cert"] += ".nowhere"
    elif broken == "empty":
        Path(own["ca"]).write_text("")
    else:
        own["key"] = files(pki, "auth")["key"]
    with pytest.raises(SettingsError, match="GATEWAY_TLS_CERT"):
        Identity(**own)


async def test_some_of_the_three_files_are_a_mistake(kv_url: str, pki: Path) -> None:
    half = {**files(pki, "auth"), "ca": ""}
    with pytest.raises(SettingsError, match="GATEWAY_TLS_CA, or none"):
        async with serving(kv_url, half):
            pass


async def test_the_health_port_tells_health_without_tls_and_nothing_else(
    kv_url: str, pki: Path
) -> None:
    settings: dict[str, Any] = {"health_listen": "127.0.0.1:0"}
    async with (
        serving(kv_url, files(pki, "auth"), **settings) as (server, _),
        grpc.aio.insecure_channel(server.health_address) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", NAME, LIVE):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=2)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await call(channel) is grpc.StatusCode.UNIMPLEMENTED


async def test_without_a_kv_a_service_is_alive_but_not_ready(kv_url: str, pki: Path) -> None:
    settings: dict[str, Any] = {"health_listen": "127.0.0.1:0"}
    async with (
        serving(kv_url, files(pki, "auth"), down, **settings) as (server, _),
        grpc.aio.insecure_channel(server.health_address) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        status = health_pb2.HealthCheckResponse
        for name, expected in (("", status.NOT_SERVING), (LIVE, status.SERVING)):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=2)
            assert answer.status == expected


async def test_the_probe_shows_its_certificate(
    kv_url: str, pki: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(kv_url, files(pki, "auth")) as (server, _):
        address = server.addresses[0]
        assert await asyncio.to_thread(probe.main, address) == 1
        for name, path in files(pki, "auth").items():
            monkeypatch.setenv(f"GATEWAY_TLS_{name.upper()}", path)
        assert await asyncio.to_thread(probe.main, address) == 0
        assert await asyncio.to_thread(probe.main, address, NAME) == 0
        assert await asyncio.to_thread(probe.main, address, "unknown") == 1


def test_metrics_tell_when_the_certificate_ends(pki: Path) -> None:
    registry = CollectorRegistry()
    expose(registry, "", certificate=str(pki / "auth" / "tls.crt"))
    ends = registry.get_sample_value("gateway_certificate_expires_timestamp_seconds")
    expected = (NOW + datetime.timedelta(days=certs.SERVICE_DAYS)).timestamp()
    assert ends == pytest.approx(expected, abs=2)
    (pki / "auth" / "tls.crt").write_text("half a fi")
    gone = registry.get_sample_value("gateway_certificate_expires_timestamp_seconds")
    assert gone != gone  # NaN: the rest of the metrics must still be told
