"""Tools of the Responses API: which of them cost no more than their tokens. Pure."""

from services.edge.errors import invalid
from services.edge.openai import Body, integer

SEARCHES = 8
"""Web searches a request may cost, where it does not say how many (``max_tool_calls``)."""

SEARCH_TOKENS = 8_000
"""Input tokens that one search may add."""

_FREE_TOOLS = frozenset(
    [
        "function",
        "custom",
        "local_shell",
        "apply_patch",
        "tool_search",
        "computer",
        "computer_use_preview",
    ]
)
"""Tools that the client runs: they cost no more than their tokens."""
_SEARCH_TOOLS = ("web_search",)


def check_tools(tools: object, where: str = "tools") -> None:
    """Raises ApiError 400 for a tool whose cost has no bound."""
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind == "namespace":
            check_tools(tool.get("tools"), f"{where}.{number}.tools")
        elif not (kind in _FREE_TOOLS or _is_search(tool) or _is_local_shell(tool)):
            raise invalid(
                f"The cost of the built-in tool '{str(kind)[:64]}' cannot be bounded, so the "
                "request cannot be held against a budget.",
                param=f"{where}.{number}",
                code="unsupported_tool",
            )


def _is_local_shell(tool: object) -> bool:
    """A shell of the client's; one in a container of the provider's is paid by the minute."""
    if not isinstance(tool, dict) or tool.get("type") != "shell":
        return False
    place = tool.get("environment") or {"type": "local"}
    return isinstance(place, dict) and place.get("type") == "local"


def _is_search(tool: object) -> bool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    return isinstance(kind, str) and kind.startswith(_SEARCH_TOOLS)


def searches(body: Body) -> int:
    """The most web searches a request may cost."""
    tools = body.get("tools")
    if not isinstance(tools, list) or not any(map(_is_search, tools)):
        return 0
    return integer(body, "max_tool_calls") or SEARCHES
