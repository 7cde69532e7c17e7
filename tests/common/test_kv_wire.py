"""Commands packed by hiredis are the commands that redis-py packs."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio.connection import Connection
from redis.exceptions import DataError

from services.common.kv_wire import PACKED, PackedConnection

ARGUMENTS = (
    st.text()
    | st.binary()
    | st.integers(-(2**63), 2**63)
    | st.just(memoryview(b"ab"))
    | st.floats(allow_nan=False)
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["SET", "CONFIG GET", b"CONFIG GET"]), st.lists(ARGUMENTS, max_size=20))
def test_a_packed_command_is_the_one_redis_py_packs(name: Any, rest: list[Any]) -> None:
    ours, theirs = PackedConnection(), Connection()
    assert b"".join(ours.pack_command(name, *rest)) == b"".join(theirs.pack_command(name, *rest))


@pytest.mark.parametrize("wrong", [None, True, object()])
def test_what_cannot_be_packed_is_refused(wrong: Any) -> None:
    with pytest.raises(DataError):
        PackedConnection().pack_command("SET", "k", wrong)


def test_every_kind_of_connection_has_its_packed_one() -> None:
    for plain, packed in PACKED.items():
        assert issubclass(packed, plain)
        assert packed.pack_command is PackedConnection.pack_command
