"""LlamaCpp: LangChain's completion model, text in and text out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from llamaherd.declared import Params
from llamaherd.errors import OptionError
from llamaherd.langchain.described import Described
from llamaherd.langchain.errors import as_langchain
from llamaherd.params import (
    CompletionParams,
    SamplingParams,
)

JSON = dict[str, Any]


class LlamaCpp(Described, BaseLLM):
    """Goes on from a text, by a GGUF file in this process or on a llamaherd server.

    Fields and errors as :class:`ChatLlamaCpp`; options of ``create_completion`` may be given, too.

        LlamaCpp(model_path="demo").invoke("def add(a, b):")
    """

    further: ClassVar[tuple[type[Params], ...]] = (CompletionParams, SamplingParams)

    logprobs: int | None = None
    """Log-probabilities with so many alternatives, in ``generation_info``."""
    suffix: str | None = None
    """Text behind the gap to fill, for models that can."""
    echo: bool = False
    """Put the prompt before the answer."""

    @property
    def _llm_type(self) -> str:
        return "llamacpp"

    # -- answers ------------------------------------------------------------------------------

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        with as_langchain():
            options = self._options(stop, kwargs)
            suffix = options.pop("suffix", self.suffix)
            llm = self._llama(kwargs.get("model"))
            return _result(llm.create_completion(prompts, suffix, **options), len(prompts))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        with as_langchain():
            options = self._options(stop, kwargs)
            suffix = options.pop("suffix", self.suffix)
            llm = await self._allama(kwargs.get("model"))
            response = await llm.acreate_completion(prompts, suffix, **options)
            return _result(response, len(prompts))

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with as_langchain():
            options = self._stream_options(stop, kwargs)
            suffix = options.pop("suffix", self.suffix)
            llm = self._llama(kwargs.get("model"))
            with llm.create_completion(prompt, suffix, stream=True, **options) as stream:
                for raw in stream:
                    if (chunk := _chunk(raw)) is not None:
                        if run_manager is not None:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        with as_langchain():
            options = self._stream_options(stop, kwargs)
            suffix = options.pop("suffix", self.suffix)
            llm = await self._allama(kwargs.get("model"))
            stream = await llm.acreate_completion(prompt, suffix, stream=True, **options)
            async with stream:
                async for raw in stream:
                    if (chunk := _chunk(raw)) is not None:
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    def _options(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        own = {"logprobs": self.logprobs, "echo": self.echo or None}
        own = {name: value for name, value in own.items() if value is not None}
        return self._call_options(stop, {**own, **given})

    def _stream_options(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        found = self._options(stop, given)
        if found.get("n", 1) != 1:
            raise OptionError("n", found["n"], "1: LangChain streams one answer")
        return found

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids of a text, by the model's own vocabulary."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with as_langchain():
            return self._llama().tokenize(text, add_bos=False)


def _result(response: JSON, n_prompts: int) -> LLMResult:
    """Choices by the prompt that they answer; they come in the order of the prompts."""
    found = [Generation(text=c["text"], generation_info=_info(c)) for c in response["choices"]]
    n = len(found) // n_prompts
    said = {"token_usage": response.get("usage"), "model_name": response.get("model")}
    generations = [found[i : i + n] for i in range(0, len(found), n)]
    return LLMResult(generations=generations, llm_output=said)


def _info(choice: JSON) -> JSON:
    found = {name: choice.get(name) for name in ("finish_reason", "logprobs")}
    return {name: value for name, value in found.items() if value is not None}


def _chunk(raw: JSON) -> GenerationChunk | None:
    choice = raw["choices"][0]
    info = _info(choice)
    if not choice["text"] and not info:
        return None
    return GenerationChunk(text=choice["text"], generation_info=info or None)
