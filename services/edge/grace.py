"""Fail-open: what an organisation chose for the time when its budget cannot be asked.

While all is well this edge keeps shares of fail-open budgets, and prices, for the organisations and
models it sees. In an outage a request is admitted if this edge's share pays for the most it can
cost; that is on disk before the upstream is called, and is booked like any other once the ledger
answers. An organisation that fails closed, a model without a price, a share that is used up or
that cannot be written down: nothing is admitted.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.quota.v1 import quota_pb2 as pb
from services.common.errors import GatewayError
from services.common.logs import logger
from services.edge.grace_book import GraceBook, day_of
from services.edge.grace_clock import Clock
from services.edge.grace_file import GraceFile
from services.edge.principal import Principal
from services.edge.settlements import DurableSettlements

log = logger("grace")

FAIL_OPEN = "fail-open"
SEEN_SECONDS = 3_600.0
MOST = 1_000
_AUDIT_SECONDS = 5.0
_CLOSE_SECONDS = 2.0

Audit = Callable[[str, str, str, dict[str, str]], Coroutine[Any, Any, None]]
"""Event id, organisation, action, details. Raises GatewayError."""


class Grace:
    """``file`` is None where nothing can be written: then nothing is admitted. ``news`` is called
    when there is somebody to ask a share for."""

    def __init__(
        self,
        book: GraceBook,
        file: GraceFile | None,
        outbox: DurableSettlements,
        audit: Audit,
        *,
        edge_id: str,
        counted: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._book = book
        self._file = file
        self._outbox = outbox
        self._audit = audit
        self.edge_id = edge_id
        self._counted = counted
        self._clock = clock
        self._orgs: dict[str, float] = {}
        self._models: dict[str, float] = {}
        self._spells: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self.news: Callable[[], None] = lambda: None

    def see(self, principal: Principal, model: str) -> None:
        """An admitted request that would have needed a share, had the ledger been away."""
        if principal.failure_mode != FAIL_OPEN:
            return
        if principal.org_id not in self._orgs or model not in self._models:
            self.news()
        for seen, name in ((self._orgs, principal.org_id), (self._models, model)):
            seen.pop(name, None)
            seen[name] = time.monotonic()
            if len(seen) > MOST:
                del seen[next(iter(seen))]

    def wanted(self) -> tuple[list[str], list[str]]:
        """Organisations and models seen lately."""
        since = time.monotonic() - SEEN_SECONDS
        for seen in (self._orgs, self._models):
            for name in [name for name, at in seen.items() if at < since]:
                del seen[name]
        return list(self._orgs), list(self._models)

    async def heard(self, asked: list[str], told: pb.CheckpointReservationsResponse) -> None:
        """The ledger answered a heartbeat: it is back, or still there."""
        if told.shares:
            self._clock.anchor()
        self._book.tidy(int(time.time() * 1_000))
        if self._book.hear(asked, list(told.shares), list(told.prices)) and self._file:
            await self._save()
        for org in list(self._spells):
            self._end(org)

    async def admit(self, principal: Principal, item: pb.ReserveItem) -> pb.Grant | None:
        """A grant on this edge's share, on disk; None where there is none."""
        now = self._clock.now_ms()
        if principal.failure_mode != FAIL_OPEN or self._file is None or now is None:
            return None
        settlement = self._settlement(item, now)
        grant = self._book.admit(item, settlement, now)
        if grant is None:
            self._counted("refused")
            return None
        try:
            await self._file.save()
        except OSError:
            self._book.close(settlement, billed=False)
            self._counted("refused")
            return None
        except BaseException:
            self.submit(_released(settlement))
            raise
        self._counted("admitted")
        self._begin(principal.org_id)
        return grant

    def submit(self, item: pb.SettleItem) -> None:
        """Settlements of all kinds pass here on their way to the outbox."""
        self._outbox.submit(item)
        if item.grace:
            closing = self._soon(self._close(item))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def checkpoint(self, item: pb.CheckpointItem) -> pb.CheckpointResult | None:
        """The ledger's answer for requests on a share; None for all others."""
        if item.reservation_id not in self._book.open:
            return None
        result = pb.CheckpointResult(state=pb.RESERVATION_STATE_RESERVED)
        if item.want_output_tokens:
            output, held = self._book.extend(
                item.reservation_id, item.model, item.bound, item.want_output_tokens
            )
            result.output_tokens, result.held_nano_usd = max(output, 0), held
            if output < item.want_output_tokens:
                result.refusal.reason = "BUDGET_EXHAUSTED" if output < 0 else "BUDGET_HELD"
            self._soon(self._save())
        return result

    def resume(self, book: GraceBook, known: set[str]) -> int:
        """Book what ran when the process that kept ``book`` died, but for what the outbox knows
        better. It stays counted with all that was held. Answers how many."""
        resumed = 0
        for rid, one in list(book.open.items()):
            spent = book.spent.setdefault(one.day, {})
            spent[one.org] = spent.get(one.org, 0) + one.held
            del book.open[rid]
            if rid not in known:
                self._outbox.submit(one.settlement())
                resumed += 1
        return resumed

    async def give_up(self) -> list[pb.GraceShare]:
        """Admit nothing any more; answers with what is spent of each share, once it is on disk that
        we hold none."""
        given = self._book.give_up()
        if self._file is None or not given:
            return []
        try:
            await self._file.save()
        except OSError:
            return []
        return given

    async def close(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)
        await self._save()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _settlement(self, item: pb.ReserveItem, now_ms: int) -> pb.SettleItem:
        """What is booked if this process dies with the request: the input, at least."""
        return pb.SettleItem(
            reservation_id=item.reservation_id,
            fingerprint=item.fingerprint,
            owner=item.owner,
            model=item.model,
            service_tier=item.service_tier,
            operation=item.operation,
            outcome=pb.SETTLE_OUTCOME_CHARGED,
            usage=pb.TokenUsage(
                input_tokens=item.bound.input_tokens,
                audio_input_tokens=item.bound.audio_input_tokens,
            ),
            month=day_of(now_ms)[:7],
            admit_time_ms=now_ms,
            flags=["unreconciled"],
            grace=True,
            request_id=item.request_id,
            edge_id=self.edge_id,
        )

    async def _close(self, item: pb.SettleItem) -> None:
        """The book may forget a request only when the outbox has it on disk: whenever we die, one
        of them knows."""
        await self._outbox.flushed()
        self._book.close(item, billed=item.outcome == pb.SETTLE_OUTCOME_CHARGED)
        await self._save()

    async def _save(self) -> None:
        if self._file is not None:
            try:
                await self._file.save()
            except OSError:
                return  # told by the file; what it has is more than was used

    def _begin(self, org: str) -> None:
        if org not in self._spells:
            log.warning("grace_started", org=org)
            self._soon(self._record(org, "grace.start", {}))
        self._spells[org] = self._spells.get(org, 0) + 1

    def _end(self, org: str) -> None:
        requests = self._spells.pop(org)
        log.warning("grace_ended", org=org, requests=requests)
        self._soon(self._record(org, "grace.end", {"requests": str(requests)}))

    async def _record(self, org: str, action: str, details: dict[str, str]) -> None:
        """Until auth has it."""
        event = str(uuid.uuid4())
        while True:
            try:
                await self._audit(event, org, action, details)
                return
            except GatewayError as error:
                log.warning("audit_waits", action=action, cause=str(error))
            await asyncio.sleep(_AUDIT_SECONDS)

    def _soon(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _released(settlement: pb.SettleItem) -> pb.SettleItem:
    settlement.outcome = pb.SETTLE_OUTCOME_RELEASED
    return settlement
