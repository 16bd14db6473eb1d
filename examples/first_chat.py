"""Ask the bundled model one question and print the answer."""

from llamaherd import Llama

with Llama("demo") as llm:
    response = llm.create_chat_completion(
        [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Tell me a joke about birds."},
        ],
        temperature=0,
        max_tokens=60,
    )
    print(response["choices"][0]["message"]["content"])
    print(response["usage"])
