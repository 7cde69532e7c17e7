import socket
from collections.abc import Iterator

import pytest

from services.common.settings import SettingsError
from services.launch.ports import host_and_port, reachable, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_names_itself_and_the_variable(taken: int) -> None:
    with pytest.raises(SettingsError) as refusal:
        require_free({"GATEWAY_EDGE_LISTEN": f"127.0.0.1:{taken}"})
    assert f"port {taken} on 127.0.0.1 is taken" in str(refusal.value)
    assert "GATEWAY_EDGE_LISTEN=127.0.0.1:<another port>" in str(refusal.value)


def test_two_variables_with_the_same_port_are_refused(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    with pytest.raises(SettingsError, match="GATEWAY_QUOTA_LISTEN"):
        require_free(
            {
                "GATEWAY_AUTH_LISTEN": f"127.0.0.1:{free}",
                "GATEWAY_QUOTA_LISTEN": f"127.0.0.1:{free}",
            }
        )


def test_sockets_and_switched_off_listeners_need_no_port() -> None:
    require_free({"GATEWAY_AUTH_LISTEN": "unix:/tmp/x", "GATEWAY_AUTH_METRICS_LISTEN": ""})


@pytest.mark.parametrize("address", ["8787", "localhost", "localhost:0", "x:y", "h:65536", ":80"])
def test_an_address_that_is_none_names_the_variable_and_the_form(address: str) -> None:
    with pytest.raises(SettingsError, match=r"GATEWAY_EDGE_LISTEN is .* write host:port"):
        host_and_port("GATEWAY_EDGE_LISTEN", address)


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("0.0.0.0:2", "127.0.0.1:2"),
        ("[::]:3", "[::1]:3"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("127.0.0.1:4, [::1]:4", "127.0.0.1:4"),
    ],
)
def test_what_listens_everywhere_is_reached_on_loopback(listen: str, target: str) -> None:
    assert reachable("X", listen) == target
