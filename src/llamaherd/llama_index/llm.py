"""The language model for LlamaIndex."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.base.llms.generic_utils import (
    astream_chat_response_to_completion_response,
    chat_response_to_completion_response,
    messages_to_prompt,
    prompt_to_messages,
    stream_chat_response_to_completion_response,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import (
    MessagesToPromptType,
    ToolSelection,
    default_completion_to_prompt,
)
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from llama_index_instrumentation import get_dispatcher

from llamaherd.declared import Params
from llamaherd.errors import OptionError, UnsupportedError
from llamaherd.llama_index.answers import tool_selections
from llamaherd.llama_index.call import Call
from llamaherd.llama_index.component import ModelComponent
from llamaherd.llama_index.messages import openai_messages, tool_definitions
from llamaherd.llama_index.source import AnyLlama
from llamaherd.llama_index.structured import Model, Objects
from llamaherd.params import (
    ChatParams,
    ResponseParams,
    SamplingParams,
)

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

_dispatcher = get_dispatcher(__name__)
_TEMPLATES = frozenset(ChatParams.names()) - {*ResponseParams.names(), "logprobs", "top_logprobs"}
"""Options that only a chat template gives a meaning."""


class LlamaCppLLM(ModelComponent, FunctionCallingLLM):
    """A GGUF model as LlamaIndex's LLM, batched with all other callers.

    It runs in this process, where it loads at first use (:meth:`load`) and objects of equal load
    options share one engine; with ``base_url``, on a llamaherd server.

    Args:
        model: a path to a GGUF file, or ``"demo"``; ``model_path`` is another name for it. With
            ``base_url``, one of the server's models; None: its first.
        fields: options of :class:`Llama`, of :class:`SamplingParams` and of :class:`ChatParams`
            as defaults of every call; fields of LlamaIndex's ``LLM`` (``system_prompt``, ...).

    Raises:
        ModelLoadError: there is no such file.
        UnknownOptionError: names the nearest option.
        OptionError: a value out of range.

    Every method takes options for this call as further keyword arguments.
    """

    call_kinds: ClassVar[tuple[type[Params], ...]] = (SamplingParams, ChatParams)
    reserved = ("stream_options",)

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        model_path: str | os.PathLike[str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(model, model_path=model_path, **fields)

    @classmethod
    def class_name(cls) -> str:
        """The name in dumps."""
        return "LlamaCppLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What the model's file and its context say; loads the model.

        ``num_output``, which prompts leave room for, is ``max_tokens`` where that is given.
        """
        llama = self._source.get()
        n_ctx, max_tokens = llama.n_ctx(), self._call_options({}).get("max_tokens")
        return LLMMetadata(
            context_window=n_ctx,
            num_output=SamplingParams(max_tokens=max_tokens).token_limit
            or min(DEFAULT_NUM_OUTPUTS, n_ctx // 4),
            is_chat_model=self._chats(llama),
            is_function_calling_model=self._chats(llama) and "tools" in llama.capabilities,
            model_name=self._source.title(),
        )

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, for LlamaIndex's ``set_global_tokenizer``."""
        return self._source.get().tokenize(text, add_bos=False)

    # -- chat and completion -------------------------------------------------------------------

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; ``raw`` is the response in OpenAI's shape, with its usage.

        Raises:
            RequestError: as :meth:`Llama.create_chat_completion`.
        """
        llama = self._source.get()
        return self._chat_call(messages, kwargs).whole(llama)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """:meth:`chat` for coroutines."""
        llama = await self._source.aget()
        return await self._chat_call(messages, kwargs).awhole(llama)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """:meth:`chat` as it grows: each response holds all so far, and what is new in ``delta``.

        Thoughts arrive in ``additional_kwargs["thinking_delta"]``, token counts with the last
        response. Closing the generator ends the request.
        """
        llama = self._source.get()
        return self._chat_call(messages, kwargs).stream(llama)

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """:meth:`stream_chat` for coroutines."""
        llama = await self._source.aget()
        return await self._chat_call(messages, kwargs).astream(llama)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt.

        As LlamaIndex's contract says, the prompt is a user's message to a model that chats; a model
        without chat template goes on from the text.

        Args:
            formatted: go on from the text in any case.
        """
        llama = self._source.get()
        call = self._completion_call(llama, prompt, formatted, kwargs)
        return chat_response_to_completion_response(call.whole(llama))

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """:meth:`complete` for coroutines."""
        llama = await self._source.aget()
        call = self._completion_call(llama, prompt, formatted, kwargs)
        return chat_response_to_completion_response(await call.awhole(llama))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """:meth:`complete` as it grows."""
        llama = self._source.get()
        call = self._completion_call(llama, prompt, formatted, kwargs)
        return stream_chat_response_to_completion_response(call.stream(llama))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """:meth:`stream_complete` for coroutines."""
        llama = await self._source.aget()
        call = self._completion_call(llama, prompt, formatted, kwargs)
        return astream_chat_response_to_completion_response(await call.astream(llama))

    # -- tools ---------------------------------------------------------------------------------

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Arguments for :meth:`chat`; the history stays as it is.

        Args:
            tool_choice: OpenAI's words, a tool's name, or OpenAI's object; beside it,
                ``tool_required`` says nothing new.
        """
        messages = list(chat_history or [])
        if user_msg is not None:
            asked = ChatMessage(role=MessageRole.USER, content=user_msg)
            messages.append(asked if isinstance(user_msg, str) else user_msg)
        demanded: dict[str, Any] = {}
        if tools:
            demanded["tools"] = tool_definitions(tools)
            demanded["parallel_tool_calls"] = allow_parallel_tool_calls
        if tools or tool_required or tool_choice is not None:
            default = "required" if tool_required else "auto"
            demanded["tool_choice"] = default if tool_choice is None else tool_choice
        return {"messages": messages, **demanded, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls that an answer makes; of a streamed one, with the arguments so far.

        Raises:
            ValueError: it makes none, and ``error_on_no_tool_call``.
        """
        found = tool_selections(response.message)
        if not found and error_on_no_tool_call:
            raise ValueError(
                f"the model called no tool; it said {response.message.content!r}: pass "
                "tool_required=True to force a call, or error_on_no_tool_call=False"
            )
        return found

    # -- structured answers --------------------------------------------------------------------

    @_dispatcher.span
    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """An object of ``output_cls``: a grammar holds the answer to its schema.

        ``pydantic_program_mode`` "function" asks for it by a tool call instead, which also shows
        the schema to the model; "llm" asks in words.

        Raises:
            GrammarError: a schema that cannot be enforced.
            StructuredOutputError: ``max_tokens`` or the context ended the answer early, or Pydantic
                asks for more than the schema says.
        """
        if not self._is_by_schema:
            called: Model
            called = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return called
        _dispatcher.event(_started(output_cls, prompt, prompt_args))
        objects = Objects(output_cls)
        messages, options = self._structured_chat(objects, prompt, llm_kwargs, prompt_args)
        found = objects.whole(self.chat(messages, **options))
        _dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    @_dispatcher.span
    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """:meth:`structured_predict` for coroutines."""
        if not self._is_by_schema:
            asked = super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            called: Model = await asked
            return called
        _dispatcher.event(_started(output_cls, prompt, prompt_args))
        objects = Objects(output_cls)
        messages, options = self._structured_chat(objects, prompt, llm_kwargs, prompt_args)
        found = objects.whole(await self.achat(messages, **options))
        _dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """What ``stream_structured_predict`` yields: the object so far, the last one whole."""
        if not self._is_by_schema:
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        objects = Objects(output_cls)
        messages, options = self._structured_chat(objects, prompt, llm_kwargs, prompt_args)
        return objects.growing(self.stream_chat(messages, **options))

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """The same for ``astream_structured_predict``."""
        if not self._is_by_schema:
            return await super()._structured_astream_call(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
        objects = Objects(output_cls)
        messages, options = self._structured_chat(objects, prompt, llm_kwargs, prompt_args)
        return objects.agrowing(await self.astream_chat(messages, **options))

    @property
    def _is_by_schema(self) -> bool:
        return self.pydantic_program_mode == PydanticProgramMode.DEFAULT

    def _structured_chat(
        self,
        objects: Objects[Any],
        prompt: PromptTemplate,
        llm_kwargs: Mapping[str, Any] | None,
        prompt_args: Mapping[str, Any],
    ) -> tuple[list[ChatMessage], dict[str, Any]]:
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        return messages, {**(llm_kwargs or {}), "json_schema": objects.schema}

    # -- one call ------------------------------------------------------------------------------

    @property
    def _own_format(self) -> MessagesToPromptType | None:
        """The caller's ``messages_to_prompt``, which replaces the model's chat template."""
        given = self.messages_to_prompt
        return None if given is messages_to_prompt else given

    def _chats(self, llama: AnyLlama) -> bool:
        """Whether conversations go through the model's chat template."""
        return self._own_format is None and llama.can_chat

    def _chat_call(self, messages: Sequence[ChatMessage], given: Mapping[str, Any]) -> Call:
        if self._own_format is not None:
            return self._raw_call(self._own_format(messages), given)
        return Call(openai_messages(messages), self._options(given))

    def _completion_call(
        self, llama: AnyLlama, prompt: str, formatted: bool, given: Mapping[str, Any]
    ) -> Call:
        own = self.completion_to_prompt
        if formatted or own is None:
            return self._raw_call(prompt, given)
        if own is default_completion_to_prompt and self._chats(llama):
            return self._chat_call(prompt_to_messages(prompt), given)
        return self._raw_call(own(prompt), given)

    def _raw_call(self, prompt: str, given: Mapping[str, Any]) -> Call:
        """A completion, where what a chat template does has no meaning: refused in a call."""
        if asked := sorted(_TEMPLATES & given.keys()):
            raise UnsupportedError(
                f"{asked[0]} needs the model's own chat template, and this prompt does not go "
                "through it (formatted=True, messages_to_prompt, or a model that has none)"
            )
        options = {n: v for n, v in self._options(given).items() if n not in _TEMPLATES}
        n_alternatives = options.pop("top_logprobs", None) or 0
        if options.pop("logprobs", False):
            options["logprobs"] = n_alternatives
        return Call(prompt, options)

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        options = self._call_options(given)
        if options.get("n", 1) != 1:
            raise OptionError("n", options["n"], "1: LlamaIndex's responses hold one answer")
        return options


def _started(
    output_cls: type[Model], prompt: PromptTemplate, prompt_args: dict[str, Any]
) -> LLMStructuredPredictStartEvent:
    return LLMStructuredPredictStartEvent(
        output_cls=output_cls, template=prompt, template_args=prompt_args
    )
