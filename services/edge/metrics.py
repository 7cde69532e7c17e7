"""What the edge counts. Labels are ours: routes, providers, outcomes; never keys, users, or text
that clients chose. Names follow OpenTelemetry's gen_ai conventions where it has one."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.common.counted import Counts, Spread, Spreads

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TOKENS = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576)


class OutageMetrics:
    """What happens while something we depend on is away: the ledger, the disk."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.grace = Counter(
            "gateway_grace_requests",
            "Requests during quota outages by what fail-open shares said: admitted, refused.",
            ["outcome"],
            registry=registry,
        )
        self._durable = Gauge(
            "gateway_outbox_durable",
            "1 while settlements reach this edge's disk, 0 while they are in memory only.",
            registry=registry,
        )
        self._away = Gauge(
            "gateway_quota_unavailable", "1 while the ledger does not answer.", registry=registry
        )

    def watch(self, durable: Callable[[], bool], away: Callable[[], bool]) -> None:
        """Where the gauges read their values."""
        self._durable.set_function(durable)
        self._away.set_function(away)


class _Served:
    """Where the requests of one operation at one provider are counted."""

    __slots__ = ("first_byte", "input", "output", "seconds")

    def __init__(self, seconds: Spread, first_byte: Spread, tokens: Spreads, *of: str) -> None:
        self.seconds = seconds
        self.first_byte = first_byte
        self.input = tokens.of(*of, "input")
        self.output = tokens.of(*of, "output")


class EdgeMetrics:
    """The edge's own metrics, on a registry of the process's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._served: dict[tuple[str, str], _Served] = {}
        self.requests = Counts(
            "gateway_requests",
            "HTTP requests, by operation, provider, status and error code.",
            ["operation", "provider", "status", "refused"],
        )
        self.seconds = Spreads(
            "gen_ai_server_request_duration_seconds",
            "From the first byte of the request to the last of the answer.",
            ["gen_ai_operation_name", "gen_ai_provider_name"],
            bounds=_SECONDS,
        )
        self.first_byte = Spreads(
            "gen_ai_server_time_to_first_token_seconds",
            "From the first byte of the request to the first of the answer's body.",
            ["gen_ai_operation_name", "gen_ai_provider_name"],
            bounds=_SECONDS,
        )
        self.tokens = Spreads(
            "gen_ai_client_token_usage",
            "Tokens of one request.",
            ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_token_type"],
            bounds=_TOKENS,
        )
        self.settlements = Counts(
            "gateway_settlements",
            "Settlements by outcome: booked, repeated, refused, retried.",
            ["outcome"],
        )
        spreads = (self.seconds, self.first_byte, self.tokens)
        for counted in (self.requests, *spreads, self.settlements):
            registry.register(counted)
        self.running = 0
        """Requests now."""
        running = Gauge("gateway_requests_running", "Requests now.", registry=registry)
        running.set_function(lambda: self.running)
        self.upstream_failures = Counter(
            "gateway_upstream_failures",
            "Upstream attempts that failed, by provider and code.",
            ["provider", "code"],
            registry=registry,
        )
        pending, admitted = "gateway_settlements_pending", "gateway_reservations_running"
        self._pending = Gauge(pending, "Settlements not booked yet.", registry=registry)
        self._admitted = Gauge(admitted, "Admitted requests now.", registry=registry)
        self.outages = OutageMetrics(registry)

    def watch(self, pending: Callable[[], int], admitted: Callable[[], int]) -> None:
        """Where the gauges read their values."""
        self._pending.set_function(pending)
        self._admitted.set_function(admitted)

    def settled(self, outcome: str) -> None:
        self.settlements.add(outcome)

    def upstream_failed(self, provider: str, code: str | None) -> None:
        """One attempt; ``code`` may be the provider's own."""
        self.upstream_failures.labels(provider, _code(code or "")).inc()

    def finished(self, status: int, facts: dict[str, Any], seconds: float) -> None:
        """One HTTP request, by the facts that its handler noted."""
        operation, provider = facts.get("operation", "other"), facts.get("provider", "")
        self.requests.add(operation, provider, str(status), _code(facts.get("refused", "")))
        if not provider:
            return
        served = self._served.get((operation, provider)) or self._new(operation, provider)
        served.seconds.add(seconds)
        if "first_byte_ms" in facts:
            served.first_byte.add(facts["first_byte_ms"] / 1_000)
        if "input_tokens" in facts:
            served.input.add(facts["input_tokens"])
            served.output.add(facts["output_tokens"])

    def _new(self, *of: str) -> _Served:
        seconds, first_byte = self.seconds.of(*of), self.first_byte.of(*of)
        served = self._served[of[0], of[1]] = _Served(seconds, first_byte, self.tokens, *of)
        return served


_OURS = frozenset(
    [
        "invalid_api_key",
        "insufficient_quota",
        "budget_held",
        "rate_limit_exceeded",
        "model_not_found",
        "model_not_priced",
        "quota_unavailable",
        "auth_unavailable",
        "upstream_auth",
        "upstream_error",
        "upstream_timeout",
        "upstream_overloaded",
        "request_too_large",
        "method_not_supported",
        "unknown_url",
        "user_suspended",
        "org_suspended",
        "cannot_price_input",
        "unsupported_parameter",
        "server_error",
    ]
)


def _code(refused: str) -> str:
    """Codes can come from upstreams; as a label there are only ours."""
    return refused if refused in _OURS or not refused else "other"
