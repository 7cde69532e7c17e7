"""What the admin API refuses before any RPC."""

from services.edge.errors import ApiError, invalid


def unprocessable(param: str, problem: str, code: str = "invalid_value") -> ApiError:
    """422: ``problem`` completes "<param> …" and says the fix."""
    return invalid(f"{param} {problem}", param=param, code=code, status=422)


def missing(param: str, problem: str) -> ApiError:
    return unprocessable(param, f"is required: {problem}", "missing_required_parameter")


def unknown(param: str, place: str, known: list[str]) -> ApiError:
    """422 for a name that no field has, with the names there are."""
    problem = f"is not a {place} here; known are: {', '.join(known) or 'none'}"
    return unprocessable(param, problem, "unknown_parameter")
