"""Bursts of wrong admin credentials, told to the platform's audit trail."""

from services.auth.store import Author, Change, Store
from services.common import keys
from services.common.errors import GatewayError
from services.common.logs import logger

log = logger("logins")

ACTION = "admin.login_failures"


class LoginWatch:
    """Given to Access, which calls it once for each burst."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def burst(self, peer: str, failures: int) -> None:
        """Never raises: the caller is being refused anyway."""
        log.warning("login_failures", peer=peer, failures=failures)

        async def decide() -> Change[None]:
            return Change(None, ACTION, peer, after={"failures": str(failures)})

        try:
            await self._store.change(keys.PLATFORM, Author("auth"), decide)
        except GatewayError as error:
            log.warning("login_failures_not_recorded", peer=peer, cause=repr(error.__cause__))
