"""One process of the gateway: its output with its name before each line, its end, its stop."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Self

_TAIL_LINES = 20
_LONGEST_LINE = 1 << 20


class Child:
    """A running process, in a process group of its own: the terminal's Ctrl-C is not for it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.shown = True
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process = process
        self._output = asyncio.create_task(self._pump())
        self.ended = asyncio.create_task(self._wait())

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        inherit: Sequence[int] = (),
    ) -> Self:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
            pass_fds=tuple(inherit),
        )
        return cls(name, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL for what is left of the group after ``seconds``."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(asyncio.shield(self.ended), seconds)
        except TimeoutError:
            say(f"{self.name} did not stop in {seconds:.0f} s and is killed")
        self.kill()
        await self.ended

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _wait(self) -> int:
        code = await self._process.wait()
        # A grandchild may hold the pipe open; what it says is not waited for.
        await asyncio.wait([self._output], timeout=1.0)
        self._output.cancel()
        return code

    async def _pump(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        while chunk := await self._process.stdout.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._show(line)
        if rest:
            self._show(rest)

    def _show(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self.tail.append(text)
        if self.shown:
            say(f"{self.name:<9} | {text}")


def say(text: str) -> None:
    """A line for the terminal. A reader that went away (``| head``) stops nothing."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stdout, flush=True)
