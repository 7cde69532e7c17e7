"""Two of each service: restarting them one by one is noticed by nobody. More rounds:
``python -m tests.system.rolling``."""

from pathlib import Path

import pytest

from tests.system.rolling import STREAMS, rounds, two_of_each

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

ROUNDS = 2


async def test_a_rolling_restart_truncates_no_stream_and_fails_no_request(tmp_path: Path) -> None:
    with two_of_each(tmp_path) as made:
        outcomes = await rounds(made, ROUNDS)
    assert set(outcomes) <= {"whole", "again"}, outcomes
    assert outcomes["whole"] >= ROUNDS * STREAMS
