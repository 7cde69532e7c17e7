"""gw admin metrics, health, whoami, verify"""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli import show
from cli.client import Client
from cli.failure import DIFFERENT, UNREACHABLE
from cli.options import AsJson, Month, find_org, org_path, session

_TOP = (
    ("EMAIL", "email"),
    ("USER", "user_id"),
    ("SPENT", "spent_usd"),
    ("REQUESTS", "request_count"),
)
_SERVICES = (
    ("SERVICE", "service"),
    ("STATUS", "status"),
    ("ANSWERS IN (MS)", "latency_ms"),
    ("UP (S)", "uptime_seconds"),
)
_PROOFS = (
    ("ORGANISATION", "org_id"),
    ("NAME", "name"),
    ("OK", "ok"),
    ("JOURNAL ENTRIES", "journal_entries"),
    ("SPENT", "spent_usd"),
    ("HELD", "held_usd"),
    ("AUDIT ENTRIES", "audit_entries"),
)


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: gw admin metrics --month 2026-11")(metrics)
    app.command(epilog="Example: gw admin health")(health)
    app.command(epilog="Example: gw admin whoami")(whoami)
    app.command(epilog='Example: gw admin verify "Demo Corporation"')(verify)


def metrics(
    context: typer.Context,
    org: Annotated[str | None, typer.Option("--org", help="Only this organisation.")] = None,
    month: Month = None,
    as_json: AsJson = False,
) -> None:
    """Show health, totals, keys and top users."""
    client = session(context).admin()
    org_id = find_org(client, org) if org else None
    told = client.get("/admin/metrics", org_id=org_id, month=month)
    if as_json:
        show.as_json(told)
        return
    keys = {f"api_keys_{name}": count for name, count in told["api_keys"].items()}
    show.one({"month": told["month"], **told["totals"], **keys}, as_json_=False)
    for title, rows, columns in (
        ("Services", _services(told), _SERVICES),
        ("Top users by cost", told["top_users_by_cost"] or [], _TOP),
        ("Top users by requests", told["top_users_by_requests"] or [], _TOP),
    ):
        show.console().print(f"\n{title}", style="bold")
        show.rows(rows, columns, as_json_=False)


def health(context: typer.Context, as_json: AsJson = False) -> None:
    """Show which services answer, and how fast. Exit code 3 when one does not."""
    told = session(context).admin().get("/admin/health")
    if as_json:
        show.as_json(told)
    else:
        show.rows(_services(told), _SERVICES, as_json_=False)
    if told["status"] != "ok":
        raise typer.Exit(UNREACHABLE)


def whoami(context: typer.Context, as_json: AsJson = False) -> None:
    """Show who the admin key is."""
    show.one(session(context).admin().get("/admin/identity"), as_json_=as_json)


def verify(
    context: typer.Context,
    org: Annotated[
        str | None, typer.Argument(metavar="[ORG]", help="Every one if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that journal, counters, holds, usage and audit trail agree. Exit code 6 if not."""
    client = session(context).admin()
    proofs = list(_proofs(client, org))
    if as_json:
        show.as_json(proofs)
    else:
        show.rows((_flat(proof) for proof in proofs), _PROOFS, as_json_=False)
        for line in _findings(proofs):
            show.console(error=True).print(line)
    if not all(proof["ok"] for proof in proofs):
        raise typer.Exit(DIFFERENT)


def _proofs(client: Client, org: str | None) -> Iterator[dict[str, Any]]:
    if org:
        yield client.get(f"{org_path(client, org)}/verify")
        return
    for found in client.each("/admin/organizations"):
        yield client.get(f"/admin/organizations/{found['org_id']}/verify") | {"name": found["name"]}
    if client.get("/admin/identity")["org_id"] is None:
        trail = client.get("/admin/audit/verify")
        audit = {"entries": trail["entries"], "breaks": trail["breaks"]}
        yield {"org_id": None, "ok": trail["ok"], "ledger": None, "audit": audit}


def _flat(proof: dict[str, Any]) -> dict[str, Any]:
    ledger = proof["ledger"] or {}
    return {
        "org_id": proof["org_id"] or "the platform",
        "name": proof.get("name"),
        "ok": proof["ok"],
        "audit_entries": proof["audit"]["entries"],
        **{name: ledger.get(name) for name in ("journal_entries", "spent_usd", "held_usd")},
    }


def _findings(proofs: list[dict[str, Any]]) -> Iterator[str]:
    for proof in proofs:
        where = proof["org_id"] or "the platform"
        for found in (proof["ledger"] or {}).get("differences", []):
            yield (
                f"{where}: {found['subject']} {found['month'] or ''} {found['field']} is "
                f"{found['counter']}, {found['source']} says {found['expected']}"
            )
        for line in proof["audit"]["breaks"]:
            yield show.plain(f"{where}: audit trail: {line}")


def _services(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"service": name, **facts} for name, facts in told["services"].items()]
