"""A form is read in one way only, and written so that nobody can read it in another."""

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.errors import ApiError
from services.edge.forms import read_form

A = b'Content-Disposition: form-data; name="a"\r\n\r\n'
FILE = b'Content-Disposition: form-data; name="file"; filename="f.wav"\r\n\r\n'
MODEL = b'Content-Disposition: form-data; name="model"\r\n\r\n'


def form(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + end


def told_by_another_parser(body: bytes) -> dict[str, Any]:
    head = b"content-type: multipart/form-data; boundary=B\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda t: "--B" not in t)
)
def test_fields_are_what_was_sent_and_what_another_parser_reads(text: str) -> None:
    read = read_form(form(A + text.encode(), MODEL + b"x", FILE + b"\0\xff\r\n--A"))
    assert read.fields == {"a": text, "model": "x"}
    assert [f.content for f in read.files("file")] == [b"\0\xff\r\n--A"]
    written = read.encode({"model": "y", "more": "z"})
    assert read_form(written).fields == {"a": text, "model": "y"}
    if "\r" not in text and "\n" not in text:  # e-mail's parser knows more ends of lines
        assert told_by_another_parser(written)["model"] == b"y"


REFUSED = {
    "nothing": b"",
    "no boundary": b"hello",
    "a preamble": b"x\r\n" + form(A),
    "no end": form(A, end=b""),
    "text after the end": form(A) + b"x",
    "no parts": b"--B\r\n--B--\r\n",
    "no head": form(b"\r\nx"),
    "no blank line": form(b'Content-Disposition: form-data; name="a"'),
    "no disposition": form(b"Content-Type: text/plain\r\n\r\nx"),
    "two dispositions": form(b'Content-Disposition: form-data; name="b"\r\n' + A),
    "another disposition": form(b'Content-Disposition: attachment; name="a"\r\n\r\n'),
    "no name": form(b"Content-Disposition: form-data; x=y\r\n\r\n"),
    "two names": form(b'Content-Disposition: form-data; name="a"; name="b"\r\n\r\n'),
    "an odd name": form(b'Content-Disposition: form-data; name="a\\"; x=\\""\r\n\r\n'),
    "a doubled field": form(MODEL + b"x", MODEL + b"y"),
    "a field that is a file too": form(MODEL + b"x", MODEL.replace(b'l"', b'l"; filename="f"')),
    "another spelling": form(MODEL.replace(b"model", b"Model") + b"x"),
    "an encoded part": form(b"Content-Transfer-Encoding: base64\r\n" + MODEL + b"eA=="),
    "a boundary that goes on": form(MODEL + b"x\r\n--BB\r\n" + MODEL + b"y"),
    "no UTF-8": form(MODEL + b"\xff"),
    "a long head": form(b"X: " + b"x" * 5_000 + b"\r\n" + MODEL),
    "a folded head": form(b'Content-Disposition: form-data;\r\n name="a"\r\n\r\n'),
    "many parts": form(*[b'Content-Disposition: form-data; name="a[]"\r\n\r\nx'] * 129),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused(name: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_form(REFUSED[name])
    assert refused.value.status == 400


@given(st.binary(max_size=200))
def test_no_bytes_are_a_failure_of_ours(raw: bytes) -> None:
    for body in (raw, form(raw), form(A + raw), form(b"Content-Disposition: " + raw)):
        try:
            read_form(body)
        except ApiError as error:
            assert error.status == 400


def test_a_files_name_cannot_break_out_of_its_line() -> None:
    head = (
        b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''a%0D%0Ax%22.mp3\r\n\r\n"
    )
    [part] = read_form(form(head + b"x")).files("file")
    assert part.filename == "a__x_.mp3"
