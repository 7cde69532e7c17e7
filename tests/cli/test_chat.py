"""Answers as they come, conversations, and a terminal: gw as a process of its own."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edge.world import Member, World

SECONDS = 20.0
PROMPT = ">"
_ON_ITS_TERMINAL = """
import fcntl, sys, termios
from cli.__main__ import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.exit(main())
"""
_CONTROL = re.compile(rb"\x1b(\[[0-9;?]*[A-Za-z]|[=>])")
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


@pytest.fixture
def start(gateway: World, member: Member, tmp_path: Path) -> Iterator[Start]:
    """Start ``gw chat`` in a process; whatever still runs at the end is killed."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "GATEWAY_URL": gateway.url,
        "GATEWAY_DATA_DIR": str(tmp_path / "data"),
        "GATEWAY_MODEL": "simulator/echo",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }
    running: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, **pipes: Any) -> subprocess.Popen[bytes]:
        program = ["-c", _ON_ITS_TERMINAL] if "start_new_session" in pipes else ["-m", "cli"]
        command = [sys.executable, *program, "chat", "--api-key", member.key, *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes)
        running.append(process)
        return process

    yield begin
    for process in running:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(SECONDS)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def test_a_piece_is_printed_before_the_answer_is_over(start: Start) -> None:
    asked = "[[sim tokens=100 chunks=50 drip=300]]"
    process = start(asked, "--stream", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert b"Traceback" not in error


@pytest.mark.parametrize("fault", ["cut_after=1", "eof_after=1", "error_after=1"])
def test_a_broken_answer_is_a_failure_not_a_short_answer(start: Start, fault: str) -> None:
    asked = f'[[sim text="one two three" chunks=3 {fault}]]'
    process = start(asked, "--stream", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, error = process.communicate(timeout=SECONDS)
    assert process.returncode in (1, 3)
    assert error.startswith(b"error: ") and error.count(b"\n") == 1


def test_the_question_may_come_from_a_pipe(start: Start) -> None:
    process = start(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = process.communicate(b"from a pipe", timeout=SECONDS)
    assert (process.returncode, out) == (0, b"from a pipe\n")


def test_without_a_terminal_lines_are_turns_of_one_conversation(
    start: Start, gateway: World
) -> None:
    process = start("--interactive", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = process.communicate(b"first turn\n\nsecond turn\n", timeout=SECONDS)
    assert (process.returncode, out) == (0, b"first turn\nsecond turn\n")
    log = httpx.get(f"{gateway.simulator.url}/_sim/log", timeout=SECONDS).json()
    bodies = [json.loads(record["body"]) for record in log["requests"] if record["body"]]
    (body,) = [body for body in bodies if body["messages"][-1]["content"] == "second turn"]
    assert [(m["role"], m["content"]) for m in body["messages"]] == [
        ("user", "first turn"),
        ("assistant", "first turn"),
        ("user", "second turn"),
    ]


def test_on_a_terminal_ctrl_c_stops_an_answer_and_ctrl_d_leaves(
    start: Start, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = start("--interactive", start_new_session=True, **streams)
    os.close(theirs)
    _until(ours, PROMPT)
    # What is typed is echoed: the answers are spelled so that only they read like this.
    os.write(ours, rb'[[sim text="\u0041nswer one"]] hello' + b"\r")
    _until(ours, "Answer one\r\n", PROMPT)
    os.write(ours, rb'[[sim text="\u0042egun and never ended" chunks=20 drip=300]]' + b"\r")
    _until(ours, "Beg")
    os.write(ours, b"\x03")
    _until(ours, "…\r\n", PROMPT)
    os.write(ours, rb'[[sim text="\u0053till here"]]' + b"\r")
    _until(ours, "Still here\r\n", PROMPT)
    os.write(ours, b"\x04")
    assert process.wait(SECONDS) == 0
    os.close(ours)
    history = tmp_path / "data" / "chat_history"
    assert "hello" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600


def _until(terminal: int, *words: str) -> None:
    """Read the terminal until what it shows has the words, one after the other. What is typed
    before the prompt is there would be thrown away."""
    wanted = re.compile(b".*".join(re.escape(word.encode()) for word in words), re.DOTALL)
    seen, deadline = b"", time.monotonic() + SECONDS
    while not wanted.search(_CONTROL.sub(b"", seen)):
        assert time.monotonic() < deadline, seen
        ready, _, _ = select.select([terminal], [], [], 0.5)
        if ready:
            seen += os.read(terminal, 65_536)
