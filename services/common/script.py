"""Lua scripts: sent once to each KV node, afterwards called by their digest."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from services.common.kv import Kv
from services.common.kv_cluster import ClusterKv
from services.common.kv_line import KvLine
from services.common.kv_pool import command


class Script:
    """One script, joined from its files and texts. All keys of a call must lie in one slot."""

    def __init__(self, *pieces: Path | str) -> None:
        self._text = "".join(p if isinstance(p, str) else p.read_text() for p in pieces)
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, kv: Kv, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """What the script returns. A node that does not have it yet is given its text; a script
        that is not known has not run, so nothing happens twice."""
        try:
            if isinstance(kv, ClusterKv):
                return await kv.evalsha(self._sha, len(keys), *keys, *args)
            return await command(kv, "EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await kv.eval(self._text, len(keys), *keys, *args)

    async def ask(
        self, line: KvLine, keys: Sequence[str], args: Sequence[str | int], seconds: float
    ) -> Any:
        """The same over a server's line, each attempt within ``seconds``. The first call on a
        connection brings the text, so that none behind it overtakes it."""
        if self._sha not in line.known:
            found = await line.ask(("EVAL", self._text, len(keys), *keys, *args), seconds)
            line.known.add(self._sha)
            return found
        try:
            return await line.ask(("EVALSHA", self._sha, len(keys), *keys, *args), seconds)
        except NoScriptError:
            return await line.ask(("EVAL", self._text, len(keys), *keys, *args), seconds)
