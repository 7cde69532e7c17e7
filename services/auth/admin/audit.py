"""The audit trail, and the counts of the directory."""

from typing import Any

import orjson

from gateway.auth.v1 import admin_pb2
from services.auth import wire
from services.auth.admin.desk import Desk, not_found
from services.common import chain, keys
from services.common.access import caller
from services.common.errors import InvalidField
from services.common.paging import Listed, page

_AT_ONCE = 500


class Audit(Desk):
    async def ListAuditEntries(
        self, request: admin_pb2.ListAuditEntriesRequest, context: Any
    ) -> admin_pb2.ListAuditEntriesResponse:
        trail = await self._trail(request.org_id)
        first = str(_bound(request, "start_time", 0))
        last = str(_bound(request, "end_time", 2**62) - 1)

        async def fetch(position: str, count: int) -> list[Listed[admin_pb2.AuditEntry]]:
            if position and not position.replace("-", "", 1).isdigit():
                raise InvalidField("page_token", "is not a token of this list")
            after = f"({position}"
            if request.descending:
                command = (
                    "xrevrange",
                    keys.audit(trail),
                    after if position else last,
                    first,
                    count,
                )
            else:
                command = ("xrange", keys.audit(trail), after if position else first, last, count)
            (found,) = await self.store.read(command)
            shown = [(place, _entry(place, fields, trail)) for place, fields in found]
            return [(place, one if _fits(request.action, one) else None) for place, one in shown]

        found, token = await page(request.page_size, request.page_token, fetch)
        return admin_pb2.ListAuditEntriesResponse(entries=found, next_page_token=token)

    async def VerifyAuditTrail(
        self, request: admin_pb2.VerifyAuditTrailRequest, context: Any
    ) -> admin_pb2.VerifyAuditTrailResponse:
        trail = await self._trail(request.org_id)
        verifier, position = chain.Verifier(), "-"
        while True:
            found, head = await self.store.read_together(
                ("xrange", keys.audit(trail), position, "+", _AT_ONCE),
                ("get", keys.audit_head(trail)),
            )
            for place, fields in found:
                verifier.feed(place, fields.get("entry", ""), fields.get("hash", ""))
                position = f"({place}"
            if len(found) < _AT_ONCE:
                breaks = verifier.finish(chain.Head.parse(head))
                return admin_pb2.VerifyAuditTrailResponse(entries=verifier.entries, breaks=breaks)

    async def GetDirectoryCounts(
        self, request: admin_pb2.GetDirectoryCountsRequest, context: Any
    ) -> admin_pb2.DirectoryCounts:
        only = request.org_id or caller.get().org
        if only:
            await self.see_organization(only)
            return await self._counts([only])
        total, position = admin_pb2.DirectoryCounts(), ""
        while orgs := await self.store.after(keys.ORGS, position, _AT_ONCE):
            position = orgs[-1]
            some = await self._counts(orgs)
            for descriptor, number in some.ListFields():
                setattr(total, descriptor.name, getattr(total, descriptor.name) + number)
        return total

    async def _counts(self, orgs: list[str]) -> admin_pb2.DirectoryCounts:
        now = self.store.now()
        living = await self.store.read(*(("exists", keys.org_config(org)) for org in orgs))
        counts = await self.store.rows(keys.org_counts(org) for org in orgs)
        expired = await self.store.read(
            *(("zcount", keys.org_expiring(org), "-inf", now) for org in orgs)
        )
        sums = {
            name: sum(int(row.get(name, 0)) for row in counts)
            for name in ("users", "keys", "active_keys", "revoked_keys")
        }
        return admin_pb2.DirectoryCounts(
            organizations=sum(living),
            users=sums["users"],
            api_keys=sums["keys"],
            api_keys_active=sums["active_keys"] - sum(expired),
            api_keys_revoked=sums["revoked_keys"],
        )

    async def _trail(self, org: str) -> str:
        """The trail asked for; an admin key bound to an organisation always means its own. It is
        there for deleted organisations too."""
        org = org or caller.get().org
        if not org:
            return keys.PLATFORM
        if not (keys.is_id(org) and caller.get().may_see(org) and await self.store.known(org)):
            raise not_found("organization", org)
        return org


def _bound(request: admin_pb2.ListAuditEntriesRequest, name: str, absent: int) -> int:
    if not request.HasField(name):
        return absent
    try:
        return max(wire.to_ms(getattr(request, name)), 0)
    except ValueError as error:
        raise InvalidField(name, str(error)) from None


def _fits(action: str, entry: admin_pb2.AuditEntry) -> bool:
    if action.endswith("."):
        return entry.action.startswith(action)
    return not action or entry.action == action


def _entry(place: str, fields: dict[str, str], trail: str) -> admin_pb2.AuditEntry:
    org = "" if trail == keys.PLATFORM else trail
    digest = fields.get("hash", "")
    try:
        body = orjson.loads(fields["entry"])
        return admin_pb2.AuditEntry(
            entry_id=place,
            time=wire.to_time(body["time"]),
            actor=body["actor"],
            action=body["action"],
            target=body["target"],
            before=_json(body["before"]),
            after=_json(body["after"]),
            request_id=body["request_id"],
            hash=digest,
            org_id=org,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError):
        # Somebody wrote here by hand; VerifyAuditTrail says so, and the rest stays readable.
        return admin_pb2.AuditEntry(entry_id=place, action="unreadable", hash=digest, org_id=org)


def _json(facts: dict[str, str]) -> str:
    return orjson.dumps(facts, option=orjson.OPT_SORT_KEYS).decode() if facts else ""
