"""GET /v1/models and /v1/models/{id}."""

from services.simulator import chunks
from services.simulator.api import Answer, Stamp
from services.simulator.ask import Ask, Body, Prompt
from services.simulator.errors import Refused
from services.simulator.faults import Faults

OWNER = "simulator"
NAMES = ("echo", "lorem")
_CREATED = 1_700_000_000

failed = chunks.failed


def read(body: Body) -> Ask:
    """Here the body is what the path names: an id, or nothing."""
    return Ask(body, str(body.get("id", "")), Prompt())


def answer(ask: Ask, faults: Faults, rest: str, stamp: Stamp) -> Answer:
    """The list, or one model, with or without its provider."""
    if not ask.model:
        return Answer({"object": "list", "data": [_model(f"{OWNER}/{name}") for name in NAMES]})
    if ask.model.removeprefix(f"{OWNER}/") not in NAMES:
        raise Refused(
            f"The model '{ask.model}' does not exist", 404, param="model", code="model_not_found"
        )
    return Answer(_model(ask.model))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": OWNER}
