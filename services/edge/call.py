"""One call of an OpenAI API, told from its beginning to its end."""

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial

from starlette.types import Receive, Scope, Send

from services.edge import errors
from services.edge.admission import Admission, Caller
from services.edge.alarm import Alarms
from services.edge.api import Api
from services.edge.bulk import LARGE, Bulk
from services.edge.catalog import Catalog, Target
from services.edge.charge import Charge
from services.edge.cycle import Header
from services.edge.dispatch import Answer, Dispatch, Order
from services.edge.errors import ApiError
from services.edge.exchange import ClientGone, Exchange
from services.edge.faults import UpstreamFailed
from services.edge.hold import Hold
from services.edge.openai import Ask
from services.edge.relay import Relay
from services.edge.running import Run, Running
from services.edge.settlements import Settlements
from services.edge.usage import Tokens


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the calls of one process share."""

    admission: Admission
    catalog: Catalog
    dispatch: Dispatch
    running: Running
    settlements: Settlements
    bulk: Bulk
    max_body: int
    first_window: int


class Call:
    """The ASGI endpoint of one API."""

    def __init__(self, api: Api, rooms: Rooms) -> None:
        self._api = api
        self._rooms = rooms
        self._alarms = Alarms()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange = Exchange(scope, receive, send)
        exchange.facts["operation"] = self._api.operation
        given = exchange.header(b"x-client-request-id")
        if given:
            exchange.facts["client_request_id"] = given[:128].decode("latin-1")
        return self._answer(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        rooms, api = self._rooms, self._api
        exchange.require_method("POST")
        caller = await rooms.admission.identify(exchange)
        raw = await exchange.body_as(api.media_type, rooms.max_body)
        large = len(raw) >= LARGE
        ask = await rooms.bulk.do(partial(api.read, raw)) if large else api.read(raw)
        target = self._find(ask, caller)
        facts = exchange.facts
        facts["provider"], facts["model"] = target.provider.name, target.model
        facts["stream"] = ask.stream
        bound = api.bound(ask, target, rooms.first_window)
        hold, principal = await rooms.admission.reserve(
            caller,
            ask,
            target,
            bound,
            operation=api.operation,
            request_id=exchange.request_id,
        )
        alarm = self._alarms.take()
        exchange.watch(alarm.hang_up)
        order = Order(api, ask, principal, exchange, alarm)
        try:
            await self._served(order, target, hold)
        finally:
            exchange.close()
            self._alarms.give_back(alarm)

    def _find(self, ask: Ask, caller: Caller) -> Target:
        target = self._rooms.catalog.find(ask.model)
        if target.weights:
            target = self._rooms.dispatch.chosen(target, caller.principal)
        if not self._rooms.dispatch.usable(target, caller.principal):
            raise errors.unknown_model(ask.model)
        if self._api.operation not in target.apis:
            raise errors.wrong_api(target.model, self._api.operation)
        return target

    async def _served(self, order: Order, target: Target, hold: Hold) -> None:
        """From the hold to its settlement, which happens whatever happens."""
        rooms = self._rooms
        longest = order.ask.choices * target.max_output_tokens
        run = Run(hold, order.api.meter(order.ask), longest=longest, window=rooms.first_window)
        rooms.running.add(run)
        relay: Relay | None = None
        ended: BaseException | None = None
        try:
            answer = await rooms.dispatch.open(order, target, run)
            relay = self._relay(order, answer, run)
            await relay.pass_on()
        except BaseException as error:
            ended = error
            raise
        finally:
            rooms.running.remove(run)
            self._settle(order.exchange, run.hold, _charge(ended, relay, run.hold))

    def _relay(self, order: Order, answer: Answer, run: Run) -> Relay:
        exchange = order.exchange
        facts, target = exchange.facts, answer.target  # which may be a fallback
        facts["provider"], facts["model"] = target.provider.name, target.model
        return Relay(
            order.api,
            order.ask,
            answer,
            exchange,
            order.alarm,
            run,
            self._rooms.running,
            self._rooms.bulk,
            headers=_headers(order, answer),
        )

    def _settle(self, exchange: Exchange, hold: Hold, charge: Charge) -> None:
        facts, tokens = exchange.facts, charge.tokens
        facts["input_tokens"], facts["output_tokens"] = tokens.input, tokens.output
        facts["flags"] = " ".join(charge.flags)
        self._rooms.settlements.submit(hold.settled(charge))


def _charge(ended: BaseException | None, relay: Relay | None, hold: Hold) -> Charge:
    """What to book for a call that ended so."""
    match ended:
        case _ if relay is not None and relay.begun:
            return relay.charge
        case UpstreamFailed(billed=True):
            return Charge(Tokens(input=hold.bound.most.input), flags=("unreconciled",))
        case UpstreamFailed() | ApiError() | ClientGone(sent=False):
            return Charge(Tokens(), billable=False)
        case _:  # the client left, or this process stops, before the first byte
            input_ = hold.bound.estimated_input
            return Charge(Tokens(input=input_), flags=("estimated", "partial"))


def _headers(order: Order, answer: Answer) -> list[Header]:
    hold, model = answer.hold, answer.target.model
    headers = [(name.encode(), value.encode()) for name, value in hold.headers.items()]
    headers.append((b"x-gateway-model", model.encode()))
    cap = order.api.granted_cap(order.ask, answer.target, hold)
    if cap:
        headers.append((b"x-gateway-max-tokens", b"%d" % cap))
    return headers
