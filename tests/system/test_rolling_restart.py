"""Two of each service: restarting them one by one is noticed by nobody. More rounds:
``python -m tests.torture --only rolling``."""

from pathlib import Path

import pytest

from tests.system.fleet import PATIENT
from tests.system.rolling import STREAMS, restarts, two_of_each

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_rolling_restart_truncates_no_stream_and_fails_no_request(tmp_path: Path) -> None:
    with two_of_each(tmp_path, PATIENT) as made:
        streams = await restarts(made, 1)
    assert set(streams.outcomes) == {"whole"}, streams.outcomes
    assert streams.outcomes["whole"] > STREAMS
