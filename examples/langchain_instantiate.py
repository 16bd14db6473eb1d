"""A chat model with the options that langchain-community's page shows."""

import multiprocessing

from llamaherd.langchain import ChatLlamaCpp

llm = ChatLlamaCpp(
    model_path="demo",  # or a path to a GGUF file
    temperature=0.5,
    n_ctx=10000,
    n_gpu_layers=8,
    n_batch=300,
    max_tokens=512,
    n_threads=max(1, multiprocessing.cpu_count() - 1),
    repeat_penalty=1.5,
    top_p=0.5,
)
print(llm.invoke("Hello").content)
