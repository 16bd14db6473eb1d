"""A tool that the model decides to call; on the old page, it had to be forced."""

from langchain_core.tools import tool
from pydantic import BaseModel, Field

from llamaherd.langchain import ChatLlamaCpp


class WeatherInput(BaseModel):
    location: str = Field(description="The city and state, e.g. San Francisco, CA")
    unit: str = Field(json_schema_extra={"enum": ["celsius", "fahrenheit"]})


@tool("get_current_weather", args_schema=WeatherInput)
def get_weather(location: str, unit: str) -> str:
    """Get the current weather in a given location"""
    return f"Now the weather in {location} is 22 {unit}"


llm = ChatLlamaCpp(model_path="demo", temperature=0).bind_tools([get_weather])
message = llm.invoke("what is the weather like in HCMC in celsius")
print(message.tool_calls)
print(get_weather.invoke(message.tool_calls[0]).content)
