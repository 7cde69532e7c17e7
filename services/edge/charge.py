"""What an answer costs, by how it ended. Pure."""

from typing import NamedTuple

from services.edge.usage import Meter, Tokens


class Charge(NamedTuple):
    """What to book: ``billable`` false releases the hold."""

    tokens: Tokens
    billable: bool = True
    flags: tuple[str, ...] = ()


def final_charge(meter: Meter, estimated_input: int, *, complete: bool) -> Charge:
    """The charge for an answer that began. ``complete`` is false when it was cut short, by the
    client or by the provider."""
    partial = () if complete else ("partial",)
    if meter.bad:
        own = Tokens(input=estimated_input, output=meter.count(), extra_units=meter.extra())
        return Charge(own, flags=("anomaly", *partial))
    if meter.seen is not None:
        tokens, extra = meter.seen, meter.extra()
        if extra != tokens.extra_units:
            tokens = tokens._replace(extra_units=extra)
        if not complete:
            tokens = tokens._replace(output=max(tokens.output, meter.count()))
        return Charge(tokens, flags=partial)
    delivered = meter.count()
    if meter.failed and not delivered:
        return Charge(Tokens(), billable=False)
    own = Tokens(input=estimated_input, output=delivered, extra_units=meter.extra())
    return Charge(own, flags=("estimated", *partial))
