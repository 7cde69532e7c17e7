"""One bound on waiting, for every reason to stop: time, the client's hang-up, the ledger."""

import asyncio
from types import TracebackType
from typing import Self

from gateway.quota.v1.quota_pb2 import Refusal

_LOOK_SECONDS = 60.0
"""So often the one timer looks whether time is up, where the bound is further away."""

_MOST = 1_024
"""Alarms that are kept for later."""


class Alarm:
    """``with alarm.armed(seconds)`` raises TimeoutError when nothing came for that long, or as
    soon as the alarm rings. ``gone`` and ``refusal`` say why; neither of them means that time is
    up. As asyncio.Timeout, but that one timer serves all waits of a call, and of the calls after it
    that use the alarm again."""

    def __init__(self) -> None:
        self.gone = False
        self.refusal: Refusal | None = None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._seconds = self._due = 0.0
        self._rung = False

    def armed(self, seconds: float) -> Self:
        self._seconds = seconds
        return self

    def __enter__(self) -> Self:
        if self.gone or self.refusal is not None:
            raise TimeoutError
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task, self._cancelling, self._rung = task, task.cancelling(), False
        now = self._loop.time()
        self._due = now + self._seconds
        if self._timer is None or self._timer.when() > self._due:
            self.close()
            self._timer = self._loop.call_at(min(self._due, now + _LOOK_SECONDS), self._check)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if not self._rung:
            return
        assert task is not None
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def again(self) -> None:
        """Something came: the wait begins anew. Called for every chunk, so it moves no timer."""
        self._due = self._loop.time() + self._seconds

    @property
    def quiet(self) -> bool:
        """Whether it has not rung: then another call may use it."""
        return not (self._rung or self.gone or self.refusal is not None)

    def close(self) -> None:
        """No more waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hang_up(self) -> None:
        """The client has left."""
        self.gone = True
        self._ring()

    def stop(self, refusal: Refusal) -> None:
        """The ledger pays no more."""
        if self.refusal is None:
            self.refusal = refusal
            self._ring()

    def _check(self) -> None:
        self._timer = None
        if self._task is None:
            return
        now = self._loop.time()
        if now < self._due:
            self._timer = self._loop.call_at(min(self._due, now + _LOOK_SECONDS), self._check)
        else:
            self._interrupt()

    def _ring(self) -> None:
        """From the loop: a task that is just running may be out of the block before it waits."""
        self._loop.call_soon(self._interrupt)

    def _interrupt(self) -> None:
        if self._task is not None and not self._rung:
            self._rung = True
            self._task.cancel()


class Alarms:
    """Of one endpoint's calls. Those that have not rung are used again: their timers are there."""

    def __init__(self) -> None:
        self._quiet: list[Alarm] = []

    def take(self) -> Alarm:
        return self._quiet.pop() if self._quiet else Alarm()

    def give_back(self, alarm: Alarm) -> None:
        """For who has told everybody that might ring it to leave it alone."""
        if alarm.quiet and len(self._quiet) < _MOST:
            self._quiet.append(alarm)
        else:
            alarm.close()
