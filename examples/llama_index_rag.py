"""LlamaIndex: an index in memory, searched by embeddings, sorted, and answered from.

The bundled model was made to chat; it embeds poorly and fills in what it was trained to. Load an
embedding model, a reranker and a real model for results worth having. The calls are the same.
"""

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.prompts import PromptTemplate

from llamaherd.llama_index import LlamaCppEmbedding, LlamaCppLLM, LlamaCppRerank

PEOPLE = ["Anna lives in Rome and has a cat.", "Omar works as a baker and is 31 years old."]

index = VectorStoreIndex.from_documents(
    [Document(text=text) for text in PEOPLE], embed_model=LlamaCppEmbedding("demo")
)
engine = index.as_query_engine(
    llm=LlamaCppLLM("demo", temperature=0, max_tokens=64),
    similarity_top_k=2,
    node_postprocessors=[LlamaCppRerank("demo", method="cosine", top_n=1)],
    text_qa_template=PromptTemplate("{context_str} Extract {query_str} as JSON."),
)
answer = engine.query("name and city")
print(answer)
print("from:", answer.source_nodes[0].node.get_content())
