"""Commands packed by hiredis: a script call of a full batch has hundreds of arguments, and redis-py
packs each of them in Python, at a third of all that the quota service does. They are written
without the task and the timer that redis-py makes for each, as long as the socket takes them."""

from collections.abc import Iterable
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection as UnixConnection

_MUCH = 65_536
"""Bytes from which asyncio holds writers back."""


class _Packing(AbstractConnection):
    def pack_command(self, *args: Any) -> list[bytes]:
        name = args[0]
        words = name.split() if isinstance(name, str | bytes) else (name,)
        try:
            return [hiredis.pack_command((*words, *args[1:]))]
        except TypeError:  # something rarer than text, bytes and numbers
            return super().pack_command(*args)

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        writer = self._writer
        if isinstance(command, list) and writer is not None and not writer.is_closing():
            writer.writelines(command)
            if writer.transport.get_write_buffer_size() < _MUCH:
                return  # a lost connection shows when the answer is read
            command = []  # the wait for the socket is bounded below
        await super().send_packed_command(command, check_health)


class PackedConnection(_Packing, Connection): ...


class PackedUnixConnection(_Packing, UnixConnection): ...


class PackedSSLConnection(_Packing, SSLConnection): ...


PACKED: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: PackedConnection,
    UnixConnection: PackedUnixConnection,
    SSLConnection: PackedSSLConnection,
}
