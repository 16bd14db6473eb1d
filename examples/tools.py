"""The model calls a function, and makes a sentence of its result."""

import json

from llamaherd import Llama


def get_weather(location: str) -> str:
    """Get the current weather in a given location.

    Args:
        location: the city
    """
    return f"It is sunny in {location}."


messages = [{"role": "user", "content": "what is the weather in Paris?"}]
with Llama("demo") as llm:
    answer = llm.create_chat_completion(messages, tools=[get_weather], temperature=0)
    message = answer["choices"][0]["message"]
    messages.append(message)
    for call in message["tool_calls"]:
        print("called", call["function"]["name"], "with", call["function"]["arguments"])
        result = get_weather(**json.loads(call["function"]["arguments"]))
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    answer = llm.create_chat_completion(messages, tools=[get_weather], temperature=0)
    print(answer["choices"][0]["message"]["content"])
