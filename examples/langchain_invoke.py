"""Messages in, a message out."""

from llamaherd.langchain import ChatLlamaCpp

llm = ChatLlamaCpp(model_path="demo", temperature=0)
instruction = (
    "You are a helpful assistant that translates English to French. Translate the user sentence."
)
message = llm.invoke([("system", instruction), ("human", "I love programming.")])
print(message.content)
print(message.usage_metadata)
