"""Settings of the quota service."""

from pydantic import Field

from services.common.settings import ServiceSettings


class QuotaSettings(ServiceSettings):
    listen: str = Field("127.0.0.1:50052", validation_alias="GATEWAY_QUOTA_LISTEN")
    workers: int = Field(1, validation_alias="GATEWAY_QUOTA_WORKERS", ge=1, le=256)
    metrics_listen: str = Field("127.0.0.1:9102", validation_alias="GATEWAY_QUOTA_METRICS_LISTEN")
    catalog: str = Field("deploy/models.toml", validation_alias="GATEWAY_CATALOG")
    grace_min_edges: int = Field(1, validation_alias="GATEWAY_GRACE_MIN_EDGES", ge=1, le=10_000)
    sweep_seconds: float = Field(5.0, validation_alias="GATEWAY_SWEEP_SECONDS", ge=0.1, le=60)
    journal_days: int = Field(0, validation_alias="GATEWAY_JOURNAL_DAYS", ge=0, le=36_500)
