"""Speech and recordings: passed on where the catalog prices them, charged by character, second or
token; refused before the provider is asked where it does not."""

import io
import json
import wave
from typing import Any

import httpx
import openai
import pytest

from tests.clients.raw_upstream import HEAD, RawUpstream
from tests.edge.wire import bearer
from tests.edge.world import USD, Member, World

SOUND = bytes(range(256)) * 300


@pytest.fixture
def member(gateway: World) -> Member:
    return gateway.member()


def recording(seconds: int = 2) -> tuple[str, bytes]:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(b"\0\1" * 8_000 * seconds)
    return "talk.wav", held.getvalue()


def answer(body: bytes, kind: str = "application/json") -> list[bytes]:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return [head.encode(), body]


def document(**fields: Any) -> list[bytes]:
    return answer(json.dumps(fields).encode())


def events(*told: dict[str, Any]) -> list[bytes]:
    return [HEAD, *(b"data: " + json.dumps(each).encode() + b"\n\n" for each in told)]


def test_speech_is_passed_on_byte_for_byte_and_charged_by_the_character(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    upstream.answers["tts"] = answer(SOUND, "audio/mpeg")
    with gateway.client(member) as client:
        told = client.audio.speech.with_raw_response.create(
            model="raw/tts", voice="alloy", input="Grüße"
        )
    assert told.content == SOUND
    assert told.headers["content-type"] == "audio/mpeg"
    settled = gateway.settled(member)
    assert (settled.operation, settled.usage.extra_units) == ("speech", 5)
    assert gateway.usage(member).spent_nano_usd == 5 * 15_000


def test_speech_is_streamed_as_it_comes(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ncontent-type: audio/opus\r\ntransfer-encoding: chunked\r\n\r\n"
    piece = b"%x\r\n%b\r\n" % (len(SOUND), SOUND)
    upstream.answers["tts"] = [chunked, piece, piece, b"0\r\n\r\n"]
    with (
        gateway.client(member) as client,
        client.audio.speech.with_streaming_response.create(
            model="raw/tts", voice="alloy", input="Hi"
        ) as told,
    ):
        assert b"".join(told.iter_bytes()) == SOUND * 2
    assert gateway.settled(member).usage.extra_units == 2


def test_a_sound_that_breaks_off_is_no_clean_end_and_is_charged(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 99999999\r\n\r\n"
    upstream.answers["tts"] = [head, SOUND]
    body = {"model": "raw/tts", "voice": "alloy", "input": "Hi"}
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{gateway.url}/v1/audio/speech", json=body, headers=bearer(member))
    settled = gateway.settled(member)
    assert (settled.usage.extra_units, "partial" in settled.flags) == (2, True)


def test_speech_whose_tokens_nobody_tells_is_charged_the_most_it_can_be(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    upstream.answers["tts-tokens"] = answer(SOUND, "audio/mpeg")
    with gateway.client(member) as client:
        client.audio.speech.create(model="raw/tts-tokens", voice="alloy", input="Hi")
    settled = gateway.settled(member)
    assert (settled.usage.output_tokens, list(settled.flags)) == (2_000, ["estimated"])


def test_speech_in_events_is_charged_what_they_tell(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    usage = {"input_tokens": 7, "output_tokens": 99, "total_tokens": 106}
    upstream.answers["tts-tokens"] = events(
        {"type": "speech.audio.delta", "audio": "aGk="},
        {"type": "speech.audio.done", "usage": usage},
    )
    body = {"model": "raw/tts-tokens", "voice": "v", "input": "Hi", "stream_format": "sse"}
    told = httpx.post(f"{gateway.url}/v1/audio/speech", json=body, headers=bearer(member))
    assert told.headers["content-type"].startswith("text/event-stream")
    assert told.text.count("data:") == 2
    settled = gateway.settled(member)
    assert (settled.usage.input_tokens, settled.usage.output_tokens) == (7, 99)
    assert list(settled.flags) == []


def test_a_recording_is_charged_by_the_second_it_lasted(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    upstream.answers["whisper"] = document(text="Hi", usage={"type": "duration", "seconds": 12.1})
    with gateway.client(member) as client:
        made = client.audio.transcriptions.create(
            model="raw/whisper", file=recording(), language="de", timestamp_granularities=["word"]
        )
    assert made.text == "Hi"
    held = next(e for e in gateway.journal(member) if e.kind == "reserve").held_nano_usd
    assert held == 3_600 * 100_000  # the longest one, until it is known
    settled = gateway.settled(member)
    assert (settled.operation, settled.usage.extra_units) == ("transcriptions", 13)
    assert gateway.usage(member).spent_nano_usd == 13 * 100_000
    asked = upstream.asked["whisper"]
    assert b'name="model"\r\n\r\nwhisper\r\n' in asked
    assert b'name="language"\r\n\r\nde\r\n' in asked
    assert b'name="timestamp_granularities[]"\r\n\r\nword\r\n' in asked
    assert b'name="file"; filename="talk.wav"' in asked
    assert recording()[1] in asked
    assert b"content-type: multipart/form-data; boundary=" in asked.partition(b"\r\n\r\n")[0]


def test_a_recording_is_charged_by_the_tokens_it_was(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    details = {"audio_tokens": 30, "text_tokens": 4}
    usage = {"type": "tokens", "input_tokens": 34, "input_token_details": details}
    upstream.answers["transcribe"] = document(
        text="Hi", usage={**usage, "output_tokens": 5, "total_tokens": 39}
    )
    with gateway.client(member) as client:
        client.audio.transcriptions.create(model="raw/transcribe", file=recording())
    used = gateway.settled(member).usage
    assert (used.input_tokens, used.audio_input_tokens, used.output_tokens) == (34, 30, 5)
    assert gateway.usage(member).spent_nano_usd == 4_000 + 30 * 5_000 + 5 * 10_000


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "text/vtt"])
def test_a_text_without_usage_is_charged_an_estimate(
    gateway: World, member: Member, upstream: RawUpstream, kind: str
) -> None:
    upstream.answers["whisper"] = answer(b"Hi\n", kind)
    with gateway.client(member) as client:
        made: Any = client.audio.transcriptions.create(
            model="raw/whisper", file=recording(), response_format="text"
        )
    assert made == "Hi\n"
    settled = gateway.settled(member)
    assert settled.usage.extra_units >= 2
    assert list(settled.flags) == ["estimated"]


def test_a_verbose_transcription_tells_its_seconds(
    gateway: World, member: Member, upstream: RawUpstream
) -> None:
    upstream.answers["whisper"] = document(text="Hi", duration=7.5, language="de", segments=[])
    told = httpx.post(
        f"{gateway.url}/v1/audio/translations",
        data={"model": "raw/whisper", "response_format": "verbose_json"},
        files={"file": recording()},
        headers={"authorization": f"Bearer {member.key}"},
    )
    assert told.json()["duration"] == 7.5
    settled = gateway.settled(member)
    assert (settled.operation, settled.usage.extra_units) == ("translations", 8)


def test_a_transcription_is_streamed(gateway: World, member: Member, upstream: RawUpstream) -> None:
    usage = {"input_tokens": 20, "output_tokens": 3, "total_tokens": 23}
    upstream.answers["transcribe"] = events(
        {"type": "transcript.text.delta", "delta": "Hello"},
        {"type": "transcript.text.done", "text": "Hello", "usage": usage},
    )
    with gateway.client(member) as client:
        stream = client.audio.transcriptions.create(
            model="raw/transcribe", file=recording(), stream=True
        )
        kinds = [event.type for event in stream]
    assert kinds == ["transcript.text.delta", "transcript.text.done"]
    settled = gateway.settled(member)
    assert (settled.usage.output_tokens, list(settled.flags)) == (3, [])


def test_a_recording_that_may_not_be_affordable_is_not_sent(
    gateway: World, upstream: RawUpstream
) -> None:
    poor = gateway.member(limit=USD // 10)
    upstream.asked.pop("whisper", None)
    with gateway.client(poor) as client, pytest.raises(openai.RateLimitError) as refused:
        client.audio.transcriptions.create(model="raw/whisper", file=recording())
    assert refused.value.code == "insufficient_quota"
    assert "whisper" not in upstream.asked


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.audio.speech.create(model="simulator/echo", voice="v", input="x"),
        lambda c: c.audio.transcriptions.create(model="raw/tts", file=recording()),
    ],
)
def test_audio_that_the_catalog_does_not_price_is_refused_before_the_provider_is_asked(
    gateway: World, member: Member, call: Any
) -> None:
    with gateway.client(member) as client, pytest.raises(openai.BadRequestError) as refused:
        call(client)
    assert (refused.value.code, refused.value.param) == ("model_not_priced", "model")
    assert gateway.journal(member) == []


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ({"model": "raw/whisper"}, "file"),
        ({"model": "raw/whisper", "stream": "maybe"}, "stream"),
        ({"model": ""}, "model"),
        ({"Model": "raw/whisper"}, "Model"),
        ({"model": "raw/whisper", "api_base": "http://127.0.0.1"}, "api_base"),
    ],
)
def test_a_wrong_field_is_named(
    gateway: World, member: Member, data: dict[str, Any], param: str
) -> None:
    files = [("x" if param == "file" else "file", recording())]
    headers = {"authorization": f"Bearer {member.key}"}
    told = httpx.post(
        f"{gateway.url}/v1/audio/transcriptions", data=data, files=files, headers=headers
    )
    assert (told.status_code, told.json()["error"]["param"]) == (400, param)


def test_b6_only_a_form_is_read(gateway: World, member: Member) -> None:
    told = httpx.post(
        f"{gateway.url}/v1/audio/transcriptions", json={"model": "x"}, headers=bearer(member)
    )
    assert (told.status_code, told.json()["error"]["code"]) == (415, "unsupported_content_type")
