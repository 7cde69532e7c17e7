"""A script runs on a KV that has never seen it, and on one that has forgotten it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

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


async def test_what_is_asked_next_does_not_overtake_a_script_the_kv_does_not_know(
    kv_flush: str, tmp_path: Path
) -> None:
    kv = open_kv(kv_flush, timeout_ms=5_000, connections=2)
    pool: Any = kv.connection_pool
    path = tmp_path / "get.lua"
    path.write_text("return redis.call('GET', KEYS[1])")
    reads, writes = Script(path), Script("return redis.call('SET', KEYS[1], ARGV[1])")
    assert await reads.ask(pool.line, ["n"], [], 5.0) is None
    await kv.script_flush()
    assert await reads.ask(pool.line, ["n"], [], 5.0) is None
    _, seen = await asyncio.gather(
        writes.ask(pool.line, ["n"], ["1"], 5.0), reads.ask(pool.line, ["n"], [], 5.0)
    )
    assert seen == "1"
    await kv.aclose()
