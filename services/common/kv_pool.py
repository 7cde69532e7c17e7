"""redis-py's pool and its way of a command, without the locks, timers, events and counters that
cost more than the command where a connection lies ready."""

from typing import Any

from redis._parsers.base import BaseParser
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from services.common.kv_line import KvLine


class Pool(BlockingConnectionPool):
    """Only who finds no connection ready waits as redis-py does. ``line`` is one connection more,
    which all of its users share."""

    _waiting = 0
    _line: KvLine | None = None

    @property
    def line(self) -> KvLine:
        if self._line is None:
            silence = self.connection_kwargs["socket_timeout"]
            self._line = KvLine(self._opened, BaseParser.parse_error, silence=silence)
        return self._line

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        if self._available_connections and not self._in_maintenance:
            ready: Any = self._available_connections[-1]
            if ready.is_connected and not ready.should_reconnect() and not await _unread(ready):
                self._available_connections.pop()
                self._in_use_connections.add(ready)
                return ready
        self._waiting += 1
        try:
            slowly: Any = super().get_connection
            return await slowly()
        finally:
            self._waiting -= 1

    async def release(self, connection: Any) -> None:
        if self._waiting or self._in_maintenance or connection.should_reconnect():
            await super().release(connection)
        else:
            self._in_use_connections.remove(connection)
            self._available_connections.append(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        if self._line is not None and inuse_connections:
            self._line.close()
        await super().disconnect(inuse_connections)

    async def _opened(self) -> AbstractConnection:
        make: Any = self.make_connection
        connection: AbstractConnection = make()
        connect: Any = connection.connect
        await connect()
        return connection


async def _unread(connection: AbstractConnection) -> bool:
    """Whether something is there that no command asked for; also where the other end is gone."""
    try:
        return bool(await connection.can_read())
    except RedisError:
        return True


async def command(kv: Redis, *words: Any) -> Any:
    """The answer to one command of one server, as ``kv.execute_command`` gives it for a command
    that is answered as it is. It is never repeated."""
    pool: Any = kv.connection_pool
    connection = await pool.get_connection()
    try:
        await connection.send_command(*words)
        return await connection.read_response()
    finally:
        await pool.release(connection)
