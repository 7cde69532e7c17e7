"""POST /v1/audio/speech, /v1/audio/transcriptions and /v1/audio/translations: what is particular
about them. Offered where the catalog says so.

What is billed is tokens, or a piece (``extra_unit_usd``): a character that is spoken, a second that
is heard. How long a recording is nobody knows before it is decoded, so that the longest one that
the model takes (``max_audio_seconds``) is held.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from services.edge.api import Api
from services.edge.bounds import PER_REQUEST, Bound
from services.edge.catalog import Target
from services.edge.chat import broken, cut_short
from services.edge.embeddings import upstream_body
from services.edge.errors import invalid
from services.edge.forms import Form, form_body, read_form
from services.edge.openai import Ask, model_name, parse
from services.edge.usage import BYTES_PER_TOKEN, Meter, Tokens, text_size

MAX_CHARACTERS = 65_536
TOKENS_PER_SECOND = 40
"""Of audio at most, with the densest tokenizer."""
_USUAL_TOKENS_PER_SECOND = 17
_USUAL_BYTES_PER_SECOND = 2_000
"""Of a recording: no more than most have, so that estimates are not too low."""
_DONE = ("speech.audio.done", "transcript.text.done")


def read_speech(raw: bytes) -> Ask:
    """A request for speech. Raises ApiError 400."""
    body = parse(raw)
    model = model_name(body)
    text = body.get("input")
    if not isinstance(text, str) or not text:
        raise invalid(
            "Missing required parameter: 'input' (a string).",
            param="input",
            code="missing_required_parameter",
        )
    if len(text) > MAX_CHARACTERS:
        raise invalid(
            f"Invalid 'input': string too long. Expected at most {MAX_CHARACTERS} characters.",
            param="input",
            code="string_above_max_length",
        )
    return Ask(raw=raw, body=body, model=model, stream=body.get("stream_format") == "sse")


def speech_bound(ask: Ask, target: Target, _: int) -> Bound:
    most = target.max_output_tokens
    return Bound(
        Tokens(
            input=len(ask.raw) + PER_REQUEST,
            output=most,
            audio_output=most,
            extra_units=len(ask.body["input"]),
        ),
        least_output=most,
        estimated_input=-(-len(ask.raw) // BYTES_PER_TOKEN),
    )


def read_recording(raw: bytes) -> Ask:
    """A form with one file and a model. Raises ApiError 400."""
    form = read_form(raw)
    fields = form.fields
    model = model_name(fields)
    if len(form.files("file")) != 1 or not form.files("file")[0].content:
        raise invalid(
            "Missing required parameter: 'file' (one recording).",
            param="file",
            code="missing_required_parameter",
        )
    stream = fields.get("stream", "false").lower()
    if stream not in ("true", "false", "1", "0"):
        raise invalid(
            "Invalid type for 'stream': expected true or false.",
            param="stream",
            code="invalid_type",
        )
    return Ask(raw, fields, model, stream=stream in ("true", "1"), form=form)


def recording_bound(ask: Ask, target: Target, _: int) -> Bound:
    seconds = target.max_audio_seconds
    text = sum(len(value) for value in ask.body.values())
    heard = seconds * TOKENS_PER_SECOND
    estimate = min(_usual_seconds(ask), seconds) * _USUAL_TOKENS_PER_SECOND
    return Bound(
        Tokens(
            input=4 * text + PER_REQUEST + heard,
            audio_input=heard,
            output=target.max_output_tokens,
            extra_units=seconds,
        ),
        least_output=target.max_output_tokens,
        estimated_input=-(-text // BYTES_PER_TOKEN) + estimate,
    )


def _usual_seconds(ask: Ask) -> int:
    assert isinstance(ask.form, Form)
    return 1 + sum(len(p.content) for p in ask.form.files("file")) // _USUAL_BYTES_PER_SECOND


@dataclass(slots=True)
class AudioMeter(Meter):
    """Counts characters or seconds beside tokens. ``spoken`` says that the answer is a sound: what
    that cost nobody can see, if it is not told."""

    spoken: bool = False

    def note(self, document: dict[str, Any]) -> None:
        Meter.note(self, document)
        usage = document.get("usage")
        told = usage.get("seconds") if isinstance(usage, dict) else document.get("duration")
        if self.spoken or told is None:
            return
        if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told < 1e6:
            self.bad = True
            return
        self.units = math.ceil(told)

    def deliver(self, document: dict[str, Any]) -> None:
        self.text_bytes += text_size(document.get("text"))

    def opaque(self, size: int, most: int) -> None:
        if self.spoken:
            self.deltas = most if size else 0
        else:
            self.text_bytes = size

    def _read(self, data: bytes) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if not isinstance(event, dict):
            return
        kind = event.get("type")
        if kind in _DONE:
            self.finished = True
        elif event.get("error") or kind == "error":
            self.failed = True
        else:
            self.text_bytes += text_size(event.get("delta"))
            self.deltas += 1


def _api(operation: str, path: str, *, form: bool, **parts: Any) -> Api:
    return Api(
        operation=operation,
        path=f"/audio/{path}",
        granted_cap=lambda ask, target, hold: 0,
        withhold=lambda _: False,
        broken=broken,
        cut_short=cut_short,
        opaque=True,
        media_type=b"multipart/form-data" if form else b"application/json",
        **parts,
    )


def _recordings(operation: str) -> Api:
    meter: Callable[[Ask], Meter] = lambda ask: AudioMeter(units=_usual_seconds(ask))  # noqa: E731
    return _api(
        operation,
        operation,
        form=True,
        read=read_recording,
        bound=recording_bound,
        upstream_body=form_body,
        meter=meter,
    )


SPEECH = _api(
    "speech",
    "speech",
    form=False,
    read=read_speech,
    bound=speech_bound,
    upstream_body=upstream_body,
    meter=lambda ask: AudioMeter(units=len(ask.body["input"]), spoken=True),
)
TRANSCRIPTIONS = _recordings("transcriptions")
TRANSLATIONS = _recordings("translations")
