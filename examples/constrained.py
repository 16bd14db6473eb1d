"""Answers that must match a JSON schema or a grammar."""

import json

from llamaherd import Llama

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

with Llama("demo", max_tokens=100) as llm:
    made = llm("Anna is 31 years old. As JSON: ", json_schema=PERSON, temperature=0)
    print(json.loads(made["choices"][0]["text"]))

    verdict = llm("Is water wet? ", grammar='root ::= "yes" | "no"', temperature=0)
    print(verdict["choices"][0]["text"])
