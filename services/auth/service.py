"""AuthService: the questions of the hot path."""

import re
from typing import Any

import orjson

from gateway.auth.v1 import auth_pb2, auth_pb2_grpc
from services.auth import model
from services.auth.store import Store
from services.auth.vault import Vault
from services.common import keys
from services.common.access import caller
from services.common.errors import InvalidField, NotFound, PermissionDenied, Unauthenticated
from services.common.trail import Author

_HASH = re.compile(r"[0-9a-f]{64}")
_EVENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ACTION = re.compile(r"[a-z0-9_.]{1,64}")
_MAX_DETAILS = 32
_MAX_TEXT = 1_000

_KEY_FIELDS = ("status", "expires", "models", "user", "hash")
_USER_FIELDS = ("status", "models")
_ORG_FIELDS = (
    "status",
    "models",
    "failure_mode",
    "fallback_daily",
    "allow_upstream_cache",
    "revision",
)


class AuthService(auth_pb2_grpc.AuthServiceServicer):
    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    async def VerifyApiKey(
        self, request: auth_pb2.VerifyApiKeyRequest, context: Any
    ) -> auth_pb2.VerifyApiKeyResponse:
        if not _HASH.fullmatch(request.key_hash):
            raise InvalidField("key_hash", "must be 64 lower-case hex characters (SHA-256)")
        (found,) = await self._store.read(
            ("hmget", keys.api_key(request.key_hash), ["org", "user", "key"])
        )
        if None in found:
            raise _invalid()
        principal = await self._principal(request.key_hash, *found)
        return auth_pb2.VerifyApiKeyResponse(principal=principal)

    async def _principal(
        self, key_hash: str, org_id: str, user_id: str, key_id: str
    ) -> auth_pb2.Principal:
        answers = await self._store.read(
            ("hmget", keys.key_config(org_id, key_id), _KEY_FIELDS),
            ("hmget", keys.user_config(org_id, user_id), _USER_FIELDS),
            ("hmget", keys.org_config(org_id), _ORG_FIELDS),
            ("hkeys", keys.provider_keys(org_id)),
        )
        key = dict(zip(_KEY_FIELDS, answers[0], strict=True))
        user = dict(zip(_USER_FIELDS, answers[1], strict=True))
        org = dict(zip(_ORG_FIELDS, answers[2], strict=True))
        expires = int(key["expires"] or 0)
        dead = key["status"] != model.ACTIVE or 0 < expires <= self._store.now()
        foreign = key["hash"] != key_hash or key["user"] != user_id
        if dead or foreign or user["status"] is None or org["status"] is None:
            raise _invalid()
        for scope, row in (("user", user), ("org", org)):
            if row["status"] != model.ACTIVE:
                raise PermissionDenied(
                    "The organisation is suspended" if scope == "org" else "The user is suspended",
                    reason="SUSPENDED",
                    metadata={"scope": scope},
                )
        lists = [row["models"].split() for row in (key, user, org) if row["models"]]
        return auth_pb2.Principal(
            org_id=org_id,
            user_id=user_id,
            key_id=key_id,
            allowed_models=[auth_pb2.ModelList(models=found) for found in lists],
            failure_mode=org["failure_mode"] or model.FAIL_CLOSED,
            providers_with_key=sorted(answers[3]),
            revision=int(org["revision"] or 0),
            expire_time_ms=expires,
            allow_upstream_cache=org["allow_upstream_cache"] == "1",
            fallback_daily_limit_nano_usd=int(org["fallback_daily"] or 0),
        )

    async def GetProviderCredential(
        self, request: auth_pb2.GetProviderCredentialRequest, context: Any
    ) -> auth_pb2.GetProviderCredentialResponse:
        org, provider = request.org_id, request.provider
        if not keys.is_id(org):
            raise InvalidField("org_id", "is required")
        dek, envelope = await self._store.read(
            ("get", keys.org_dek(org)), ("hget", keys.provider_keys(org), provider)
        )
        if dek is None or envelope is None:
            raise NotFound(
                f"The organisation has no key for provider {provider[:64]}",
                metadata={"resource": "provider_key", "id": provider[:64]},
            )
        stored = orjson.loads(envelope)
        credential = self._vault.unseal(org, dek, provider, stored["version"], stored["sealed"])
        return auth_pb2.GetProviderCredentialResponse(credential=credential)

    async def RecordAuditEvent(
        self, request: auth_pb2.RecordAuditEventRequest, context: Any
    ) -> auth_pb2.RecordAuditEventResponse:
        _check_event(request)
        org = request.org_id or keys.PLATFORM
        if request.org_id and not await self._store.known(org):
            raise NotFound(
                f"Organization {org} not found", metadata={"resource": "organization", "id": org}
            )
        author = Author(request.actor or caller.get().name, caller.get().request_id)
        facts = dict(request.details)
        await self._store.trail.tell(
            org, author, request.action, request.target, facts, request.event_id
        )
        return auth_pb2.RecordAuditEventResponse()


def _check_event(request: auth_pb2.RecordAuditEventRequest) -> None:
    if not _EVENT.fullmatch(request.event_id):
        raise InvalidField("event_id", "must be a lower-case UUID")
    if request.org_id and not keys.is_id(request.org_id):
        raise InvalidField("org_id", "is not an organisation id")
    if not _ACTION.fullmatch(request.action):
        raise InvalidField("action", "must be 1 to 64 of a-z, 0-9, `_`, `.`")
    for name in ("actor", "target"):
        if len(getattr(request, name)) > _MAX_TEXT:
            raise InvalidField(name, f"must be at most {_MAX_TEXT} characters")
    texts = [text for pair in request.details.items() for text in pair]
    if len(request.details) > _MAX_DETAILS or any(len(text) > _MAX_TEXT for text in texts):
        raise InvalidField(
            "details", f"must be at most {_MAX_DETAILS} facts of {_MAX_TEXT} characters"
        )


def _invalid() -> Unauthenticated:
    return Unauthenticated("The API key is not valid", reason="API_KEY_INVALID")
