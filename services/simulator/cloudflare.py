"""What Cloudflare's AI Gateway adds: its own refusals, and ``cf-aig-*`` headers."""

from enum import Enum

from starlette.datastructures import Headers

from services.simulator.api import Stamp
from services.simulator.errors import Refused
from services.simulator.faults import Faults


class Family(Enum):
    """Which host speaks: OpenAI's, or one of Cloudflare's two."""

    OPENAI = "openai"
    COMPAT = "cloudflare"
    REST = "cloudflare_rest"


def check(family: Family, headers: Headers, model: str) -> None:
    """Refuse what Cloudflare refuses before any provider sees it. Raises Refused."""
    if family is Family.OPENAI:
        return
    admitted = "authorization" in headers
    if family is Family.COMPAT:
        admitted = admitted or "cf-aig-authorization" in headers
    if not admitted:
        code = "2009" if family is Family.COMPAT else "10000"
        raise Refused("Unauthorized", 401, code=code, style=family.value)
    if "/" not in model:
        raise Refused("Invalid provider", 400, code="2008", style=family.value)


def response_headers(family: Family, stamp: Stamp, faults: Faults) -> dict[str, str]:
    if family is Family.OPENAI:
        return {}
    return {
        "cf-aig-cache-status": faults.cache,
        "cf-aig-log-id": stamp.name("01", size=24).upper(),
    }
