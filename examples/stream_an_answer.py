"""Print an answer as it is made, and stop it early."""

from llamaherd import Llama

with Llama("demo") as llm:
    stream = llm.create_chat_completion(
        [{"role": "user", "content": "what is 25x5"}], stream=True, temperature=0, max_tokens=40
    )
    for chunk in stream:
        print(chunk["choices"][0]["delta"].get("content", ""), end="", flush=True)
    print()

    # Leaving a stream cancels its request within one step; the model is free for the next one.
    with llm("Once upon a time", stream=True) as endless:
        print(next(endless)["choices"][0]["text"])
