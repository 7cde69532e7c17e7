"""POST /v1/moderations: what is particular about it. Offered where the catalog says so."""

from services.edge.api import Api
from services.edge.bounds import Bound, content_bound
from services.edge.catalog import Target
from services.edge.chat import broken, cut_short
from services.edge.embeddings import upstream_body
from services.edge.errors import invalid
from services.edge.openai import Ask, model_name, parse
from services.edge.usage import Meter


def read_moderation(raw: bytes) -> Ask:
    """A request for a moderation. Raises ApiError 400."""
    body = parse(raw)
    model = model_name(body)
    given = body.get("input")
    items = given if isinstance(given, list) else [given]
    kinds = {type(item) for item in items}
    if not given or not (kinds == {str} or kinds == {dict}):
        raise invalid(
            "Invalid 'input': expected a string, an array of strings, or an array of objects.",
            param="input",
            code="invalid_input",
        )
    return Ask(raw=raw, body=body, model=model)


def moderation_bound(ask: Ask, target: Target, _: int) -> Bound:
    """There is no output."""
    given = ask.body["input"]
    items = given if isinstance(given, list) else []
    return content_bound(
        ask, target.model, [("input", items)], messages=len(items) or 1, output=(0, 0, False)
    )


MODERATIONS = Api(
    operation="moderations",
    path="/moderations",
    read=read_moderation,
    bound=moderation_bound,
    upstream_body=upstream_body,
    granted_cap=lambda ask, target, hold: 0,
    meter=lambda _: Meter(),
    withhold=lambda _: False,
    broken=broken,
    cut_short=cut_short,
)
