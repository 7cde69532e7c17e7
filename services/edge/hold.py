"""A reservation as the edge holds it: what was asked, what was granted, how it is settled."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.auth.v1.auth_pb2 import Principal
from gateway.quota.v1 import quota_pb2
from services.common.ids import new_reservation_id
from services.edge.bounds import Bound
from services.edge.catalog import Target
from services.edge.charge import Charge
from services.edge.openai import Ask
from services.edge.usage import Tokens


def to_message(tokens: Tokens) -> quota_pb2.TokenUsage:
    if not any(tokens[2:]):  # as most are
        return quota_pb2.TokenUsage(input_tokens=tokens.input, output_tokens=tokens.output)
    return quota_pb2.TokenUsage(
        input_tokens=tokens.input,
        cached_input_tokens=tokens.cached_input,
        cache_write_input_tokens=tokens.cache_write_input,
        audio_input_tokens=tokens.audio_input,
        output_tokens=tokens.output,
        reasoning_output_tokens=tokens.reasoning_output,
        audio_output_tokens=tokens.audio_output,
        extra_units=tokens.extra_units,
    )


def reserve_item(
    principal: Principal,
    ask: Ask,
    target: Target,
    bound: Bound,
    *,
    operation: str,
    request_id: str,
) -> quota_pb2.ReserveItem:
    """What is asked of the ledger, under a new id."""
    key_id, model = principal.key_id, target.model
    owner = quota_pb2.Owner(org_id=principal.org_id, user_id=principal.user_id, key_id=key_id)
    most = to_message(bound.most)
    digest = hashlib.sha256(ask.raw)
    digest.update(f"\0{key_id}\0{model}\0{operation}\0".encode() + most.SerializeToString())
    return quota_pb2.ReserveItem(
        reservation_id=new_reservation_id(),
        fingerprint=digest.hexdigest(),
        owner=owner,
        model=model,
        operation=operation,
        bound=most,
        min_output_tokens=bound.least_output,
        service_tier=ask.service_tier or None,
        requested_model=ask.model,
        request_id=request_id,
    )


class Hold(NamedTuple):
    """``model`` is the one that is charged: a fallback's, once it took over. ``headers`` tell the
    client of its rate limits. ``grace`` is the edge whose fail-open share pays, if one does."""

    item: quota_pb2.ReserveItem
    grant: quota_pb2.Grant
    bound: Bound
    model: str
    headers: Mapping[str, str] = MappingProxyType({})
    grace: str = ""

    @property
    def id(self) -> str:
        return self.item.reservation_id

    def moved(self, model: str) -> "Hold":
        return self._replace(model=model)

    def settled(self, charge: Charge) -> quota_pb2.SettleItem:
        """The end of it."""
        outcome = (
            quota_pb2.SETTLE_OUTCOME_CHARGED
            if charge.billable
            else quota_pb2.SETTLE_OUTCOME_RELEASED
        )
        item, grant = self.item, self.grant
        return quota_pb2.SettleItem(
            reservation_id=item.reservation_id,
            fingerprint=item.fingerprint,
            owner=item.owner,
            model=self.model,
            service_tier=item.service_tier or None,
            operation=item.operation,
            outcome=outcome,
            usage=to_message(charge.tokens),
            month=grant.month,
            admit_time_ms=grant.admit_time_ms,
            flags=charge.flags or None,
            request_id=item.request_id,
            held_nano_usd=grant.held_nano_usd,
            grace=bool(self.grace) or None,
            edge_id=self.grace or None,
        )

    def checkpoint(self, so_far: Tokens, want: int = 0) -> quota_pb2.CheckpointItem:
        """What it has cost so far; ``want`` output tokens to hold for in all, 0 for as it is."""
        return quota_pb2.CheckpointItem(
            reservation_id=self.item.reservation_id,
            owner=self.item.owner,
            model=self.model,
            service_tier=self.item.service_tier,
            usage=to_message(so_far),
            want_output_tokens=want,
            bound=self.item.bound,
        )


def released(item: quota_pb2.ReserveItem) -> quota_pb2.SettleItem:
    """Closes a reservation of which it is not known whether it was made."""
    return quota_pb2.SettleItem(
        reservation_id=item.reservation_id,
        fingerprint=item.fingerprint,
        owner=item.owner,
        model=item.model,
        service_tier=item.service_tier,
        operation=item.operation,
        outcome=quota_pb2.SETTLE_OUTCOME_RELEASED,
        request_id=item.request_id,
    )
