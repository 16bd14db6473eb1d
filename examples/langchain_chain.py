"""A prompt template and a model in a chain."""

from langchain_core.prompts import ChatPromptTemplate

from llamaherd.langchain import ChatLlamaCpp

prompt = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "You are a helpful assistant that translates {input_language} to {output_language}.",
        ),
        ("human", "{input}"),
    ]
)
chain = prompt | ChatLlamaCpp(model_path="demo", temperature=0)
asked = {"input_language": "English", "output_language": "German", "input": "I love programming."}
print(chain.invoke(asked).content)
