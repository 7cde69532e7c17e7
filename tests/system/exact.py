"""Requests whose cost is known beforehand: input is free, the answer is as long as asked."""

from typing import Any

CATALOG = """
default_provider = "simulator"

[providers.simulator]
kind = "openai"
base_url_env = "GATEWAY_SIMULATOR_URL"
private = true

[[models]]
match = "simulator/exact"
max_output_tokens = 100000
input_usd_per_mtok = "0"
output_usd_per_mtok = "1"
"""
NANO_PER_TOKEN = 1_000


def body(tokens: int, words: str = "", **fields: Any) -> dict[str, Any]:
    """A request that is answered by exactly so many tokens; ``words`` are further directives."""
    return {
        "model": "simulator/exact",
        "max_tokens": tokens,
        "messages": [{"role": "user", "content": f"[[sim tokens={tokens} {words}]] go"}],
        **fields,
    }
