"""What the official suites are told of ChatLlamaCpp: every capability on, no test overridden."""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.integration_tests import ChatModelIntegrationTests

from llamaherd.demo import model_path
from llamaherd.langchain import ChatLlamaCpp

Details = dict[
    Literal["invoke", "stream"],
    list[
        Literal[
            "audio_input",
            "audio_output",
            "reasoning_output",
            "cache_read_input",
            "cache_creation_input",
        ]
    ],
]

THINKER = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}"
    "{% endif %}{{ m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)
"""A template that opens a thought: whatever the demo model says then is one."""


class Projector:
    """The file by which the demo model sees and hears; the fixture ``mmproj`` writes it.

    The suites ask for parameters where no fixture can be had.
    """

    path = ""


class ChatSuite(ChatModelIntegrationTests):
    """The demo model, answering at temperature 0."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlamaCpp

    @property
    def chat_model_params(self) -> dict[str, Any]:
        options = {"n_threads": 1, "temperature": 0, "max_tokens": 128}
        return {"model_path": "demo", "mmproj": Projector.path, "fetch_urls": True, **options}

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return str(model_path())

    @property
    def enable_vcr_tests(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> Details:
        return {
            "invoke": ["cache_read_input", "reasoning_output"],
            "stream": ["cache_read_input", "reasoning_output"],
        }

    @property
    def thinker(self) -> dict[str, Any]:
        """What makes the model think."""
        return {"chat_template": THINKER}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        """The same question twice: the second time its beginning is in memory."""
        model = self.chat_model_class(**self.chat_model_params)
        model.invoke("Tell me a joke about cats.")
        return answer(model, "Tell me a joke about cats.", stream=stream)

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """A template that makes the model think."""
        model = self.chat_model_class(**{**self.chat_model_params, **self.thinker})
        return answer(model, "Hello", stream=stream)


def answer(model: BaseChatModel, question: Any, *, stream: bool) -> AIMessage:
    """The answer, also from its chunks."""
    if not stream:
        return model.invoke(question)
    full: AIMessageChunk | None = None
    for chunk in model.stream(question):
        full = chunk if full is None else full + chunk
    assert full is not None
    return full
