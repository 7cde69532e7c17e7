"""What the launcher can be told. The services it starts read the same variables themselves."""

from pathlib import Path

from pydantic import Field, SecretStr

from services.common.settings import Settings


class LaunchSettings(Settings):
    """Where everything listens, where data lies, and which upstream there is."""

    data_dir: Path = Field(Path(".gateway"), validation_alias="GATEWAY_DATA_DIR")
    redis_url: str = Field("", validation_alias="REDIS_URL")
    drain_seconds: float = Field(15.0, ge=0, le=3_600, validation_alias="GATEWAY_DRAIN_SECONDS")

    admin_api_key: SecretStr = Field(SecretStr(""), validation_alias="ADMIN_API_KEY")
    service_token: SecretStr = Field(SecretStr(""), validation_alias="GATEWAY_SERVICE_TOKEN")
    master_key: SecretStr = Field(SecretStr(""), validation_alias="GATEWAY_MASTER_KEY")

    edge_listen: str = Field("127.0.0.1:8787", validation_alias="GATEWAY_EDGE_LISTEN")
    admin_listen: str = Field("", validation_alias="GATEWAY_ADMIN_LISTEN")
    auth_listen: str = Field("127.0.0.1:50051", validation_alias="GATEWAY_AUTH_LISTEN")
    quota_listen: str = Field("127.0.0.1:50052", validation_alias="GATEWAY_QUOTA_LISTEN")
    simulator_listen: str = Field("127.0.0.1:8790", validation_alias="GATEWAY_SIMULATOR_LISTEN")
    edge_workers: int = Field(1, ge=1, le=256, validation_alias="GATEWAY_EDGE_WORKERS")
    auth_workers: int = Field(1, ge=1, le=256, validation_alias="GATEWAY_AUTH_WORKERS")
    quota_workers: int = Field(1, ge=1, le=256, validation_alias="GATEWAY_QUOTA_WORKERS")
    edge_metrics: str = Field("127.0.0.1:9100", validation_alias="GATEWAY_EDGE_METRICS_LISTEN")
    auth_metrics: str = Field("127.0.0.1:9101", validation_alias="GATEWAY_AUTH_METRICS_LISTEN")
    quota_metrics: str = Field("127.0.0.1:9102", validation_alias="GATEWAY_QUOTA_METRICS_LISTEN")
    auth_target: str = Field("", validation_alias="GATEWAY_AUTH_TARGET")
    quota_target: str = Field("", validation_alias="GATEWAY_QUOTA_TARGET")
    simulator_url: str = Field("", validation_alias="GATEWAY_SIMULATOR_URL")

    tls_cert: str = Field("", validation_alias="GATEWAY_TLS_CERT")
    tls_key: str = Field("", validation_alias="GATEWAY_TLS_KEY")
    tls_ca: str = Field("", validation_alias="GATEWAY_TLS_CA")

    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias="OPENAI_API_KEY")
    openai_base_url: str = Field("", validation_alias="OPENAI_BASE_URL")
    cloudflare_account: str = Field("", validation_alias="AI_GATEWAY_ACCOUNT_ID")
    cloudflare_gateway: str = Field("", validation_alias="AI_GATEWAY_ID")

    @property
    def upstream(self) -> str:
        """The upstream as a person knows it; empty when none is configured."""
        if self.cloudflare_account and self.cloudflare_gateway:
            return f"Cloudflare AI Gateway {self.cloudflare_gateway}"
        if self.openai_base_url:
            return self.openai_base_url
        return "OpenAI" if self.openai_api_key.get_secret_value() else ""
