"""Processes on one machine: edges ask quota by its own socket, and do without it."""

from pathlib import Path

from tests.system.fleet import Fleet, fleet
from tests.waiting import wait_until


def chat(made: Fleet, key: str) -> int:
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    headers = {"authorization": f"Bearer {key}"}
    return made.client.post(
        f"{made.urls[0]}/v1/chat/completions", json=body, headers=headers
    ).status_code


def test_edges_ask_a_neighbour_by_its_own_socket_and_do_without_it() -> None:
    with fleet(sockets=True) as made:
        org = made.organization("10")
        key = made.key(made.user(org, "neighbour@example.com"))["api_key"]
        socket = Path(f"{made.directory}/{made.quotas[0].name}.sock.line")
        assert socket.is_socket()
        assert chat(made, key) == 200
        socket.unlink()  # streams that are open live on; new ones are gRPC's
        assert [chat(made, key) for _ in range(3)] == [200] * 3

        def spent() -> int:
            return int(made.look(f"/organizations/{org}/usage")["request_count"])

        wait_until(lambda: spent() == 4, 20)
        made.quotas[0].stop()
        made.quotas[0].restart()
        assert socket.is_socket()
        assert [chat(made, key) for _ in range(3)] == [200] * 3
        wait_until(lambda: spent() == 7, 20)
    assert not socket.exists()
