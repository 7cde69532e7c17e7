"""Provider keys at rest: AES-256-GCM in two layers.

A credential is sealed under its organisation's data key, bound to organisation, provider and
version, so that a ciphertext moved elsewhere does not open. The data key is sealed under a master
key. Several master keys may be known at once: the first seals, all of them open.
"""

import base64
import binascii
import hashlib
import re
import secrets
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.common.errors import PreconditionFailed
from services.common.settings import SettingsError

_NONCE = 12
_KEY = 32
_ADVICE = "must be 32 bytes as 64 hex characters or base64, for example: openssl rand -hex 32"


class Vault:
    """``master_keys`` as in GATEWAY_MASTER_KEY: none, one, or several with commas, newest first.
    Raises SettingsError for what is no key."""

    def __init__(self, master_keys: str) -> None:
        found = [_master_key(text.strip()) for text in master_keys.split(",") if text.strip()]
        self._master = {_name(key): AESGCM(key) for key in found}
        self._newest = next(iter(self._master), "")

    def require_master_key(self) -> None:
        """Raises PreconditionFailed when there is none."""
        if not self._newest:
            raise PreconditionFailed(
                "Provider keys are stored encrypted only: set GATEWAY_MASTER_KEY for auth"
            )

    def new_data_key(self, org: str) -> str:
        """A wrapped data key for an organisation. Raises PreconditionFailed without a master
        key."""
        return self._wrap(org, secrets.token_bytes(_KEY))

    def rewrap(self, org: str, wrapped: str) -> str | None:
        """The data key under the newest master key; None when it is already."""
        self.require_master_key()
        if orjson.loads(wrapped)["master"] == self._newest:
            return None
        return self._wrap(org, self._unwrap(org, wrapped))

    def seal(self, org: str, wrapped: str, provider: str, version: int, credential: str) -> str:
        """The ciphertext of a credential, base64."""
        key = AESGCM(self._unwrap(org, wrapped))
        return _encrypt(key, credential.encode(), f"{org}|{provider}|{version}")

    def unseal(self, org: str, wrapped: str, provider: str, version: int, sealed: str) -> str:
        """The credential. Raises PreconditionFailed where the ciphertext was made for something
        else or under a master key this service does not have."""
        key = AESGCM(self._unwrap(org, wrapped))
        try:
            return _decrypt(key, sealed, f"{org}|{provider}|{version}").decode()
        except (InvalidTag, ValueError) as error:
            raise PreconditionFailed("The stored provider key does not open") from error

    def _wrap(self, org: str, key: bytes) -> str:
        self.require_master_key()
        sealed = _encrypt(self._master[self._newest], key, f"{org}|data key")
        return orjson.dumps({"master": self._newest, "sealed": sealed}).decode()

    def _unwrap(self, org: str, wrapped: str) -> bytes:
        stored: dict[str, Any] = orjson.loads(wrapped)
        master = self._master.get(stored["master"])
        if master is None:
            raise PreconditionFailed(
                "The provider keys of this organisation were stored under a master key that is "
                "not in GATEWAY_MASTER_KEY"
            )
        try:
            return _decrypt(master, stored["sealed"], f"{org}|data key")
        except (InvalidTag, ValueError) as error:
            raise PreconditionFailed("The stored data key does not open") from error


def fingerprint(credential: str) -> str:
    """First 16 hex characters of the SHA-256."""
    return hashlib.sha256(credential.encode()).hexdigest()[:16]


def _encrypt(key: AESGCM, plain: bytes, bound_to: str) -> str:
    nonce = secrets.token_bytes(_NONCE)
    return base64.b64encode(nonce + key.encrypt(nonce, plain, bound_to.encode())).decode()


def _decrypt(key: AESGCM, sealed: str, bound_to: str) -> bytes:
    data = base64.b64decode(sealed)
    return key.decrypt(data[:_NONCE], data[_NONCE:], bound_to.encode())


def _name(key: bytes) -> str:
    return hashlib.sha256(b"gateway master key" + key).hexdigest()[:16]


def _master_key(text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        raise SettingsError(f"GATEWAY_MASTER_KEY {_ADVICE}") from None
    if len(key) != _KEY:
        raise SettingsError(f"GATEWAY_MASTER_KEY {_ADVICE}")
    return key
