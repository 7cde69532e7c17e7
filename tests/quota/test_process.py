"""The process itself: it starts, says what is wrong in one line, and ends when told to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import orjson
import pytest
import redis

from gateway.quota.v1 import admin_pb2 as pb
from gateway.quota.v1.admin_pb2_grpc import QuotaAdminServiceStub
from services.common import keys
from services.common.access import MAX_FAILURES
from services.common.probe import serving
from tests.quota.rpc import ADMIN_KEY, CATALOG, SERVICE_TOKEN
from tests.system.fleet import free_ports
from tests.system.process import Process

ROOT = Path(__file__).parent.parent.parent


def environment(kv_url: str, **given: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
        "REDIS_URL": kv_url,
        "ADMIN_API_KEY": ADMIN_KEY,
        "GATEWAY_SERVICE_TOKEN": SERVICE_TOKEN,
        "GATEWAY_CATALOG": str(CATALOG),
        "GATEWAY_QUOTA_METRICS_LISTEN": "",
        "GATEWAY_LOG_FORMAT": "json",
        "GATEWAY_KV_TIMEOUT_MS": "2000",
        **given,
    }


def test_it_serves_both_apis_until_it_is_told_to_stop(kv_flush: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    given = environment(kv_flush, GATEWAY_QUOTA_LISTEN=address)
    process = Process("quota", "quota", given, address, tmp_path / "log")
    process.start()
    try:
        process.wait_healthy()
        for name in ("QuotaService", "QuotaAdminService"):
            assert serving(address, f"gateway.quota.v1.{name}")
        process.signal(signal.SIGTERM)
        assert process.popen is not None
        assert process.popen.wait(20) == 0
    finally:
        process.kill()
    told = process.log.read_text()
    assert ADMIN_KEY not in told and SERVICE_TOKEN not in told


def test_a14_wrong_admin_keys_at_quota_itself_are_in_the_audit_trail(
    kv_flush: str, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    given = environment(kv_flush, GATEWAY_QUOTA_LISTEN=address)
    process = Process("quota", "quota", given, address, tmp_path / "log")
    process.start()
    try:
        process.wait_healthy()
        with grpc.insecure_channel(address) as channel:
            call = QuotaAdminServiceStub(channel).GetMetrics
            told = []
            for _ in range(MAX_FAILURES + 1):
                with pytest.raises(grpc.RpcError) as refused:
                    call(pb.GetMetricsRequest(), timeout=20, metadata=(("authorization", "no"),))
                told.append(refused.value.code())
            assert told[0] == grpc.StatusCode.UNAUTHENTICATED
            assert told[-1] == grpc.StatusCode.RESOURCE_EXHAUSTED
            right = (("authorization", f"Bearer {ADMIN_KEY}"),)
            assert call(pb.GetMetricsRequest(), timeout=20, metadata=right).month
    finally:
        process.kill()
    with redis.Redis.from_url(kv_flush, decode_responses=True, protocol=3) as kv:
        [(_, row)] = kv.xrange(keys.audit(keys.PLATFORM))
    entry = orjson.loads(row["entry"])
    assert (entry["actor"], entry["action"]) == ("quota", "admin.login_failures")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"GATEWAY_CATALOG": "absent.toml"}, "GATEWAY_CATALOG: cannot read absent.toml"),
        ({"GATEWAY_SERVICE_TOKEN": "short"}, "GATEWAY_SERVICE_TOKEN is too weak"),
        ({"ADMIN_API_KEY": ""}, "ADMIN_API_KEY is not set"),
        ({"GATEWAY_GRACE_MIN_EDGES": "0"}, "GATEWAY_GRACE_MIN_EDGES"),
        ({"GATEWAY_QUOTA_LISTEN": "0.0.0.0:1"}, "reachable from other machines"),
    ],
)
def test_a_wrong_setting_ends_it_with_one_line(
    kv_url: str, wrong: dict[str, str], told: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.quota"],
        env=environment(kv_url, GATEWAY_LOG_LEVEL="error", **wrong),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    [line] = ended.stderr.strip().splitlines()
    assert line.startswith("error: ") and told in line
