"""A clock that is off decides nothing about money."""

import time
from typing import Any

import openai
import pytest

from services.edge import clients
from services.edge.grace_clock import Clock
from tests.edge.world import World

ASK: dict[str, Any] = {
    "model": "simulator/echo",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 10,
}


@pytest.mark.parametrize("off_ms", [-86_400_000, -3_000, 3_000, 31 * 86_400_000])
def test_an_edge_whose_clock_is_off_admits_nothing(
    gateway: World, monkeypatch: pytest.MonkeyPatch, off_ms: int
) -> None:
    member = gateway.member()
    right = clients._now_ms
    with gateway.client(member) as client:
        client.chat.completions.create(**ASK)
        monkeypatch.setattr(clients, "_now_ms", lambda: right() + off_ms)
        with pytest.raises(openai.InternalServerError) as refused:
            client.chat.completions.create(**ASK)
        assert refused.value.status_code == 503
        assert refused.value.code == "quota_unavailable"
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 5
        monkeypatch.setattr(clients, "_now_ms", right)
        client.chat.completions.create(**ASK)
    assert gateway.usage(member).request_count == 2


def test_half_a_second_is_no_skew(gateway: World, monkeypatch: pytest.MonkeyPatch) -> None:
    member = gateway.member()
    right = clients._now_ms
    monkeypatch.setattr(clients, "_now_ms", lambda: right() - 500)
    with gateway.client(member) as client:
        client.chat.completions.create(**ASK)


def test_the_clock_of_fail_open_shares_is_not_moved_by_setting_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    clock.anchor()
    now = clock.now_ms()
    assert now is not None and abs(now - time.time() * 1_000) < 1_000
    right = time.time
    for off in (-86_400, -3, 3, 86_400):
        monkeypatch.setattr(time, "time", lambda off=off: right() + off)
        assert clock.now_ms() is None
    monkeypatch.setattr(time, "time", right)
    assert clock.now_ms() is not None
