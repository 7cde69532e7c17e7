"""LlamaIndex: pip install llama-index-llms-openai-like llama-index-embeddings-openai
OPENAI_BASE_URL=http://localhost:8787/v1 OPENAI_API_KEY=gw_live_… python examples/llamaindex_chat.py
"""

import os

from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai_like import OpenAILike

model = os.environ.get("MODEL", "simulator/echo")
gateway = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}

# OpenAILike and not OpenAI, which knows OpenAI's own names only.
llm = OpenAILike(model=model, is_chat_model=True, **gateway)
hello = [ChatMessage(role="user", content="Hello there")]
print(llm.chat(hello).message.content)

for part in llm.stream_chat(hello):
    print(part.delta or "", end="", flush=True)
print()

embeddings = OpenAIEmbedding(model_name=model, **gateway)
print(len(embeddings.get_text_embedding("Hello there")), "numbers")
