"""Tokens as they are drawn."""

from llamaherd.langchain import ChatLlamaCpp

llm = ChatLlamaCpp(model_path="demo", temperature=0)
for chunk in llm.stream("what is 25x5"):
    print(chunk.content, end="", flush=True)
print()
