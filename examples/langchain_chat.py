"""LangChain: pip install langchain-openai
It reads OPENAI_BASE_URL (http://localhost:8787/v1) and OPENAI_API_KEY (gw_live_…) by itself."""

import os

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

model = os.environ.get("MODEL", "simulator/echo")

chat = ChatOpenAI(model=model)
print(chat.invoke("Hello there").content)

for chunk in chat.stream("Hello there"):
    print(chunk.content, end="", flush=True)
print()

# Models that tiktoken does not know are sent as text instead of tokens.
embeddings = OpenAIEmbeddings(model=model, check_embedding_ctx_length=False)
print(len(embeddings.embed_query("Hello there")), "numbers")
