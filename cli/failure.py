"""What ends a command before its work is done, and the exit code that says so to a program.

0 done · 1 refused by the gateway · 2 wrong usage · 3 unreachable or unavailable, trying again may
help · 4 not found · 5 key missing, wrong or without the right · 6 verification found a difference
· 130 interrupted
"""

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
NOT_FOUND = 4
NO_ACCESS = 5
DIFFERENT = 6
INTERRUPTED = 130


class Failure(Exception):
    """One line for a person, one exit code for a program."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code
