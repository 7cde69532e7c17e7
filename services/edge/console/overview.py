"""/console: what an operator looks at first. The totals come at once, the chart when it is read."""

from starlette.responses import RedirectResponse, Response

from services.edge.console.api import path
from services.edge.console.directory import Organizations, organizations
from services.edge.console.gate import Page
from services.edge.console.session import HOLDER
from services.edge.console.spending import chosen_month, spending
from services.edge.console.visit import Visit
from services.edge.errors import ApiError

TOP = 10


def home(own: Page) -> Page:
    """The overview, or for a key holder the ``own`` page."""

    async def show(visit: Visit) -> Response:
        return await (own if visit.session.kind == HOLDER else _overview)(visit)

    return show


async def _overview(visit: Visit) -> Response:
    org_id, month = visit.query("org_id"), chosen_month(visit)
    metrics = await visit.get(path("metrics"), {"org_id": org_id, "month": month})
    known = await _known(visit)
    return visit.page(
        "overview.html",
        metrics=metrics,
        organizations=known or Organizations([]),
        away=known is None,
        org_id=org_id,
        month=month,
    )


async def _known(visit: Visit) -> Organizations | None:
    """None while auth is away: the overview is the page that says so."""
    try:
        return await organizations(visit)
    except ApiError as refused:
        if refused.status != 503:
            raise
        return None


async def spend(visit: Visit) -> Response:
    """Spending by day and the most used models, as a fragment of the overview."""
    if not visit.partial:
        return RedirectResponse("/console", 303)
    org_id, month = visit.query("org_id"), chosen_month(visit)
    spent = await spending(visit, org_id, month, ("day", "model"))
    return visit.page(
        "overview_spend.html",
        chart=spent.chart("model"),
        models=spent.by("model")[:TOP],
        org_id=org_id,
        month=month,
    )
