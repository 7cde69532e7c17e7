"""kill -9, frozen processes and cut connections under streaming load: the short version of
`make torture`."""

from pathlib import Path

import pytest

from tests.torture.crash import crash

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]
SEED = 20261123


def test_every_delivered_request_is_booked_once_whatever_dies(tmp_path: Path) -> None:
    found = crash(tmp_path, seed=SEED, faults=6, seconds=10, clients=8)
    assert found.good, "\n".join(found.lines())
    assert found.exact > 20
    assert found.holds_resolved_s < 45
