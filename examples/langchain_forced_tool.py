"""A tool that must be called, by OpenAI's dictionary or by its name."""

from langchain_core.tools import tool
from pydantic import BaseModel, Field

from llamaherd.langchain import ChatLlamaCpp


class MagicFunctionInput(BaseModel):
    magic_function_input: int = Field(description="The input value for magic function")


@tool("get_magic_function", args_schema=MagicFunctionInput)
def magic_function(magic_function_input: int) -> int:
    """Get the value of magic function for an input."""
    return magic_function_input + 2


llm = ChatLlamaCpp(model_path="demo", temperature=0)
choice = {"type": "function", "function": {"name": "get_magic_function"}}
message = llm.bind_tools([magic_function], tool_choice=choice).invoke(
    "What is magic function of 3?"
)
print(message.tool_calls)
