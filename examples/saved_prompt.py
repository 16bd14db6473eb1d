"""A system prompt that is read once, and never again by any later process."""

import tempfile

from llamaherd import Llama

SYSTEM = {"role": "system", "content": "You are a helpful assistant. " * 20}
QUESTION = {"role": "user", "content": "what is 25x5"}

with tempfile.TemporaryDirectory() as folder:
    with Llama("demo", n_ctx=1024, prompt_cache=folder) as llm:
        llm.save_prompt([SYSTEM])
    with Llama("demo", n_ctx=1024, prompt_cache=folder) as llm:
        answer = llm.create_chat_completion([SYSTEM, QUESTION], temperature=0)
        print(answer["choices"][0]["message"]["content"])
        print(llm.stats().cached_tokens, "tokens of the prompt came from the file")
