"""LlamaIndex: chat, stream, tools, embeddings; and what it makes of a refusal."""

import json
import os
import sys
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai_like import OpenAILike

model = "simulator/echo"
base, key = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
llm = OpenAILike(
    model=model,
    api_base=base,
    api_key=key,
    is_chat_model=True,
    is_function_calling_model=True,
)
hello = [ChatMessage(role="user", content="Hello there")]
out: dict[str, Any] = {}


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


out["chat"] = llm.chat(hello).message.content
out["complete"] = llm.complete("Hello there").text
out["stream"] = "".join(part.delta or "" for part in llm.stream_chat(hello))
called = llm.chat_with_tools([FunctionTool.from_defaults(weather)], user_msg="Hello")
out["tools"] = [call.tool_name for call in llm.get_tool_calls_from_response(called)]
embed = OpenAIEmbedding(model_name=model, api_base=base, api_key=key)
out["embeddings"] = [len(each) for each in embed.get_text_embedding_batch(["a", "b"])]
broken = [ChatMessage(role="user", content="[[sim cut_after=1]] one two three")]
try:
    list(llm.stream_chat(broken))
except Exception as error:
    out["broken"] = {"kind": type(error).__name__, "code": getattr(error, "code", None)}

broke_base, broke_key = sys.argv[1:]
broke = OpenAILike(model=model, api_base=broke_base, api_key=broke_key, is_chat_model=True)
try:
    broke.chat(hello)
except Exception as error:
    out["refused"] = {"kind": type(error).__name__, "code": getattr(error, "code", None)}
print(json.dumps(out))
