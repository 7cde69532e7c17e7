"""Whether there are traces: OpenTelemetry is an extra, and not even imported where it is not asked
for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from services.common.settings import SettingsError

if TYPE_CHECKING:
    from services.edge.tracing import Tracing


@asynccontextmanager
async def opened(endpoint: str, *, edge_id: str, sample: float) -> "AsyncIterator[Tracing | None]":
    """Spans to a collector at ``endpoint``; None where it is empty. Raises SettingsError."""
    if not endpoint:
        yield None
        return
    try:
        from services.edge.tracing import Tracing, otlp
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"GATEWAY_OTLP_ENDPOINT is set, but {error.name} is not installed: "
            "install requirements-otel.lock, or ai-gateway[otel]"
        ) from None
    tracing = Tracing(otlp(endpoint), edge_id=edge_id, sample=sample)
    try:
        yield tracing
    finally:
        await tracing.close()
