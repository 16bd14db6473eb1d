"""Embeddings fill a vector store; the reranker sorts what it finds."""

from langchain_core.vectorstores import InMemoryVectorStore

from llamaherd.langchain import LlamaCppEmbeddings, LlamaCppReranker

texts = ["Cats sleep a lot.", "what is 3 + 4", "The weather is sunny.", "what is 3 x 4"]
store = InMemoryVectorStore.from_texts(texts, LlamaCppEmbeddings(model_path="demo"))
query = "what is 3 + 5"
found = store.similarity_search(query, k=3)

# A model made for it needs no method; the demo model can compare embeddings.
reranker = LlamaCppReranker(model_path="demo", top_n=2, model_kwargs={"method": "cosine"})
for document in reranker.compress_documents(found, query):
    print(f"{document.metadata['relevance_score']:.2f}", document.page_content)
