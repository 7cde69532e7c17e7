"""What the quota service's log tells of a batch: each item under the id of its HTTP request.

Refusals at ``info``; what was admitted and booked at ``debug``, since the journal has it for ever.
"""

import logging

from gateway.quota.v1 import quota_pb2 as pb
from services.common.logs import logger

_LONGEST = 64

Item = pb.ReserveItem | pb.SettleItem
Result = pb.ReserveResult | pb.SettleResult


class ItemLog:
    """Made when the log's level is set."""

    def __init__(self) -> None:
        self._log = logger("quota").bind()
        self._everything = self._log.is_enabled_for(logging.DEBUG)

    def tell(self, event: str, item: Item, result: Result) -> None:
        """One line: ``event``, or ``event``_refused with the reason."""
        if not result.HasField("refusal"):
            if self._everything:
                about = {"request_id": item.request_id, "reservation_id": item.reservation_id}
                self._log.debug(event, **about)
            return
        refusal = result.refusal
        self._log.info(
            f"{event}_refused",
            request_id=item.request_id[:_LONGEST],
            reservation_id=item.reservation_id[:_LONGEST],
            reason=refusal.reason,
            scope=refusal.scope,
        )
