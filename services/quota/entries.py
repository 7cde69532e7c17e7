"""The journal's entries as they are kept: one text each, written by ledger.lua. Pure."""

from collections.abc import Mapping

_NAMES = ("k", "id", "u", "key", "m", "model", "op", "s", "h", "n", "t", "f", "rq", "why")
"""Kind, reservation, user, key, month, model, operation, nano-USD spent and held, requests, tokens,
flags, request id, reason. The last one may hold tabs."""


def fields(entry: Mapping[str, str]) -> dict[str, str]:
    """What the stream has, by name."""
    return dict(zip(_NAMES, entry["e"].split("\t", len(_NAMES) - 1), strict=True))
