"""Finding somebody who answers: tries and fallbacks, all before the first byte of an answer.

They share one reservation. Another attempt is made only when the one before is known to cost
nothing; a fallback only after the hold pays for its price.
"""

import random
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from services.common.errors import GatewayError
from services.edge import errors
from services.edge.alarm import Alarm
from services.edge.api import Api
from services.edge.bulk import LARGE, Bulk
from services.edge.catalog import Catalog, Provider, Target, placed
from services.edge.exchange import ClientGone, Exchange
from services.edge.faults import UpstreamFailed, timed_out
from services.edge.hold import Hold
from services.edge.ledger import Ledger
from services.edge.metrics import EdgeMetrics
from services.edge.openai import Ask
from services.edge.principal import Principal
from services.edge.principals import Principals
from services.edge.reach import Reach
from services.edge.running import Run
from services.edge.transport import Exchange as Reply
from services.edge.upstream import Form, Upstream, own_headers
from services.edge.usage import Tokens

CONNECT_ATTEMPTS = 2
LEAST_PATIENCE = 1.0


class Order(NamedTuple):
    """What stays the same over all attempts."""

    api: Api
    ask: Ask
    principal: Principal
    exchange: Exchange
    alarm: Alarm


class Answer(NamedTuple):
    """Status and headers have come; the body is still to be read."""

    reply: Reply
    target: Target
    hold: Hold


class Dispatch:
    """Sends requests to upstreams."""

    def __init__(
        self,
        upstream: Upstream,
        catalog: Catalog,
        principals: Principals,
        ledger: Ledger,
        metrics: EdgeMetrics,
        bulk: Bulk,
    ) -> None:
        self._upstream = upstream
        self._catalog = catalog
        self._principals = principals
        self._ledger = ledger
        self._metrics = metrics
        self._bulk = bulk
        self._reach = Reach()

    def usable(self, target: Target, principal: Principal) -> bool:
        """Whether there is a credential for the target."""
        provider = target.provider
        return provider.usable or provider.name in principal.providers_with_key

    def chosen(self, target: Target, principal: Principal) -> Target:
        """One of those over which the target's requests are spread, by their weights; the others
        become its fallbacks."""
        spread = {
            name: weight
            for name, weight in target.weights
            if self.usable(self._catalog.find(name), principal)
        }
        if not spread:
            return target
        [one] = random.choices(list(spread), weights=list(spread.values()))
        others = [name for name in spread if name != one]
        return replace(self._catalog.find(one), fallbacks=(*others, *target.fallbacks))

    async def open(self, order: Order, target: Target, run: Run) -> Answer:
        """The first answer that is a success; ``run`` holds for whoever is being asked. Raises
        UpstreamFailed, ClientGone, ApiError."""
        waiting = [name for name in target.fallbacks if name != target.model]
        while True:
            try:
                return Answer(await self._attempts(order, target, run.hold), target, run.hold)
            except UpstreamFailed as failed:
                self._metrics.upstream_failed(target.provider.name, failed.error.code)
                if not failed.again:
                    raise
                moved = await self._next(waiting, run.hold, order.principal)
                if moved is None:
                    raise
                target, run.hold = moved

    async def _attempts(self, order: Order, target: Target, hold: Hold) -> Reply:
        target = placed(target, order.api.path)
        provider = target.provider
        self._reach.check(provider.base_url)
        exchange, principal = order.exchange, order.principal
        credential = provider.credential
        if provider.kind == "cloudflare-rest":
            credential = provider.cloudflare_token
        elif provider.name in principal.providers_with_key:
            credential = await self._own(provider, principal)
        form = Form(
            provider.base_url,
            order.api.path,
            credential,
            order.ask.form.media_type if order.ask.form else b"application/json",
            order.ask.stream,
        )
        own = own_headers(exchange.headers, provider, exchange.request_id, principal)
        own += exchange.trace
        make, ask = order.api.upstream_body, order.ask
        small = len(ask.raw) < LARGE
        told = (ask, target, hold)
        body = make(*told) if small else await self._bulk.do(partial(make, *told))
        patience = _patience(order.exchange, provider)
        attempt = 1
        while True:
            if order.alarm.gone:
                raise ClientGone(sent=False)
            try:
                with order.alarm.armed(patience):
                    reply = await self._upstream.send(provider, form, own, body)
            except TimeoutError:
                if order.alarm.gone:
                    raise ClientGone from None
                raise timed_out() from None
            except UpstreamFailed as failed:
                if not failed.unseen:
                    self._reach.reached(provider.base_url)
                    raise
                self._reach.failed(provider.base_url)
                if attempt == CONNECT_ATTEMPTS:
                    raise
            else:
                self._reach.reached(provider.base_url)
                return reply
            attempt += 1

    async def _own(self, provider: Provider, principal: Principal) -> str:
        """The organisation's own key."""
        try:
            return await self._principals.credential(principal, provider.name)
        except GatewayError as error:
            raise errors.unavailable("auth") from error

    async def _next(
        self, waiting: list[str], hold: Hold, principal: Principal
    ) -> tuple[Target, Hold] | None:
        """The next fallback whose price the hold can be made to cover."""
        while waiting:
            target = self._catalog.find(waiting.pop(0))
            if not self.usable(target, principal):
                continue
            moved = hold.moved(target.model)
            want = int(hold.grant.output_tokens) + 1
            try:
                [result] = await self._ledger.checkpoint([moved.checkpoint(Tokens(), want)])
            except GatewayError:
                return None
            if not result.HasField("refusal"):
                return target, moved
        return None


def _patience(exchange: Exchange, provider: Provider) -> float:
    """Seconds until an answer must begin: no longer than the client waits for it."""
    told = exchange.header(b"x-stainless-read-timeout") or exchange.header(b"x-stainless-timeout")
    if not told:
        return provider.first_byte_timeout
    try:
        return min(provider.first_byte_timeout, max(float(told), LEAST_PATIENCE))
    except ValueError:
        return provider.first_byte_timeout
