"""Commands packed by hiredis: a script call of a full batch has hundreds of arguments, and redis-py
packs each of them in Python, at a third of all that the quota service does."""

from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection as UnixConnection


class _Packing(AbstractConnection):
    def pack_command(self, *args: Any) -> list[bytes]:
        name = args[0]
        words = name.split() if isinstance(name, str | bytes) else (name,)
        try:
            return [hiredis.pack_command((*words, *args[1:]))]
        except TypeError:  # something rarer than text, bytes and numbers
            return super().pack_command(*args)


class PackedConnection(_Packing, Connection): ...


class PackedUnixConnection(_Packing, UnixConnection): ...


class PackedSSLConnection(_Packing, SSLConnection): ...


PACKED: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: PackedConnection,
    UnixConnection: PackedUnixConnection,
    SSLConnection: PackedSSLConnection,
}
