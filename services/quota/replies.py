"""What the scripts answer, as the ledger's words."""

from typing import Any

from services.quota.items import Checked, Granted, Rate, Refused, Settle, Settled
from services.quota.months import month_of

_STATES = {"charge": "settled", "release": "released", "expire": "expired"}


def admissions(reply: list[Any]) -> list[Granted | Refused]:
    """Of reserve."""
    month, now, revision, *answers = reply
    found: list[Granted | Refused] = []
    now_ms = int(now)
    rest = iter(answers)
    for answer in rest:
        if isinstance(answer, int):
            found.append(Granted(answer, next(rest), month, now_ms, False, "reserved", revision))
        elif isinstance(answer[0], int):
            held, output, *rates = answer
            made = Granted(held, output, month, now_ms, False, "reserved", revision)
            made.requests, made.tokens = _rate(rates[:3]), _rate(rates[3:])
            found.append(made)
        elif answer[0] == "BEFORE":
            _, held, output, its_month, admit_ms, state = answer
            found.append(Granted(held, output, its_month, admit_ms, True, state, revision))
        else:
            rates = [_rate(answer[11:14]), _rate(answer[14:17])]
            fields = [*answer[1:8], month, *answer[8:11], revision, *rates]
            found.append(Refused(*fields))
    return found


def settled(item: Settle, reply: int | list[Any]) -> Settled:
    """Of settle: a number where the item was booked as told."""
    if isinstance(reply, int):
        month = item.month or month_of(item.admit_ms)
        return Settled("OK", _STATES[item.kind], reply, month)
    return Settled(*reply)


def checked(reply: list[Any]) -> Checked:
    """Of checkpoint."""
    state, output, held, month, reason, scope, *numbers = reply
    refused = None
    if reason:
        limit, spent, held_all, running, affordable = numbers
        refused = Refused(reason, scope, limit, spent, held_all, running, affordable, month)
    return Checked(state, output, held, refused)


def _rate(numbers: list[int]) -> Rate | None:
    return Rate(*numbers) if numbers and numbers[0] >= 0 else None
