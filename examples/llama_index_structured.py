"""LlamaIndex: an object instead of text; a grammar makes sure that it is one."""

from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from llamaherd.llama_index import LlamaCppLLM


class Joke(BaseModel):
    """A joke in two parts."""

    setup: str
    punchline: str


llm = LlamaCppLLM("demo", temperature=0, max_tokens=64)
ask = PromptTemplate("Tell me a joke about {animal}.")

joke = llm.structured_predict(Joke, ask, animal="cats")
print(joke.setup, "...", joke.punchline)

for growing in llm.stream_structured_predict(Joke, ask, animal="dogs"):
    print(growing)
