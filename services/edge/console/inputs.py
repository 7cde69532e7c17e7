"""The fields a person may fill in, resource by resource, as the admin API names them."""

from services.edge.console.forms import Input

_MODELS = Input(
    "allowed_models",
    "Allowed models",
    "models",
    "One model or pattern a line, for example openai/gpt-5*. Empty allows every model.",
    more=True,
)
_RATES = (
    Input("requests_per_minute", "Requests per minute", "count", "Blank: no limit.", more=True),
    Input("tokens_per_minute", "Tokens per minute", "count", "Blank: no limit.", more=True),
    Input("concurrent_requests", "Requests at once", "count", "Blank: no limit.", more=True),
)

ORGANIZATION = (
    Input("name", "Name", required=True),
    Input(
        "monthly_budget_usd",
        "Monthly budget (USD)",
        "usd",
        "For all users together, each calendar month (UTC).",
        required=True,
    ),
    Input(
        "failure_mode",
        "When spending cannot be checked",
        "choice",
        "What happens to requests while the ledger is away.",
        choices=(("fail-closed", "Refuse requests"), ("fail-open", "Allow up to a daily sum")),
        more=True,
    ),
    Input(
        "fallback_daily_limit_usd",
        "Daily sum while it is away (USD)",
        "usd",
        "Used only when requests are then allowed.",
        more=True,
    ),
    _MODELS,
    *_RATES,
    Input(
        "allow_upstream_cache",
        "Let the provider's cache answer",
        "flag",
        "Hits are shared by everybody behind the same provider credential.",
        more=True,
    ),
)

USER = (
    Input("email", "E-mail", "email", required=True),
    Input(
        "monthly_limit_usd",
        "Monthly limit (USD)",
        "usd",
        "Over all keys, each calendar month (UTC).",
        required=True,
    ),
    Input("name", "Name"),
    _MODELS,
    *_RATES,
)

API_KEY = (
    Input("name", "Name", help="What it is for, for example laptop or nightly-report."),
    Input(
        "monthly_limit_usd", "Monthly limit (USD)", "usd", "Blank: only the user's limit counts."
    ),
    Input("expires_at", "Expires (UTC)", "time", "Blank: never."),
    _MODELS,
    *_RATES,
)

OVERLAP = Input(
    "overlap_seconds",
    "The old key keeps working for",
    "choice",
    "Time to put the new key in place.",
    choices=(
        ("0", "not at all"),
        ("3600", "one hour"),
        ("86400", "one day"),
        ("604800", "seven days"),
        ("2592000", "thirty days"),
    ),
)
PROVIDER = Input(
    "provider", "Provider", help="As the catalog names it, for example openai.", required=True
)
CREDENTIAL = Input(
    "credential",
    "Credential",
    "secret",
    "Stored encrypted. It can be replaced, and never be read back.",
    required=True,
)
REASON = Input(
    "reason", "Reason", "long", "Kept in the journal and the audit trail.", required=True
)
ADMIN_NAME = Input(
    "name", "Name", help="The audit trail tells people by it, for example ada.", required=True
)
