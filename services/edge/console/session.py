"""A signed-in browser: one sealed cookie, the same to every edge.

The cookie holds what the browser proved (an admin key, or the hash of an API key), sealed under a
key derived from the service token. It is a credential as good as the key itself, for twelve hours
at most; each page asks the services anew, so a revoked key ends its sessions at once.
"""

import base64
import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.requests import Request
from starlette.responses import Response

COOKIE = "gw_console"
PATH = "/console"
SECONDS = 12 * 3600
ADMIN = "admin"
HOLDER = "holder"

_NONCE = 12
_INFO = b"gateway console session 1"
_MAX_COOKIE = 4096


@dataclass(frozen=True, slots=True)
class Session:
    """``kind`` is ``ADMIN`` or ``HOLDER``; ``secret`` the admin key, or the SHA-256 of an API key;
    ``org_id`` is empty for the platform; ``csrf`` must come with every write; ``until`` is Unix
    seconds."""

    kind: str
    secret: str
    name: str
    org_id: str
    csrf: str
    until: int


class Sessions:
    def __init__(self, service_token: str, clock: Callable[[], float]) -> None:
        derived = HKDF(SHA256(), 32, None, _INFO).derive(service_token.encode())
        self._seal = AESGCM(derived)
        self._clock = clock

    def start(self, kind: str, secret: str, name: str, org_id: str) -> Session:
        until = int(self._clock()) + SECONDS
        return Session(kind, secret, name, org_id, secrets.token_urlsafe(24), until)

    def of(self, request: Request) -> Session | None:
        """The browser's session; None without one, and for one that is over or not ours."""
        text = request.cookies.get(COOKIE, "")
        if not text or len(text) > _MAX_COOKIE:
            return None
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            opened = self._seal.decrypt(sealed[:_NONCE], sealed[_NONCE:], _INFO)
        except (ValueError, InvalidTag):
            return None
        session = Session(**orjson.loads(opened))
        return session if session.until > self._clock() else None

    def keep(self, session: Session, request: Request, response: Response) -> None:
        """Put the session into the browser. Secure wherever it came by https, a proxy's word
        included: a wrong one costs only whoever said it."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._seal.encrypt(nonce, orjson.dumps(asdict(session)), _INFO)
        response.set_cookie(
            COOKIE,
            base64.urlsafe_b64encode(sealed).decode().rstrip("="),
            max_age=SECONDS,
            path=PATH,
            secure=is_https(request),
            httponly=True,
            samesite="strict",
        )

    @staticmethod
    def end(request: Request, response: Response) -> None:
        response.delete_cookie(
            COOKIE, path=PATH, secure=is_https(request), httponly=True, samesite="strict"
        )


def is_https(request: Request) -> bool:
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return "https" in (request.url.scheme, forwarded)


def own_write(request: Request) -> bool:
    """Whether a page of this very origin sent the request. Browsers say so on every POST; what
    says nothing is no browser of ours."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return site == "same-origin"
    return origin.partition("://")[2].lower() == request.headers.get("host", "").lower()


def same_token(session: Session, given: str) -> bool:
    return hmac.compare_digest(session.csrf.encode(), given.encode())
