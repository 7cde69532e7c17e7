"""Traces by OpenTelemetry, where somebody collects them: one span for each request.

The names are those of the gen_ai conventions. Never a prompt, an answer or a key. This module is
imported only where GATEWAY_OTLP_ENDPOINT is set; it needs the extra ``ai-gateway[otel]``.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_EXPORT_SECONDS = 3.0
_CONTEXT = (b"traceparent", b"tracestate")
_CARRY = TraceContextTextMapPropagator()
_ATTRIBUTES = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "stream": "gen_ai.request.stream",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "org": "gateway.org_id",
}
"""What the span tells of a request's facts, by their names in the log."""


def otlp(endpoint: str) -> SpanProcessor:
    """Sends spans to a collector's OTLP/HTTP ``endpoint`` (``http://host:4318``) from a thread."""
    url = endpoint.rstrip("/") + "/v1/traces"
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS))


class Tracing:
    """Makes the spans of one edge. ``sample`` is the part of requests that are traced when their
    client says nothing about it."""

    def __init__(self, processor: SpanProcessor, *, edge_id: str, sample: float) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample)),
            resource=Resource.create({SERVICE_NAME: "ai-gateway", "service.instance.id": edge_id}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("ai-gateway")

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> "Trace":
        """The span of a request that has just come, in the client's trace if it names one."""
        given = {
            name.decode(): value.decode("latin-1") for name, value in headers if name in _CONTEXT
        }
        parent = _CARRY.extract(given, Context())
        return Trace(self._tracer.start_span("request", context=parent, kind=SpanKind.SERVER))

    async def close(self) -> None:
        """Send what is left."""
        await asyncio.to_thread(self._provider.shutdown)


class Trace:
    """One request's span. ``headers`` carry it on to the provider."""

    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _CARRY.inject(carrier, set_span_in_context(span, Context()))
        self.headers = [(name.encode(), value.encode()) for name, value in carrier.items()]

    def end(self, method: str, status: int, request_id: str, facts: Mapping[str, Any]) -> None:
        """The request is over: its attributes from what is known of it now."""
        span = self._span
        operation, model = facts.get("operation", "other"), facts.get("model")
        span.update_name(f"{operation} {model}" if model else str(operation))
        span.set_attributes(
            {
                "http.request.method": method,
                "http.response.status_code": status,
                "gateway.request_id": request_id,
                **{_ATTRIBUTES[name]: facts[name] for name in _ATTRIBUTES if name in facts},
            }
        )
        first = facts.get("first_byte_ms")
        if first is not None:
            span.set_attribute("gen_ai.response.time_to_first_chunk", first / 1_000)
        failed = facts.get("refused") or facts.get("outcome")
        if failed:
            span.set_attribute("error.type", str(failed))
        if status >= 500 or "outcome" in facts:
            span.set_status(StatusCode.ERROR)
        span.end()
