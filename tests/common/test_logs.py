"""Lines leave together where they may, at once where they must; none is lost or torn."""

import asyncio
import io
import json
import logging
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from services.common import logs


class Out(io.BytesIO):
    """Takes down each write."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def write(self, data: Any) -> int:
        self.seen.append(bytes(data))
        return len(data)


@pytest.fixture
def json_lines() -> Iterator[Out]:
    before, handlers = structlog.get_config(), logging.root.handlers[:]
    out = Out()
    logs.configure("edge", "info", "json", worker=2)
    structlog.configure(logger_factory=logs.LinesFactory(out), cache_logger_on_first_use=False)
    yield out
    structlog.configure(**before)
    logging.root.handlers[:] = handlers


async def test_the_lines_of_one_turn_leave_in_one_write() -> None:
    out = Out()
    lines = logs.Lines(out)
    lines.write(b"one", at_once=False)
    lines.write(b"two", at_once=False)
    assert out.seen == []
    await asyncio.sleep(0)
    lines.write(b"three", at_once=False)
    await asyncio.sleep(0)
    assert out.seen == [b"one\ntwo\n", b"three\n"]


async def test_a_warning_leaves_at_once_behind_what_came_before_it() -> None:
    out = Out()
    lines = logs.Lines(out)
    lines.write(b"one", at_once=False)
    lines.write(b"warned", at_once=True)
    assert out.seen == [b"one\nwarned\n"]


async def test_where_no_loop_runs_nothing_waits() -> None:
    out = Out()
    lines = logs.Lines(out)
    thread = threading.Thread(target=lines.write, args=(b"one",), kwargs={"at_once": False})
    thread.start()
    await asyncio.to_thread(thread.join)
    assert out.seen == [b"one\n"]


async def test_no_write_is_longer_than_a_pipe_takes_in_one_piece() -> None:
    out = Out()
    lines = logs.Lines(out)
    given = [b"%04d" % number + b"x" * 300 for number in range(50)]
    for line in given:
        lines.write(line, at_once=False)
    await asyncio.sleep(0)
    assert all(len(text) <= select.PIPE_BUF and text.endswith(b"\n") for text in out.seen)
    assert b"".join(out.seen).splitlines() == given
    assert len(out.seen) < 6


async def test_a_line_longer_than_that_is_whole() -> None:
    out = Out()
    lines = logs.Lines(out)
    lines.write(b"short", at_once=False)
    lines.write(b"x" * 10_000, at_once=False)
    await asyncio.sleep(0)
    assert out.seen == [b"short\n", b"x" * 10_000 + b"\n"]


def test_what_a_loop_had_no_time_to_write_is_written_before_the_next_or_at_the_exit() -> None:
    program = (
        "import asyncio, sys; from services.common import logs\n"
        "lines = logs.Lines(sys.stderr.buffer)\n"
        "async def main(name): lines.write(name, at_once=False)\n"
        "for name in (b'one', b'two'): asyncio.new_event_loop().run_until_complete(main(name))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ran.stderr.splitlines() == [b"one", b"two"]


async def test_a_line_has_its_facts_and_who_tells_them(json_lines: Out) -> None:
    log = logs.logger("room").bind()
    logs.tell(log, "told", {"request_id": "req_1", "ms": 1.5})
    log.info("said", request_id="req_1", ms=1.5)
    log.debug("not said")
    with structlog.contextvars.bound_contextvars(request_id="req_2"):
        log.warning("warned", cause="this")
    told, said, warned = map(json.loads, b"".join(json_lines.seen).splitlines())
    assert told.pop("event") == "told"
    assert said.pop("event") == "said"
    assert told.pop("timestamp") <= said.pop("timestamp") <= warned.pop("timestamp")
    who = {"service": "edge", "worker": 2, "room": "room"}
    assert told == said == {**who, "level": "info", "request_id": "req_1", "ms": 1.5}
    assert warned.items() >= {**who, "level": "warning", "request_id": "req_2"}.items()


async def test_a_fault_brings_its_trace(json_lines: Out) -> None:
    log = logs.logger("room").bind()
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed", request_id="req_1")
    [line] = map(json.loads, json_lines.seen)
    assert (line["level"], line["request_id"]) == ("error", "req_1")
    assert "ValueError: broken" in line["exception"]
