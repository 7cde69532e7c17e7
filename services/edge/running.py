"""The requests that run right now. Every few seconds the ledger hears what they have cost so far,
so that an edge that dies is charged for, and streams without a cap get their next window."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.quota.v1.quota_pb2 import CheckpointItem, CheckpointResult, Refusal
from services.common.errors import GatewayError
from services.common.logs import logger
from services.edge.coalescer import Coalescer
from services.edge.hold import Hold
from services.edge.usage import Meter, Tokens

log = logger("running")

MOST_AT_ONCE = 512
_ENDS = ("API_KEY_INVALID", "SUSPENDED")
_NO_MORE = ("BUDGET_EXHAUSTED", "BUDGET_HELD")

Checkpoint = Callable[[Sequence[CheckpointItem]], Awaitable[Sequence[CheckpointResult]]]


def _nothing(_: Refusal) -> None: ...


class Run:
    """One admitted request. ``granted`` output tokens are held for; ``stop`` is called at most
    once, with the reason, when it must end before its time."""

    def __init__(self, hold: Hold, meter: Meter, *, longest: int, window: int) -> None:
        self.hold = hold
        self.meter = meter
        self.granted = int(hold.grant.output_tokens)
        self.stop: Callable[[Refusal], None] = _nothing
        self.refusal: Refusal | None = None
        self._longest = longest
        self._window = window if hold.bound.window else 0

    def so_far(self) -> Tokens:
        """What it has cost up to now, as far as we can count."""
        own = Tokens(input=self.hold.bound.estimated_input, output=self.meter.count())
        return self.meter.seen.most(own) if self.meter.seen is not None else own

    @property
    def used_up(self) -> bool:
        """Whether the window is full: nothing more may be delivered before it grows."""
        return self._window > 0 and self.meter.count() >= self.granted < self._longest

    def want(self) -> int:
        """Output tokens the next window should reach to; 0 when this one is still wide."""
        if not self._window or self.granted >= self._longest:
            return 0
        if self.meter.count() * 2 < self.granted:
            return 0
        return min(self.granted + self._window, self._longest)


class Running:
    """All runs of this process."""

    def __init__(self, checkpoint: Checkpoint, *, every: float) -> None:
        self._checkpoint = checkpoint
        self._every = every
        self._runs: dict[str, Run] = {}
        self._extensions: Coalescer[Run, None] = Coalescer(self._note)
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: Run) -> None:
        self._runs[run.hold.id] = run

    def remove(self, run: Run) -> None:
        """It has ended: nothing that is still to come stops it, or what comes after it."""
        self._runs.pop(run.hold.id, None)
        run.stop = _nothing

    def start(self) -> None:
        self._task = asyncio.create_task(self._tick())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def extend(self, run: Run) -> None:
        """Ask for a run's next window now. Raises GatewayError when the ledger does not answer."""
        await self._extensions(run)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            runs = list(self._runs.values())
            for start in range(0, len(runs), MOST_AT_ONCE):
                try:
                    await self._note(runs[start : start + MOST_AT_ONCE])
                except GatewayError as error:
                    log.warning("checkpoint_failed", runs=len(runs), cause=str(error))

    async def _note(self, runs: list[Run]) -> Sequence[None]:
        items = [run.hold.checkpoint(run.so_far(), run.want()) for run in runs]
        results = await self._checkpoint(items)
        for run, result in zip(runs, results, strict=True):
            self._heard(run, result)
        return [None] * len(runs)

    def _heard(self, run: Run, result: CheckpointResult) -> None:
        run.granted = max(run.granted, int(result.output_tokens))
        run.refusal = None
        if not result.HasField("refusal"):
            return
        run.refusal = result.refusal
        reason = result.refusal.reason
        if reason in _ENDS or (reason in _NO_MORE and run.used_up):
            run.stop(result.refusal)
