"""Answers as objects of a class: by calling a function, by a schema, or as any JSON."""

from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from llamaherd.langchain import ChatLlamaCpp


class Joke(BaseModel):
    """A setup to a joke and the punchline."""

    setup: str
    punchline: str


llm = ChatLlamaCpp(model_path="demo", temperature=0, max_tokens=128)
print(llm.with_structured_output(Joke).invoke("Tell me a joke about birds"))
by_dict = llm.with_structured_output(convert_to_openai_tool(Joke))
print(by_dict.invoke("Tell me a joke about cats"))
