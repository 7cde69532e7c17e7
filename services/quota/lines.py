"""What the quota service's log tells of a batch: each item under the id of its HTTP request.

Refusals at ``info``; what was admitted and booked at ``debug``, since the journal has it for ever.
"""

import logging
from collections.abc import Iterable

from gateway.quota.v1 import quota_pb2 as pb
from services.common.logs import logger

log = logger("quota")

_LONGEST = 64


def tell(
    event: str,
    items: Iterable[pb.ReserveItem | pb.SettleItem],
    results: Iterable[pb.ReserveResult | pb.SettleResult],
) -> None:
    """One line for each item: ``event``, or ``event``_refused with the reason."""
    everything = log.is_enabled_for(logging.DEBUG)
    for item, result in zip(items, results, strict=True):
        if not result.HasField("refusal"):
            if everything:
                log.debug(event, request_id=item.request_id, reservation_id=item.reservation_id)
            continue
        refusal = result.refusal
        log.info(
            f"{event}_refused",
            request_id=item.request_id[:_LONGEST],
            reservation_id=item.reservation_id[:_LONGEST],
            reason=refusal.reason,
            scope=refusal.scope,
        )
