"""A port that is held for several, and for nobody else."""

import socket

import pytest

from services.common.listen import bound, reserved
from services.common.settings import SettingsError
from services.common.workers import metrics_address


def address(held: socket.socket) -> str:
    host, port = held.getsockname()
    return f"{host}:{port}"


def test_a_held_port_is_shared_by_those_who_ask_and_refused_to_all_others() -> None:
    with reserved("127.0.0.1:0") as held:
        at = address(held)
        for somebody_listens in (False, True):
            with pytest.raises(SettingsError, match=f"cannot listen on {at}: .*in use"):
                bound(at)
            with pytest.raises(SettingsError, match=f"cannot listen on {at}: .*in use"):
                reserved(at)
            if not somebody_listens:
                first, second = bound(at, shared=True), bound(at, shared=True)
    with first, second, pytest.raises(SettingsError, match="in use"):
        reserved(at)


def test_who_holds_a_port_takes_no_connections() -> None:
    with reserved("127.0.0.1:0") as held, socket.socket() as client:
        assert client.connect_ex(held.getsockname()) != 0
        with bound(address(held), shared=True) as listening:
            socket.create_connection(held.getsockname(), 5).close()
            listening.settimeout(5)
            listening.accept()[0].close()


def test_the_port_is_free_again_when_nobody_holds_it() -> None:
    with reserved("127.0.0.1:0") as held:
        at = address(held)
    bound(at).close()


@pytest.mark.parametrize("listen", ["127.0.0.1:x", "127.0.0.1:70000", "nonsense"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot listen on {listen}"):
        reserved(listen)


def test_workers_have_metrics_ports_that_meet_no_other_services() -> None:
    found = {
        metrics_address(f"127.0.0.1:{port}", n) for port in (9100, 9101, 9102) for n in range(1, 9)
    }
    assert len(found) == 3 * 8
    assert metrics_address("", 2) == ""
    assert metrics_address("127.0.0.1:0", 2) == "127.0.0.1:0"
