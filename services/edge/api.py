"""What one OpenAI API is to the steps that all of them share: how its requests are read and
bounded, how its answers are counted, how a failure in its stream looks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.edge.bounds import Bound
from services.edge.catalog import Target
from services.edge.errors import ApiError
from services.edge.hold import Hold
from services.edge.openai import Ask
from services.edge.usage import Meter


@dataclass(frozen=True, slots=True)
class Api:
    """``operation`` is its name in ledger and metrics, ``path`` what follows an upstream's base
    URL.

    ``bound(ask, target, first_window)`` may raise ApiError. ``upstream_body``
    makes the request for a target, with ``granted_cap`` output tokens for each choice where the
    client gave no cap of its own (0: no cap). ``meter`` counts what is delivered. ``broken`` and
    ``cut_short`` give the last events of a stream that failed, or that the budget ended.
    ``withhold`` says whether usage is kept from the client. ``rewrite`` gives other bytes for an
    answer in one piece; None leaves it as it came. Requests are of ``media_type``. Answers of an
    ``opaque`` API that are no JSON are passed on as they come. Streams of ``chunks`` have data only
    (see ``mend``); ``as_stream`` tells a whole answer as the stream that was asked for.
    """

    operation: str
    path: str
    read: Callable[[bytes], Ask]
    bound: Callable[[Ask, Target, int], Bound]
    upstream_body: Callable[[Ask, Target, Hold], bytes]
    granted_cap: Callable[[Ask, Target, Hold], int]
    meter: Callable[[Ask], Meter]
    withhold: Callable[[Ask], bool]
    broken: Callable[[Meter, ApiError], bytes]
    cut_short: Callable[[Meter, Ask, ApiError], bytes]
    media_type: bytes = b"application/json"
    opaque: bool = False
    chunks: bool = False
    as_stream: Callable[[Ask, dict[str, Any]], bytes] | None = None
    rewrite: Callable[[Ask, dict[str, Any]], bytes | None] = lambda ask, document: None
