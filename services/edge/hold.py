"""A reservation as the edge holds it: what was asked, what was granted, how it is settled."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.quota.v1 import quota_pb2
from services.common.ids import new_reservation_id
from services.edge.bounds import Bound
from services.edge.catalog import Target
from services.edge.charge import Charge
from services.edge.openai import Ask
from services.edge.principal import Principal
from services.edge.usage import Tokens

_CHARGED = quota_pb2.SETTLE_OUTCOME_CHARGED
_RELEASED = quota_pb2.SETTLE_OUTCOME_RELEASED


def to_message(tokens: Tokens) -> quota_pb2.TokenUsage:
    message = quota_pb2.TokenUsage()
    put(message, tokens)
    return message


def put(message: quota_pb2.TokenUsage, tokens: Tokens) -> None:
    """Member by member, as all messages here: a constructor takes twice as long."""
    message.input_tokens = tokens.input
    message.output_tokens = tokens.output
    if any(tokens[2:]):
        message.cached_input_tokens = tokens.cached_input
        message.cache_write_input_tokens = tokens.cache_write_input
        message.audio_input_tokens = tokens.audio_input
        message.reasoning_output_tokens = tokens.reasoning_output
        message.audio_output_tokens = tokens.audio_output
        message.extra_units = tokens.extra_units


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
    item = quota_pb2.ReserveItem()
    item.reservation_id = new_reservation_id()
    owner, key_id = item.owner, principal.key_id
    owner.org_id, owner.user_id, owner.key_id = principal.org_id, principal.user_id, key_id
    item.model = model = target.model
    item.operation = operation
    put(item.bound, bound.most)
    item.min_output_tokens = bound.least_output
    if ask.service_tier:
        item.service_tier = ask.service_tier
    item.requested_model = ask.model
    item.request_id = request_id
    digest = hashlib.sha256(ask.raw)
    digest.update(f"\0{key_id}\0{model}\0{operation}\0".encode())
    digest.update(item.bound.SerializeToString())
    item.fingerprint = digest.hexdigest()
    return item


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
        item, grant, settled = self.item, self.grant, quota_pb2.SettleItem()
        settled.reservation_id = item.reservation_id
        settled.fingerprint = item.fingerprint
        settled.owner.CopyFrom(item.owner)
        settled.model = self.model
        tier = item.service_tier
        if tier:
            settled.service_tier = tier
        settled.operation = item.operation
        settled.outcome = _CHARGED if charge.billable else _RELEASED
        put(settled.usage, charge.tokens)
        settled.month = grant.month
        settled.admit_time_ms = grant.admit_time_ms
        if charge.flags:
            settled.flags.extend(charge.flags)
        settled.request_id = item.request_id
        settled.held_nano_usd = grant.held_nano_usd
        if self.grace:
            settled.grace, settled.edge_id = True, self.grace
        return settled

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
        outcome=_RELEASED,
        request_id=item.request_id,
    )
