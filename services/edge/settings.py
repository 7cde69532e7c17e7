"""What the edge can be told."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from services.common.settings import WorkerSettings


class EdgeSettings(WorkerSettings):
    """Addresses are ``host:port``; port 0 picks a free one."""

    listen: str = Field("127.0.0.1:8787", validation_alias="GATEWAY_EDGE_LISTEN")
    admin_listen: str = Field("", validation_alias="GATEWAY_ADMIN_LISTEN")
    public_url: str = Field("", validation_alias="GATEWAY_PUBLIC_URL", pattern=r"^(https?://\S+)?$")
    workers: int = Field(1, validation_alias="GATEWAY_EDGE_WORKERS", ge=1, le=256)
    metrics_listen: str = Field("127.0.0.1:9100", validation_alias="GATEWAY_EDGE_METRICS_LISTEN")
    auth_target: str = Field("127.0.0.1:50051", validation_alias="GATEWAY_AUTH_TARGET")
    quota_target: str = Field("127.0.0.1:50052", validation_alias="GATEWAY_QUOTA_TARGET")
    service_token: SecretStr = Field(SecretStr(""), validation_alias="GATEWAY_SERVICE_TOKEN")
    tls_cert: str = Field("", validation_alias="GATEWAY_TLS_CERT")
    tls_key: str = Field("", validation_alias="GATEWAY_TLS_KEY")
    tls_ca: str = Field("", validation_alias="GATEWAY_TLS_CA")
    patience_seconds: float = Field(
        1.0, validation_alias="GATEWAY_PATIENCE_SECONDS", ge=0.25, le=60
    )
    data_dir: Path = Field(Path(".gateway"), validation_alias="GATEWAY_DATA_DIR")
    notice_seconds: float = Field(0.3, validation_alias="GATEWAY_NOTICE_SECONDS", ge=0, le=60)
    drain_seconds: float = Field(15.0, validation_alias="GATEWAY_DRAIN_SECONDS", ge=0, le=3_600)

    catalog: Path = Field(Path("deploy/models.toml"), validation_alias="GATEWAY_CATALOG")
    default_provider: str = Field("", validation_alias="GATEWAY_DEFAULT_PROVIDER")
    simulator_url: str = Field("http://127.0.0.1:8790/v1", validation_alias="GATEWAY_SIMULATOR_URL")
    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias="OPENAI_API_KEY")
    openai_base_url: str = Field("", validation_alias="OPENAI_BASE_URL")
    cloudflare_account: str = Field(
        "", validation_alias="AI_GATEWAY_ACCOUNT_ID", pattern=r"^[A-Za-z0-9_-]{0,64}$"
    )
    cloudflare_gateway: str = Field(
        "", validation_alias="AI_GATEWAY_ID", pattern=r"^[A-Za-z0-9_-]{0,64}$"
    )
    cloudflare_token: SecretStr = Field(SecretStr(""), validation_alias="AI_GATEWAY_TOKEN")
    cloudflare_form: str = Field(
        "compat", validation_alias="AI_GATEWAY_FORM", pattern=r"^(compat|rest)$"
    )

    max_body_bytes: int = Field(
        32 << 20, validation_alias="GATEWAY_MAX_BODY_BYTES", ge=1_024, le=1 << 30
    )
    max_connections: int = Field(
        10_000, validation_alias="GATEWAY_EDGE_MAX_CONNECTIONS", ge=1, le=1_000_000
    )
    cors_origins: str = Field(
        "",
        validation_alias="GATEWAY_CORS_ORIGINS",
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+(,https?://[A-Za-z0-9.:\[\]-]+)*)?$",
    )
    otlp_endpoint: str = Field("", validation_alias="GATEWAY_OTLP_ENDPOINT")
    trace_sample: float = Field(1.0, validation_alias="GATEWAY_TRACE_SAMPLE", ge=0, le=1)
    checkpoint_seconds: float = Field(
        5.0, validation_alias="GATEWAY_CHECKPOINT_SECONDS", gt=0, le=20
    )
    first_window_tokens: int = Field(
        4_096, validation_alias="GATEWAY_FIRST_WINDOW_TOKENS", ge=256, le=1 << 20
    )
    exhausted_status: Literal["429", "402"] = Field(
        "429", validation_alias="GATEWAY_QUOTA_EXHAUSTED_STATUS"
    )
    principal_stale_seconds: float = Field(
        300.0, validation_alias="GATEWAY_PRINCIPAL_STALE_SECONDS", ge=0, le=86_400
    )
