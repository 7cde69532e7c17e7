"""A script runs on a KV that has never seen it, and on one that has forgotten it."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from services.common.kv import open_kv
from services.common.script import Script


async def test_a_script_runs_once_whatever_the_kv_remembers(kv_flush: str, tmp_path: Path) -> None:
    path = tmp_path / "add.lua"
    path.write_text("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    script = Script(path)
    kv = open_kv(kv_flush, timeout_ms=1_000, connections=2)
    assert await script.run(kv, ["n"], ["2"]) == 2
    assert await script.run(kv, ["n"], ["2"]) == 4
    await kv.script_flush()
    assert await script.run(kv, ["n"], ["2"]) == 6
    await kv.aclose()


async def test_an_error_inside_a_script_is_not_tried_again(kv_flush: str, tmp_path: Path) -> None:
    path = tmp_path / "fail.lua"
    path.write_text("redis.call('INCR', KEYS[1]) return redis.error_reply('no')")
    kv = open_kv(kv_flush, timeout_ms=1_000, connections=2)
    with pytest.raises(ResponseError):
        await Script(path).run(kv, ["n"], [])
    assert await kv.get("n") == "1"
    await kv.aclose()
