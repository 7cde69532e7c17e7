"""Settings of the simulator."""

from pathlib import Path

from pydantic import Field

from services.common import settings


class SimulatorSettings(settings.Settings):
    """Read once by ``load``. The default pace is quick, but visible."""

    listen: str = Field(
        "127.0.0.1:8790",
        pattern=r"^[^\s:]+:[0-9]{1,5}$",
        validation_alias="GATEWAY_SIMULATOR_LISTEN",
    )
    log: str = Field("", validation_alias="GATEWAY_SIMULATOR_LOG")
    keep_bodies: bool = Field(False, validation_alias="GATEWAY_SIMULATOR_KEEP_BODIES")
    first_token_ms: int = Field(150, ge=0, validation_alias="GATEWAY_SIMULATOR_FIRST_TOKEN_MS")
    tokens_per_second: float = Field(
        150, ge=0, validation_alias="GATEWAY_SIMULATOR_TOKENS_PER_SECOND"
    )

    @classmethod
    def immediate(cls, log: Path | None = None) -> "SimulatorSettings":
        """For tests: a free port, no waiting, bodies kept, nothing from the environment."""
        return cls.model_construct(
            listen="127.0.0.1:0",
            log=str(log or ""),
            keep_bodies=True,
            first_token_ms=0,
            tokens_per_second=0,
        )
