"""The service explains itself to tools: buf curl and grpcurl need no proto files."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.auth.conftest import ADMIN, Auth

ROOT = Path(__file__).parent.parent.parent
BUF = Path(sys.executable).parent / "buf"
ADMIN_SERVICE = "gateway.auth.v1.AuthAdminService"
SERVICES = {ADMIN_SERVICE, "gateway.auth.v1.AuthService", "grpc.health.v1.Health"}
GRPC = ("--protocol", "grpc", "--http2-prior-knowledge", "--reflect-protocol", "grpc-v1alpha")
HEADER = f"authorization: Bearer {ADMIN}"


async def told(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    return out.decode()


def grpcurl() -> str:
    found = shutil.which("grpcurl") or shutil.which("grpcurl", path=str(ROOT / ".tools" / "bin"))
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("grpcurl is missing: run `make tools` first")
        pytest.skip("grpcurl is not installed; `make tools` fetches it where Go is")
    return found


async def test_buf_lists_the_services_by_reflection(auth: Auth) -> None:
    listed = await told(
        BUF,
        "curl",
        "--list-services",
        *GRPC,
        "--reflect-header",
        HEADER,
        f"http://{auth.address}",
    )
    assert set(listed.split()) >= SERVICES


async def test_buf_calls_an_admin_rpc_by_reflection(auth: Auth) -> None:
    org = await auth.org("By buf")
    answer = await told(
        BUF,
        "curl",
        *GRPC,
        "--reflect-header",
        "*",
        "-H",
        HEADER,
        "-d",
        '{"pageSize": 10}',
        f"http://{auth.address}/{ADMIN_SERVICE}/ListOrganizations",
    )
    (found,) = json.loads(answer)["organizations"]
    assert (found["orgId"], found["name"]) == (org.org_id, "By buf")
    assert found["monthlyBudgetNanoUsd"] == "100000000000"


async def test_grpcurl_lists_the_services_by_reflection(auth: Auth) -> None:
    listed = await told(grpcurl(), "-plaintext", "-H", HEADER, auth.address, "list")
    assert set(listed.split()) >= SERVICES


async def test_grpcurl_calls_an_admin_rpc_by_reflection(auth: Auth) -> None:
    org = await auth.org("By grpcurl")
    answer = await told(
        grpcurl(),
        "-plaintext",
        "-H",
        HEADER,
        "-d",
        '{"page_size": 10}',
        auth.address,
        f"{ADMIN_SERVICE}/ListOrganizations",
    )
    assert [one["org_id"] for one in json.loads(answer)["organizations"]] == [org.org_id]


async def test_reflection_tells_nothing_without_a_credential(auth: Auth) -> None:
    process = await asyncio.create_subprocess_exec(
        *(BUF, "curl", "--list-services", *GRPC),
        f"http://{auth.address}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode != 0
    assert b"not authenticated" in err
    assert b"Auth" not in out


async def test_health_needs_no_credential(auth: Auth) -> None:
    health: Any = health_pb2_grpc.HealthStub(auth.channel)
    for name in ("", *SERVICES - {"grpc.health.v1.Health"}):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=2)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
