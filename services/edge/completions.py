"""POST /v1/completions, the legacy API: what is particular about it."""

from services.edge.api import Api
from services.edge.bounds import PER_REQUEST, Bound, output_bound
from services.edge.catalog import Target
from services.edge.chat import broken, stream_options
from services.edge.errors import invalid
from services.edge.hold import Hold
from services.edge.members import change
from services.edge.openai import (
    MAX_CHOICES,
    MAX_MESSAGES,
    Ask,
    Body,
    flag,
    include_usage,
    integer,
    model_name,
    parse,
    service_tier,
)
from services.edge.streamed import completion_stream
from services.edge.usage import BYTES_PER_TOKEN, Meter, Tokens

DEFAULT_CAP = 16
"""What the API means where a request has no ``max_tokens``."""


def read_completion(raw: bytes) -> Ask:
    """A completion's request. Raises ApiError 400."""
    body = parse(raw)
    model = model_name(body)
    choices = integer(body, "n", most=MAX_CHOICES) or 1
    written = max(choices, integer(body, "best_of", most=MAX_CHOICES) or 1)
    return Ask(
        raw=raw,
        body=body,
        model=model,
        stream=flag(body, "stream"),
        include_usage=include_usage(body),
        choices=written * prompts(body),
        cap=integer(body, "max_tokens") or DEFAULT_CAP,
        service_tier=service_tier(body),
    )


def prompts(body: Body) -> int:
    """How many prompts there are: a text, tokens, or a list of either. Raises ApiError 400."""
    prompt = body.get("prompt")
    match prompt:
        case str():
            return 1
        case [int(), *_]:
            return 1
        case [str() | list(), *_]:
            if len(prompt) > MAX_MESSAGES:
                raise invalid(f"'prompt' has more than {MAX_MESSAGES} items.", param="prompt")
            return len(prompt)
        case _:
            raise invalid(
                "Missing required parameter: 'prompt' (a string, or an array of strings or "
                "tokens).",
                param="prompt",
                code="missing_required_parameter",
            )


def completion_bound(ask: Ask, target: Target, first_window: int) -> Bound:
    """Tokens of the prompt are at most its bytes, whether it is text or numbers. With ``echo`` the
    prompt comes back, at the price of output in the worst case."""
    inputs = len(ask.raw) + PER_REQUEST
    output, least, window = output_bound(ask, target.max_output_tokens, first_window)
    echoed = inputs if flag(ask.body, "echo") else 0
    return Bound(
        Tokens(input=inputs, output=output + echoed),
        least_output=least + echoed,
        estimated_input=-(-len(ask.raw) // BYTES_PER_TOKEN),
        window=window,
    )


def upstream_body(ask: Ask, target: Target, _: Hold) -> bytes:
    """The bytes that came, but for the model's name at the provider, the default cap (which some
    servers do not know), and usage where a stream did not ask for it."""
    changes: dict[str, object] = stream_options(ask, target)
    if target.upstream_model != ask.model:
        changes["model"] = target.upstream_model
    if ask.body.get("max_tokens") is None:
        changes["max_tokens"] = DEFAULT_CAP
    return change(ask.raw, ask.body, changes) if changes else ask.raw


COMPLETIONS = Api(
    operation="completions",
    path="/completions",
    read=read_completion,
    bound=completion_bound,
    upstream_body=upstream_body,
    granted_cap=lambda ask, target, hold: 0,
    meter=lambda _: Meter(),
    withhold=lambda ask: not ask.include_usage,
    broken=broken,
    cut_short=lambda meter, _, error: broken(meter, error),
    chunks=True,
    as_stream=completion_stream,
)
