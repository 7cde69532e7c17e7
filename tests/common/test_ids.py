"""Ids are what their names say, and never the same."""

import re
import time
import uuid

from services.common import ids

MANY = 4_000


def test_reservations_have_a_uuid_of_version_7_that_tells_when() -> None:
    before = time.time_ns() // 1_000_000
    made = [ids.new_reservation_id() for _ in range(MANY)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == MANY
    for text in made:
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (7, uuid.RFC_4122)
        assert before <= read.int >> 80 <= after


def test_every_bit_of_a_reservation_that_may_differ_does() -> None:
    chance = [uuid.UUID(ids.new_reservation_id()).int & ((1 << 80) - 1) for _ in range(MANY)]
    fixed = 0xF000_C000_0000_0000_0000
    ever = always = chance[0]
    for number in chance:
        ever, always = ever | number, always & number
    assert ever & ~always == ((1 << 80) - 1) & ~fixed


def test_a_request_has_128_bits_of_chance() -> None:
    made = [ids.new_request_id() for _ in range(MANY)]
    assert all(re.fullmatch(r"req_[0-9a-f]{32}", text) for text in made)
    ever, always = 0, (1 << 128) - 1
    for text in made:
        ever, always = ever | int(text[4:], 16), always & int(text[4:], 16)
    assert (ever, always) == ((1 << 128) - 1, 0)


def test_what_people_create_has_119_bits_after_its_kind() -> None:
    made = {ids.new_id("org") for _ in range(MANY)}
    assert len(made) == MANY
    assert all(re.fullmatch(r"org_[0-9A-Za-z]{20}", text) for text in made)
