"""The requests and answers of the benchmark: what the load driver sends and the mock gives back."""

CHUNKS = 50
PACE_SECONDS = 0.005
SLOW_PACE_SECONDS = 0.5
LATENCY_SECONDS = 0.02

JSON = "plain"
SSE = "burst"
PACED = "paced"
SLOW = "crawl"
LATE = "later"
"""Kinds of traffic; each is the name of a model, so that the mock knows what is wanted."""

KINDS = (JSON, SSE, PACED, SLOW, LATE)
STREAMS = (SSE, PACED, SLOW)


def body(kind: str, size: int = 2_048) -> bytes:
    """A chat request of ``size`` bytes."""
    stream = b"true" if kind in STREAMS else b"false"
    head = b'{"model":"bench/%b","stream":%b,"max_tokens":256,' % (kind.encode(), stream)
    if kind in STREAMS:
        head += b'"stream_options":{"include_usage":true},'
    head += b'"messages":[{"role":"user","content":"'
    tail = b'"}]}'
    words = b"All happy families are alike; each unhappy one is unhappy in its own way. "
    room = size - len(head) - len(tail)
    return head + (words * (room // len(words) + 1))[:room] + tail


def request(kind: str, *, host: str, key: str) -> bytes:
    """The whole HTTP request."""
    content = body(kind)
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: %b\r\nauthorization: Bearer %b\r\n"
        b"content-type: application/json\r\naccept: */*\r\nuser-agent: bench\r\n"
        b"content-length: %d\r\n\r\n%b" % (host.encode(), key.encode(), len(content), content)
    )


USAGE = b'"usage":{"prompt_tokens":400,"completion_tokens":80,"total_tokens":480}'
ANSWER = (
    b'{"id":"chatcmpl-0123456789","object":"chat.completion","created":1760000000,'
    b'"model":"plain","choices":[{"index":0,"message":{"role":"assistant","content":"'
    + b"It is a truth universally acknowledged. " * 9
    + b'"},"finish_reason":"stop"}],'
    + USAGE
    + b"}"
)
JSON_RESPONSE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(ANSWER), ANSWER)
)
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
STAMP = b'"created":'


def event(stamp: int, *, last: bool = False) -> bytes:
    """One server-sent event, as a chunk of the body. ``stamp`` is a monotonic time in ns."""
    if last:
        data = b'{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","choices":[],%b}' % (
            USAGE
        )
        text = b"data: %b\n\ndata: [DONE]\n\n" % data
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text)
    text = (
        b'data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":%d,'
        b'"model":"m","choices":[{"index":0,"delta":{"content":" acknowledged"},'
        b'"finish_reason":null}]}\n\n' % stamp
    )
    return b"%x\r\n%b\r\n" % (len(text), text)
