"""POST /v1/images/generations: what is particular about it. Offered where the catalog says so: an
image has a price of its own (``extra_unit_usd``), or ``max_output_tokens`` is what one takes."""

from services.edge.api import Api
from services.edge.bounds import PER_REQUEST, Bound
from services.edge.chat import broken, cut_short
from services.edge.embeddings import upstream_body
from services.edge.errors import invalid
from services.edge.openai import Ask, flag, integer, model_name, parse
from services.edge.usage import BYTES_PER_TOKEN, Meter, Tokens

MAX_IMAGES = 10


def read_images(raw: bytes) -> Ask:
    """A request for images. Raises ApiError 400."""
    body = parse(raw)
    model = model_name(body)
    if not isinstance(body.get("prompt"), str) or not body["prompt"]:
        raise invalid(
            "Missing required parameter: 'prompt' (a string).",
            param="prompt",
            code="missing_required_parameter",
        )
    if flag(body, "stream"):
        raise invalid(
            "Images are not streamed here. Leave 'stream' out.",
            param="stream",
            code="unsupported_parameter",
        )
    count = integer(body, "n", most=MAX_IMAGES) or 1
    return Ask(raw=raw, body=body, model=model, choices=count)


def images_bound(ask: Ask, _: str, max_output: int, __: int) -> Bound:
    output = ask.choices * max_output
    return Bound(
        Tokens(input=len(ask.raw) + PER_REQUEST, output=output, extra_units=ask.choices),
        least_output=output,
        estimated_input=-(-len(ask.raw) // BYTES_PER_TOKEN),
    )


IMAGES = Api(
    operation="images",
    path="/images/generations",
    read=read_images,
    bound=images_bound,
    upstream_body=upstream_body,
    granted_cap=lambda ask, target, hold: 0,
    meter=lambda ask: Meter(units=ask.choices),
    withhold=lambda _: False,
    broken=broken,
    cut_short=cut_short,
)
