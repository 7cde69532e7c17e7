"""What the scripts answer, as the ledger's words."""

from typing import Any

from services.quota.items import Checked, Granted, Rate, Refused


def admission(reply: list[Any]) -> Granted | Refused:
    """Of reserve."""
    if reply[0] == "GRANT":
        _, held, output, month, admit_ms, duplicate, state, revision, *rates = reply
        return Granted(
            held=held,
            output=output,
            month=month,
            admit_ms=admit_ms,
            duplicate=bool(duplicate),
            state=state,
            revision=revision,
            requests=_rate(rates[:3]),
            tokens=_rate(rates[3:]),
        )
    fields = [*reply[1:13], _rate(reply[13:16]), _rate(reply[16:19])]
    return Refused(*fields)


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
