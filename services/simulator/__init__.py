"""A stand-in provider: OpenAI's wire format, no model behind it, faults on request.

Routes: ``POST /v1/chat/completions``, ``/v1/completions``, ``/v1/responses``, ``/v1/embeddings``;
``GET /v1/models``, ``/v1/models/{id}``; Cloudflare's ``POST
/v1/{account}/{gateway}/compat/chat/completions``, ``…/{provider}/{responses,embeddings}`` and
``POST /client/v4/accounts/{account}/ai/v1/{chat/completions,responses}``, which want a token and
(but for those of one provider) a model written ``provider/model`` and answer with ``cf-aig-*``
headers. ``GET``, ``DELETE /_sim/log`` and ``GET /_sim/stats`` tell what was asked and delivered
(``witness``); ``GET /healthz`` says ok.

Models: ``echo`` repeats the last user message; ``lorem``, and every other name, writes filler text.
A name may carry its provider: ``simulator/echo``. Text, tool arguments and usage depend on the
request body alone. Given ``tools``, the first (or the named) one is called, unless the
conversation already ends with a tool's answer.

Tokens: one per 4 bytes of UTF-8, rounded up. The prompt is all the text a model would read
(contents, names, tool calls, compact JSON of the tools) plus 85 per image, audio or file; the
directive is part of it. Output is text, or function names and arguments, of each choice.
``max_tokens`` and its kin cut at 4 bytes per token and finish with ``length``.

Directives
==========
The header ``x-simulator: key=value; key=value``, or, because a gateway forwards no client headers,
the beginning of the last user message (of ``prompt``, of ``input``)::

    [[sim status=429 retry_after=2]] the rest is the message

Pairs are separated by ``;`` or blanks; a bare key is a flag; a value with blanks, ``;`` or ``]``
is a JSON string: ``text="a; b"``. A header's pairs win over the message's. An unknown key or a bad
value is 400 ``invalid_directive``. N counts deltas: pieces of text or arguments over all choices;
in a JSON answer, pieces of 64 bytes. 0 is before the first byte of the body.

When      ``times=N`` only the first N requests with the same last user message and header;
          ``model=NAME`` only requests that name this model.
Answer    ``text="…"``, ``tokens=N`` exactly N tokens of filler, ``chunks=N`` deltas per choice,
          ``calls=N`` tool calls (0 for text), ``headers`` adds Set-Cookie, Server and other
          headers that should not travel, ``gzip``, ``cache=HIT`` (Cloudflare routes).
Errors    ``status=N`` with a body in the style ``error=openai|string|detail|vllm|cloudflare|``
          ``cloudflare_rest|mistral|array|html|text|empty``, ``code=``, ``type=``, ``message=``;
          ``retry_after=VALUE`` as written; ``status=200 error=openai`` is an error under 200.
Time      ``delay=MS`` before the headers, ``first=MS`` before the first delta, ``drip=MS`` before
          each later one, ``hang`` never answers, ``hang_after=N`` never goes on.
Breaks    ``reset`` (TCP reset before the headers), ``cut_after=N`` (TCP reset), ``close_after=N``
          (connection closed inside the body), ``eof_after=N`` (the body ends cleanly, too early),
          ``error_after=N`` (an error in the stream, then its end; ``error=`` gives the style).
Bytes     ``malformed_after=N`` (one event that is no JSON), ``no_done``, ``eol=crlf|cr``,
          ``split=N`` (writes of N bytes), ``comments``, ``huge=N`` (one event with N bytes of
          padding), ``json`` (a JSON answer to a streaming request).
Usage     ``prompt=N completion=N cached=N reasoning=N audio=N audio_out=N`` replace counts,
          ``usage=none|null|zero|negative|huge|bool|text|float`` spoils them,
          ``usage_on=every|finish|groq|unasked`` puts them where others do (chat, completions).
"""
