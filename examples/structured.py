"""Answers as instances of Python types, and as one of several texts."""

from pydantic import BaseModel

from llamaherd import Llama


class Joke(BaseModel):
    setup: str
    punchline: str


question = [{"role": "user", "content": "Tell me a joke about cats."}]
verdicts = {"type": "choice", "choice": ["good", "bad"]}

with Llama("demo", temperature=0) as llm:
    joke = llm.parse(question, Joke)
    print(joke.setup)
    print(joke.punchline)

    answer = llm.create_chat_completion(question, response_format=verdicts)
    print(answer["choices"][0]["message"]["content"])
