"""Keys of our own making: a prefix that scanners know, 32 random base62 characters (190 bits) and
6 more that are the CRC-32 of everything before them, so that a mistyped key is told from a wrong
one without asking anybody. Only the SHA-256 is ever stored."""

import hashlib
import re
import secrets
import zlib

from services.common.ids import ALPHABET

API_KEY = "gw_live_"
ADMIN_KEY = "gw_admin_"

_RANDOM = 32
_PAIRS = [one + other for one in ALPHABET for other in ALPHABET]
_SHAPE = re.compile(r"(?:gw_live_|gw_admin_)[0-9A-Za-z]{38}")


def mint(prefix: str) -> str:
    """A new key beginning with ``API_KEY`` or ``ADMIN_KEY``."""
    text = prefix + "".join(secrets.choice(ALPHABET) for _ in range(_RANDOM))
    return text + _checksum(text)


def well_formed(key: str) -> bool:
    """Whether ``key`` has the shape and the checksum of a key of ours."""
    return _SHAPE.fullmatch(key) is not None and _checksum(key[:-6]) == key[-6:]


def digest(key: str) -> str:
    """Lower-case hex SHA-256: what is stored, and what travels between services."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(text: str) -> str:
    front, back = divmod(zlib.crc32(text.encode()), len(_PAIRS))
    first, middle = divmod(front, len(_PAIRS))
    return _PAIRS[first] + _PAIRS[middle] + _PAIRS[back]
