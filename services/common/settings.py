"""The one place where the environment is read.

Each process has one frozen settings class; every field names its variable. Values come from the
environment, then from ``.env``, then from the default.
"""

import os
from typing import Annotated, Any, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

WEAK_SECRETS = ("changeme", "change-me", "secret", "password", "admin", "example", "default")
MIN_SECRET_LENGTH = 32


class SettingsError(Exception):
    """One line for a person: which variable is wrong, and what to do."""


class Settings(BaseSettings):
    """Base of every process's settings. Subclasses give each field its variable by
    ``Field(validation_alias=…)``."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    log_level: str = Field("info", validation_alias="GATEWAY_LOG_LEVEL")
    log_format: str = Field("auto", validation_alias="GATEWAY_LOG_FORMAT")

    @classmethod
    def load(cls) -> Self:
        """Settings from the environment. Raises SettingsError."""
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else cls.__name__
            raise SettingsError(f"{name}: {first['msg']}") from None

    def describe(self) -> dict[str, Any]:
        """Every setting by its variable, secrets as ``set`` or ``unset``."""
        shown: dict[str, Any] = {}
        for field, info in type(self).model_fields.items():
            value = getattr(self, field)
            secret = isinstance(value, SecretStr)
            name = str(info.validation_alias or field)
            if secret or "SecretStr" in str(info.annotation):
                shown[name] = "set" if value and value.get_secret_value() else "unset"
            else:
                shown[name] = value
        return shown


class WorkerSettings(Settings):
    """A process of which there may be several on one port. Their parent tells ``worker``: which of
    them this is, from 1; 0 stands alone, or is the parent itself."""

    worker: int = Field(0, validation_alias="GATEWAY_WORKER", ge=0)


class ServiceSettings(WorkerSettings):
    """What auth and quota have in common: the KV, credentials, TLS between services."""

    redis_url: str = Field("redis://127.0.0.1:6379/0", validation_alias="REDIS_URL")
    kv_cluster: bool = Field(False, validation_alias="GATEWAY_KV_CLUSTER")
    kv_timeout_ms: int = Field(200, validation_alias="GATEWAY_KV_TIMEOUT_MS", ge=10, le=5_000)
    kv_connections: int = Field(16, validation_alias="GATEWAY_KV_CONNECTIONS", ge=1, le=512)
    kv_unsafe: bool = Field(False, validation_alias="GATEWAY_KV_UNSAFE")
    admin_api_key: SecretStr = Field(SecretStr(""), validation_alias="ADMIN_API_KEY")
    service_token: SecretStr = Field(SecretStr(""), validation_alias="GATEWAY_SERVICE_TOKEN")
    reflection: bool = Field(True, validation_alias="GATEWAY_GRPC_REFLECTION")
    tls_cert: str = Field("", validation_alias="GATEWAY_TLS_CERT")
    tls_key: str = Field("", validation_alias="GATEWAY_TLS_KEY")
    tls_ca: str = Field("", validation_alias="GATEWAY_TLS_CA")
    health_listen: str = Field("", validation_alias="GATEWAY_HEALTH_LISTEN")
    drain_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        15.0, validation_alias="GATEWAY_DRAIN_SECONDS"
    )


def environment(name: str) -> str:
    """A variable that is named by data (a catalog's ``credential_env``), from the process's
    environment or ``.env``; empty when unset. Read at start, like every setting."""
    return os.environ.get(name) or dotenv_values(".env").get(name) or ""


def child_environment() -> dict[str, str]:
    """A copy of this process's environment, for a process it starts."""
    return dict(os.environ)


def prefer(name: str, value: str) -> None:
    """Tell a library that reads the environment, unless somebody has told it already."""
    os.environ.setdefault(name, value)


def require_secret(name: str, value: SecretStr) -> str:
    """The secret's text; several with commas, newest first, where one is being replaced. Raises
    SettingsError when one is missing, short or a known default."""
    text = value.get_secret_value()
    if not text:
        raise SettingsError(f"{name} is not set; generate one, for example: openssl rand -hex 32")
    if any(_is_weak(one.strip()) for one in text.split(",")):
        raise SettingsError(
            f"{name} is too weak: use at least {MIN_SECRET_LENGTH} random characters, "
            "for example: openssl rand -hex 32"
        )
    return text


def newest(secret: str) -> str:
    """The one to show to others, of several that are known."""
    return secret.split(",")[0].strip()


def _is_weak(secret: str) -> bool:
    return len(secret) < MIN_SECRET_LENGTH or any(
        weak in secret.lower() for weak in WEAK_SECRETS[:2]
    )
