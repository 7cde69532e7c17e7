"""Every setting of the auth service."""

from pydantic import Field, SecretStr

from services.common.settings import ServiceSettings


class AuthSettings(ServiceSettings):
    listen: str = Field("127.0.0.1:50051", validation_alias="GATEWAY_AUTH_LISTEN")
    workers: int = Field(1, validation_alias="GATEWAY_AUTH_WORKERS", ge=1, le=256)
    metrics_listen: str = Field("127.0.0.1:9101", validation_alias="GATEWAY_AUTH_METRICS_LISTEN")
    master_key: SecretStr = Field(SecretStr(""), validation_alias="GATEWAY_MASTER_KEY")
