"""Find what a text is about: by the angle between embeddings.

The bundled model was made to chat, not to embed; load an embedding model (all-MiniLM, BGE, Qwen3
Embedding, ...) for results worth having. The calls are the same.
"""

from llamaherd import Llama

DOCUMENTS = ["what is 25x5", "Tell me a joke about birds.", "Say good morning in German."]

with Llama("demo") as llm:
    vectors = llm.embed(DOCUMENTS)  # float32, shape (3, n_embd), each of length 1
    query = llm.embed("what is 30x7")
    for document, likeness in zip(DOCUMENTS, vectors @ query, strict=True):
        print(f"{likeness:.3f}  {document}")

    # The same, sorted; with a reranker the method "rank" is more exact and the default.
    best = llm.rerank("what is 30x7", DOCUMENTS, method="cosine", top_n=1, return_documents=True)
    print("best:", best["results"][0]["document"]["text"])
