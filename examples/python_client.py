"""The official Python client. It reads OPENAI_BASE_URL (http://localhost:8787/v1) and
OPENAI_API_KEY (gw_live_…) by itself, so existing programs need no change at all."""

import os

import openai

model = os.environ.get("MODEL", "simulator/echo")

with openai.OpenAI() as client:
    answer = client.responses.create(model=model, input="Hello there")
    print(answer.output_text)

    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello there"}], stream=True
    )
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()

    try:
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "A book"}], max_tokens=2_000_000_000
        )
    except openai.RateLimitError as refused:
        print(refused.code)  # insufficient_quota: this can never fit; the message has the figures
