"""LiteLLM's SDK: chat, stream, embeddings; and what it makes of a refusal."""

import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "true"  # or it asks the internet for prices

import litellm

litellm.suppress_debug_info = True
model = "openai/simulator/echo"  # LiteLLM's own prefix, then the gateway's name
hello = [{"role": "user", "content": "Hello there"}]
out: dict[str, Any] = {}

out["chat"] = litellm.completion(model=model, messages=hello).choices[0].message.content
chunks = list(litellm.completion(model=model, messages=hello, stream=True))
out["stream"] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
made = litellm.embedding(model=model, input=["a", "b"], encoding_format="float")
out["embeddings"] = [len(each["embedding"]) for each in made.data]
answer = litellm.responses(model=model, input="Hello there")
out["responses"] = answer.output[0].content[0].text

broke_base, broke_key = sys.argv[1:]
try:
    litellm.completion(model=model, messages=hello, api_base=broke_base, api_key=broke_key)
except Exception as error:
    out["refused"] = type(error).__name__
print(json.dumps(out))
