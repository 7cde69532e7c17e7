"""The ledger as requests see it: quota while it answers, this edge's fail-open shares beside it."""

import contextlib
from collections.abc import Sequence

from gateway.quota.v1.quota_pb2 import CheckpointItem, CheckpointResult
from services.common.errors import GatewayError
from services.edge.clients import QuotaClient
from services.edge.grace import Grace


class Ledger:
    """Checkpoints go where the hold is."""

    def __init__(self, quota: QuotaClient, grace: Grace) -> None:
        self._quota = quota
        self._grace = grace

    async def checkpoint(self, items: Sequence[CheckpointItem]) -> Sequence[CheckpointResult]:
        """Raises GatewayError where the ledger has to be asked and does not answer; requests on a
        share do not suffer from it, others in their company hear nothing."""
        here = [self._grace.checkpoint(item) for item in items]
        there = [item for item, result in zip(items, here, strict=True) if result is None]
        if len(there) == len(items):
            return await self._quota.checkpoint(there)
        answers: Sequence[CheckpointResult] = [CheckpointResult()] * len(there)
        if there:
            with contextlib.suppress(GatewayError):
                answers = await self._quota.checkpoint(there)
        told = iter(answers)
        return [next(told) if result is None else result for result in here]
