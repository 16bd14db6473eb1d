"""Which tokens the model thought of, and how likely it finds a given text."""

import math

from llamaherd import Llama

with Llama("demo") as llm:
    answer = llm("Hello", max_tokens=3, temperature=0, logprobs=3)
    for top in answer["choices"][0]["logprobs"]["top_logprobs"]:
        print({text: round(math.exp(logprob), 3) for text, logprob in top.items()})

    # echo with max_tokens=0 scores a text without adding to it.
    scored = llm("J'aime programmer.", echo=True, logprobs=0, max_tokens=0)
    known = [x for x in scored["choices"][0]["logprobs"]["token_logprobs"] if x is not None]
    print("perplexity", round(math.exp(-sum(known) / len(known)), 2))
