"""Options and arguments that several commands share, and the session they all get."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from cli.client import Client, segment
from cli.failure import NOT_FOUND, USAGE, Failure
from cli.settings import Settings, Target

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Prod = Annotated[bool, typer.Option("--prod", help="Use the gateway at GATEWAY_PROD_URL.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0 shows all.")]
Month = Annotated[
    str | None, typer.Option("--month", metavar="YYYY-MM", help="The current one if not given.")
]
Confirm = Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would go.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Not before, such as 2026-11-23.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time.")]
Org = Annotated[str, typer.Argument(metavar="ORG", help="Id or exact name of an organisation.")]
User = Annotated[str, typer.Argument(metavar="USER", help="Id or e-mail address of a user.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Id of the API key.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Allowed model or pattern; may be repeated. `any` allows all."),
]
Rpm = Annotated[str | None, typer.Option("--rpm", help="Requests a minute, or `none`.")]
Tpm = Annotated[str | None, typer.Option("--tpm", help="Tokens a minute, or `none`.")]
Concurrency = Annotated[
    str | None, typer.Option("--concurrency", help="Requests at a time, or `none`.")
]


@dataclass
class Session:
    """What every command gets: where to speak to, and with which key."""

    prod: bool = False
    url: str | None = None
    open: ExitStack = field(default_factory=ExitStack)
    """What is closed when the command has ended."""

    def target(self) -> Target:
        return Target.choose(Settings.load(), prod=self.prod, url=self.url)

    def admin(self) -> Client:
        """A client with the admin key. Raises Failure when there is none."""
        target = self.target()
        return self.client(target, target.admin_key)

    def client(self, target: Target, key: str) -> Client:
        return self.open.enter_context(Client(target.url, key))


def session(context: typer.Context, *, prod: bool = False) -> Session:
    """The session, towards production when any of the --prod switches says so."""
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("gw's callback has not run")
    found.prod = found.prod or prod
    return found


def changes(
    models: list[str] | None = None,
    rpm: str | None = None,
    tpm: str | None = None,
    concurrency: str | None = None,
    **given: Any,
) -> dict[str, Any]:
    """The JSON body of what was given on the command line; the rest is left alone."""
    body = {name: value for name, value in given.items() if value is not None}
    if models is not None:
        body["allowed_models"] = [] if models == ["any"] else models
    rates = {
        "requests_per_minute": rpm,
        "tokens_per_minute": tpm,
        "concurrent_requests": concurrency,
    }
    for name, value in rates.items():
        if value is not None:
            body[name] = none_or_number(name, value)
    return body


def none_or_number(name: str, value: str) -> int | None:
    if value == "none":
        return None
    if not (value.isascii() and value.isdigit()):
        raise Failure(f"{name} must be a whole number or `none`, not {value!r}", USAGE)
    return int(value)


def none_or_text(name: str, value: str | None) -> dict[str, str | None]:
    """A field that `none` clears; nothing at all when it was not given."""
    if value is None:
        return {}
    return {name: None if value == "none" else value}


def find_org(client: Client, name: str) -> str:
    """The id of an organisation given by id or exact name. Raises Failure."""
    if name.startswith("org_"):
        return name
    found = [
        str(org["org_id"])
        for org in client.each("/admin/organizations")
        if org["name"] == name or org["org_id"] == name
    ]
    return _only(found, "organisation", name)


def find_user(client: Client, name: str) -> str:
    """The id of a user given by id or e-mail address. Raises Failure."""
    if "@" not in name:
        return name
    found = [str(user["user_id"]) for user in client.each("/admin/users", email=name)]
    return _only(found, "user", name)


def user_path(client: Client, user: str) -> str:
    return f"/admin/users/{segment(find_user(client, user))}"


def org_path(client: Client, org: str) -> str:
    return f"/admin/organizations/{segment(find_org(client, org))}"


def _only(ids: list[str], kind: str, name: str) -> str:
    if not ids:
        raise Failure(f"there is no {kind} {name!r}", NOT_FOUND)
    if len(ids) > 1:
        raise Failure(f"{len(ids)} {kind}s are called {name!r}; give one of {', '.join(ids)}")
    return ids[0]
