"""Bursts of wrong admin credentials, told to the platform's audit trail."""

from services.common import keys
from services.common.errors import GatewayError
from services.common.logs import logger
from services.common.trail import Author, Trail

log = logger("logins")

ACTION = "admin.login_failures"


class LoginWatch:
    """Given to Access, which calls it once for each burst. ``service`` is who saw it."""

    def __init__(self, trail: Trail, service: str) -> None:
        self._trail = trail
        self._author = Author(service)

    async def burst(self, peer: str, failures: int) -> None:
        """Never raises: the caller is being refused anyway."""
        log.warning("login_failures", peer=peer, failures=failures)
        facts = {"failures": str(failures)}
        try:
            await self._trail.tell(keys.PLATFORM, self._author, ACTION, peer, facts, "")
        except GatewayError as error:
            log.warning("login_failures_not_recorded", peer=peer, cause=repr(error.__cause__))
