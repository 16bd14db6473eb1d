"""ChatLlamaCpp: LangChain's chat model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from llamaherd.declared import Params
from llamaherd.errors import OptionError
from llamaherd.langchain import structured
from llamaherd.langchain.chunks import ChunkReader, chat_result
from llamaherd.langchain.described import Described
from llamaherd.langchain.errors import as_langchain
from llamaherd.langchain.header import profile, remote_profile
from llamaherd.langchain.messages import as_openai
from llamaherd.langchain.pictures import afetched, fetched
from llamaherd.params import (
    ChatParams,
    SamplingParams,
)

Tools = Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool]


class ChatLlamaCpp(Described, BaseChatModel):
    """A chat model that runs GGUF files: in this process, or on a llamaherd server.

    Objects with equal loading options share one model and its engine; making one loads nothing.
    Any option of :class:`llamaherd.Llama` and of its ``create_chat_completion`` may be given, here
    or with a call.

        llm = ChatLlamaCpp(model_path="demo", temperature=0)
        llm.invoke("what is 25x5")

    Raises:
        ModelPathError: the file is missing, or no GGUF file (a ValueError, too).
        UnknownOptionError: an option that does not exist; names the nearest.
        OptionError: a value that means nothing here.
    """

    further: ClassVar[tuple[type[Params], ...]] = (ChatParams, SamplingParams)

    logprobs: bool | int | None = None
    """Log-probabilities of the answer's tokens; a number: with so many alternatives."""
    fetch_urls: bool = False
    """Fetch pictures that messages name by an address: public ones only, up to 20 MiB. Otherwise
    addresses are refused, or with ``base_url`` left to the server."""
    suffix: str | None = None
    """Only None: a conversation has no text behind it."""
    echo: bool = False
    """Only False: answers do not repeat the conversation."""

    def _check(self) -> None:
        if self.suffix is not None:
            raise OptionError("suffix", self.suffix, "None: that is for LlamaCpp")
        if self.echo:
            raise OptionError("echo", self.echo, "False: that is for LlamaCpp")
        super()._check()

    # -- what LangChain asks of every model ---------------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "llama-cpp-python"

    def _resolve_model_profile(self) -> ModelProfile | None:
        if self.base_url is not None:
            return remote_profile()
        found = profile(self._name(), self.n_ctx, self.model_kwargs.get("mmproj"))
        found["image_url_inputs"] = bool(self.fetch_urls and found.get("image_inputs"))
        return found

    # -- answers ------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with as_langchain():
            options = self._options(stop, kwargs)
            llm = self._llama(kwargs.get("model"))
            return chat_result(llm.create_chat_completion(self._read(messages), **options))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with as_langchain():
            options = self._options(stop, kwargs)
            llm = await self._allama(kwargs.get("model"))
            asked = await self._aread(messages)
            return chat_result(await llm.acreate_chat_completion(asked, **options))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with as_langchain():
            options = self._stream_options(stop, kwargs)
            llm = self._llama(kwargs.get("model"))
            reader = ChunkReader()
            asked = self._read(messages)
            with llm.create_chat_completion(asked, stream=True, **options) as stream:
                for raw in stream:
                    if (chunk := reader.read(raw)) is not None:
                        if run_manager is not None:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
            if (chunk := reader.close()) is not None:
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with as_langchain():
            options = self._stream_options(stop, kwargs)
            llm = await self._allama(kwargs.get("model"))
            reader = ChunkReader()
            asked = await self._aread(messages)
            stream = await llm.acreate_chat_completion(asked, stream=True, **options)
            async with stream:
                async for raw in stream:
                    if (chunk := reader.read(raw)) is not None:
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
            if (chunk := reader.close()) is not None:
                yield chunk

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer all of them at once, by a thread each; ``max_concurrency`` may set fewer."""
        most = min(len(inputs), self.n_parallel or len(inputs)) or None
        configs = [
            {**each, "max_concurrency": each.get("max_concurrency") or most}
            for each in get_config_list(config, len(inputs))
        ]
        return super().batch(
            inputs,
            configs,  # type: ignore[arg-type]
            return_exceptions=return_exceptions,
            **kwargs,
        )

    def _options(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        found = self._call_options(stop, {"logprobs": self.logprobs, **given})
        counted = found["logprobs"]
        if counted is None or counted is False:
            del found["logprobs"]
        elif counted is not True:
            found |= {"logprobs": True, "top_logprobs": counted}
        return found

    def _read(self, messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
        found = as_openai(messages)
        return fetched(found) if self.fetch_urls else found

    async def _aread(self, messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
        found = as_openai(messages)
        return await afetched(found) if self.fetch_urls else found

    def _stream_options(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        found = self._options(stop, given)
        if found.get("n", 1) != 1:
            raise OptionError("n", found["n"], "1: LangChain streams one answer")
        return {"stream_options": {"include_usage": True}, **found}

    # -- tokens -------------------------------------------------------------------------------

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids of a text, by the model's own vocabulary."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with as_langchain():
            return self._llama().tokenize(text, add_bos=False)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of a conversation as the model would read it, the tools' definitions included."""
        with as_langchain():
            listed = [convert_to_openai_tool(tool) for tool in tools or ()]
            return len(self._llama().chat_tokens(self._read(messages), tools=listed or None))

    # -- tools and structured output ----------------------------------------------------------

    def bind_tools(
        self,
        tools: Tools,
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: dict[str, Any] | type | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """A model that may call tools.

        Args:
            tools: functions, Pydantic models, TypedDicts, LangChain's tools or OpenAI's or
                Anthropic's definitions. Arguments always satisfy their schema.
            tool_choice: None or "auto": the model decides; "any", "required" or True: it must call
                one; a name or OpenAI's dictionary: that one; "none": no call.
            strict: close the tools' schemas to further properties, as OpenAI does.
            parallel_tool_calls: False: one call at most.
            response_format: what an answer that is no call must be: a schema, or OpenAI's
                dictionary. Together with tools: a call, or an answer of that schema.

        Raises:
            OptionError: ``tool_choice`` names no tool.
        """
        found = structured.tool_options(tools, tool_choice, strict)
        if parallel_tool_calls is not None:
            found["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            found["response_format"] = structured.response_format(response_format, strict)
        return self.bind(**found, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["function_calling", "json_mode", "json_schema"] = "function_calling",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Tools | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """A model whose answers are instances of a schema.

        Args:
            schema: a Pydantic class, a TypedDict, a JSON schema or OpenAI's tool. None only with
                ``json_mode``: any JSON object.
            method: ``function_calling``: the schema is a tool that must be called, so the model
                reads its names and descriptions; ``json_schema``: the answer's text is masked by
                it; ``json_mode``: the text is some JSON object, as the prompt describes it.
            include_raw: a dictionary of ``raw``, ``parsed`` and ``parsing_error`` instead, which
                raises nothing where the answer cannot be parsed.
            strict: as for :meth:`bind_tools`.
            tools: with ``json_schema``: tools that the model may call instead.

        Raises:
            OptionError: a method that does not exist, or one that needs a schema without one.
        """
        if tools and not include_raw:
            raise OptionError("tools", "...", "include_raw=True beside it: a call is no answer")
        form = structured.Form(schema, method, strict, tools)
        llm = self.bind(**form.options(), **kwargs)
        return structured.with_parser(llm, form.parser(), include_raw=include_raw)
