"""An API key as callers present it."""

from collections.abc import Iterable

from services.common import secret
from services.edge.errors import invalid, missing_key, wrong_key

_ALTERNATIVES = (b"api-key", b"x-api-key")


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The API key in ``authorization: Bearer``, ``api-key`` or ``x-api-key``; the same key in
    several of them is one key. Raises ApiError: 401 for none or one of another kind, 400 for
    several."""
    found: set[str] = set()
    bearers = 0
    for name, value in headers:
        if name == b"authorization":
            bearers += 1
            scheme, _, token = value.decode("latin-1").strip().partition(" ")
            found.add(token.strip() if scheme.lower() == "bearer" else "")
        elif name in _ALTERNATIVES:
            found.add(value.decode("latin-1").strip())
    if bearers > 1 or len(found) > 1:
        raise invalid("Send one API key in one header.", code="duplicate_credential")
    if not found:
        raise missing_key()
    key = found.pop()
    if not key.startswith(secret.API_KEY):
        raise wrong_key()
    return key
