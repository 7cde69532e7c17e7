"""What the admin border itself refuses, before any RPC: an HTTP status and the envelope's words."""


class Refusal(Exception):
    """One answer that is not a success. ``param`` is the field, header or id it is about."""

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def unprocessable(param: str, problem: str, code: str = "invalid_value") -> Refusal:
    """422: ``problem`` completes "<param> …" and says the fix."""
    return Refusal(422, code, f"{param} {problem}", param)


def missing(param: str, problem: str) -> Refusal:
    return unprocessable(param, f"is required: {problem}", "missing_required_parameter")


def unknown(param: str, place: str, known: list[str]) -> Refusal:
    """422 for a name that no field has, with the names there are."""
    names = ", ".join(known) or "none"
    return Refusal(
        422, "unknown_parameter", f"{param} is not a {place} here; known are: {names}", param
    )
