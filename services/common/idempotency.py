"""A write that carries `idempotency-key` metadata happens once; repeats get the first answer.

What is stored is useless without the key itself: its place is a hash of it, and the answer, which
may hold a secret shown once, is sealed under a key derived from it.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.message import Message

from services.common import keys
from services.common.access import caller
from services.common.errors import (
    Conflict,
    GatewayError,
    Internal,
    InvalidField,
    Unavailable,
)
from services.common.kv import Kv, kv_errors

M = TypeVar("M", bound=Message)

KEPT_SECONDS = 24 * 3600
RUNNING_SECONDS = 15
"""Longer than any admin RPC may take; after it, an attempt that never ended is forgotten."""

_NONCE = 12
_MAX_KEY = 255
_RETRY_MS = 200


class Idempotency:
    """Remembers the answers of writes for a day, for each caller separately."""

    def __init__(self, kv: Kv) -> None:
        self._kv = kv
        self._running: set[asyncio.Task[Any]] = set()

    async def once(
        self, method: str, request: Message, answer: type[M], work: Callable[[], Awaitable[M]]
    ) -> M:
        """The answer of ``work``, or of the first call of this caller with the same key. Raises
        Conflict when the key came before with another request, or while the first call still
        runs (then with ``retry_after_ms``)."""
        found = caller.get()
        if not found.idempotency_key:
            return await work()
        record = _Record(self._kv, found.name, found.org, found.idempotency_key)
        record.sign(method, request)
        stored = await record.begin()
        if stored is not None:
            return answer.FromString(stored)
        # A caller that hangs up will ask again: what has begun ends, and its answer is kept.
        task = asyncio.create_task(_finish(record, work))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # Told to the caller, if there still is one.


async def _finish(record: "_Record", work: Callable[[], Awaitable[M]]) -> M:
    try:
        async with asyncio.timeout(RUNNING_SECONDS * 2 / 3):
            result = await work()
    except TimeoutError as error:
        raise Unavailable("the change took too long; its outcome is not known") from error
    except (Unavailable, Internal):
        raise  # It may have happened: a repeat must wait until this attempt is surely over.
    except GatewayError:
        await record.forget()
        raise
    await record.finish(result.SerializeToString(deterministic=True))
    return result


class _Record:
    def __init__(self, kv: Kv, actor: str, org: str, key: str) -> None:
        if len(key) > _MAX_KEY or not key.isprintable():
            raise InvalidField("idempotency-key", f"must be 1 to {_MAX_KEY} printable characters")
        self._kv = kv
        place = hashlib.sha256(orjson.dumps([actor, org, key])).hexdigest()
        self._name = keys.idempotency(place)
        derived = HKDF(SHA256(), 64, place.encode(), b"gateway idempotency").derive(key.encode())
        self._seal, self._sign = AESGCM(derived[:32]), derived[32:]
        self._signature = ""

    def sign(self, method: str, request: Message) -> None:
        """What tells this request from another: keyed, since requests may hold secrets too."""
        text = method.encode() + b"\0" + request.SerializeToString(deterministic=True)
        self._signature = hmac.digest(self._sign, text, "sha256").hex()

    async def begin(self) -> bytes | None:
        """None when this call is the first; otherwise the first one's answer."""
        running = orjson.dumps({"request": self._signature}).decode()
        with kv_errors():
            won = await self._kv.set(self._name, running, nx=True, ex=RUNNING_SECONDS)
            text = None if won else await self._kv.get(self._name)
        if won:
            return None
        stored = orjson.loads(text) if text else {"request": self._signature}
        if not hmac.compare_digest(stored["request"], self._signature):
            raise Conflict("This idempotency key came before with another request")
        if "answer" not in stored:
            raise Conflict(
                "The first request with this idempotency key is still running",
                retry_after_ms=_RETRY_MS,
            )
        return self._open(stored["answer"])

    async def finish(self, answer: bytes) -> None:
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._seal.encrypt(nonce, answer, self._signature.encode())
        stored = {"request": self._signature, "answer": base64.b64encode(sealed).decode()}
        with kv_errors():
            await self._kv.set(self._name, orjson.dumps(stored).decode(), ex=KEPT_SECONDS)

    async def forget(self) -> None:
        with kv_errors():
            await self._kv.delete(self._name)

    def _open(self, sealed: str) -> bytes:
        data = base64.b64decode(sealed)
        try:
            return self._seal.decrypt(data[:_NONCE], data[_NONCE:], self._signature.encode())
        except InvalidTag as error:
            raise Internal("The stored answer does not open") from error
