"""A burst of wrong admin keys is told to the audit trail, once a minute and address."""

import time
import uuid
from collections import OrderedDict

from gateway.auth.v1 import auth_pb2
from services.common.errors import GatewayError
from services.common.logs import logger
from services.edge.admin.remote import Remote, call

log = logger("admin")

_MAX_PEERS = 1_000
_SECONDS = 1.0
_NAMESPACE = uuid.UUID("6f1d2c1e-3a0b-5e52-9a5e-1c7c2f3f9d11")


class Guessing:
    """Remembers whom it reported. Every edge makes the same event id, so the trail has one entry
    however many edges saw the burst."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._reported: OrderedDict[str, int] = OrderedDict()

    async def report(self, peer: str, request_id: str) -> None:
        minute = int(time.time() // 60)
        if self._reported.get(peer) == minute:
            return
        self._reported[peer] = minute
        self._reported.move_to_end(peer)
        while len(self._reported) > _MAX_PEERS:
            self._reported.popitem(last=False)
        event = auth_pb2.RecordAuditEventRequest(
            event_id=str(uuid.uuid5(_NAMESPACE, f"{peer} {minute}")),
            action="admin.login_failures",
            actor="edge",
            target=peer,
            details={"request_id": request_id},
        )
        try:
            await call(
                self._remote.events.RecordAuditEvent,
                event,
                self._remote.as_service(request_id),
                service="auth",
                seconds=_SECONDS,
            )
        except GatewayError as error:
            log.warning("audit_event_lost", action=event.action, reason=error.reason)
