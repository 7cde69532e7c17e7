"""A user's month begins anew: what was spent no longer counts against the limit.

The journal, the audit trail and the counter change in one step.
"""

from services.common import keys
from services.common.trail import Author, Step, Trail
from services.quota.door import Door
from services.quota.scripts import Scripts

ACTION = "user.reset_quota"


class Resets:
    def __init__(self, door: Door, scripts: Scripts, trail: Trail) -> None:
        self._door = door
        self._scripts = scripts
        self._trail = trail

    async def reset(self, org: str, user: str, reason: str, author: Author) -> str:
        """Forgives what ``user`` spent in the month that pays now, which is answered."""
        quota, month = keys.user_quota(org, user), ""

        async def decide() -> Step:
            nonlocal month
            names = [quota, keys.org_quota(org)]
            month, spent, before = await self._door.run(self._scripts.forgivable, names, [])
            return Step(
                ACTION,
                user,
                self._scripts.reset,
                [quota, keys.journal(org)],
                [month, spent, user, reason, author.request_id],
                before={"spent_nano_usd": str(spent - before)},
                after={"month": month, "spent_nano_usd": "0", "reason": reason},
            )

        await self._trail.write(org, author, decide)
        return month
