"""Llama: one loaded model behind an OpenAI-shaped interface."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from llamaherd.adapters import DEFAULT, Adapters
from llamaherd.ambient import Ambient
from llamaherd.calls import Calls
from llamaherd.chat import normalised
from llamaherd.completion import (
    AsyncCompletionStream,
    CompletionStream,
)
from llamaherd.declared import split_options
from llamaherd.embed import Embeddings
from llamaherd.engine import (
    MTP,
    Ask,
    Engine,
    Request,
    Stats,
    TokenEvent,
    proposer_for,
)
from llamaherd.errors import OptionError
from llamaherd.facts import ModelFacts
from llamaherd.media import Projector, Reader, has_media
from llamaherd.model import Model
from llamaherd.params import (
    ContextParams,
    MediaParams,
    ModelParams,
    ResponseParams,
    SamplingParams,
)
from llamaherd.prompt_cache import PromptCache
from llamaherd.prompts import Messages, Prompt, Prompts
from llamaherd.responses import (
    JSON,
)
from llamaherd.structured import Structured
from llamaherd.vectors import VectorCalls

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llamaherd.options import (
        ChatOptions,
        CompletionOptions,
        LoadOptions,
        SamplingOptions,
    )

_T = TypeVar("_T")


class Llama(VectorCalls, ModelFacts):
    """A GGUF model that answers. All methods may be called from any thread.

    Args:
        model: a path to a GGUF file (the first part of a split one), ``"demo"`` for the model that
            comes with this package, or one of the Hugging Face Hub, fetched once into its cache:
            ``"hf:OWNER/REPO"``, ``"hf:OWNER/REPO:Q8_0"`` or ``"hf:OWNER/REPO/file.gguf"``.
        model_path: another name for ``model``, as in llama-cpp-python.
        mmproj: the projector published beside a model that sees or hears, for messages with
            pictures or sounds.
        clip_model_path: another name for ``mmproj``, as in llama-cpp-python.
        lora_path: a LoRA adapter for every request.
        lora_scale: its strength.
        draft_model: guesses tokens ahead, which the model then checks several at a time; answers
            stay what they are. A path to a small model of the same vocabulary,
            ``"prompt_lookup"``: passages of the text so far, for texts that repeat themselves, or
            ``"mtp"``: the model's own multi-token-prediction layers, if it has some.
        prompt_cache: a folder of saved prompts (:meth:`save_prompt`), restored now.
        chat_template: Jinja source that replaces the model's own, or the path of a file of it
            (a ``pathlib.Path``).
        chat_template_kwargs: further variables for the template, which those of a call replace.
        progress: called with the fraction loaded; without it, a slow load shows a bar on a
            terminal.
        verbose: native log lines on stderr. They go to ``logging`` in any case.
        ambient: clock, ids and seeds, to make runs repeatable.
        options: fields of :class:`ModelParams`, :class:`ContextParams` and :class:`MediaParams`;
            fields of :class:`SamplingParams` become the defaults of every request (before them
            come the model file's own recommendations).

    Raises:
        ModelLoadError: the file is missing, damaged, or nothing llama.cpp can run.
        UnknownOptionError: an option that does not exist; names the nearest.
        OptionError: a value out of range.
        ContextCreateError: too little memory for the context.
        UnsupportedError: ``draft_model`` cannot guess for this model; tells why.
        NativeLibraryError: there is no usable llama.cpp.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        model_path: str | os.PathLike[str] | None = None,
        mmproj: str | os.PathLike[str] | None = None,
        clip_model_path: str | os.PathLike[str] | None = None,
        lora_path: str | os.PathLike[str] | None = None,
        lora_scale: float = 1.0,
        draft_model: str | os.PathLike[str] | None = None,
        prompt_cache: str | os.PathLike[str] | None = None,
        chat_template: str | os.PathLike[str] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        progress: Callable[[float], None] | None = None,
        verbose: bool = False,
        ambient: Ambient | None = None,
        **options: Unpack[LoadOptions],
    ) -> None:
        source = _one_source(model, model_path)
        eyes = _at_most_one("mmproj", mmproj, clip_model_path)
        chosen = split_options(
            options, ModelParams, ContextParams, SamplingParams, MediaParams, also=_OWN_OPTIONS
        )
        model_params = ModelParams(**chosen[0])
        if draft_model == MTP:
            model_params = replace(model_params, load_mtp=True)
        context_params = ContextParams(**chosen[1])
        SamplingParams(**chosen[2])  # a bad default is an error before the weights are read
        media_params = MediaParams(**chosen[3])
        if verbose:
            _log_to_stderr()
        self._ambient = ambient or Ambient()
        self.model = Model(source, model_params, progress=progress)
        self.model_path = os.fspath(source)
        self._prompts = Prompts(self.model, chat_template, self._ambient, chat_template_kwargs)
        self._adapters = Adapters(self.model)
        self._reader: Reader | None = None
        try:
            if eyes is not None:
                projector = Projector(self.model, eyes, media_params, context_params.n_threads)
                self._reader = Reader(projector, media_params.media_cache_mib << 20)
            self.defaults = SamplingParams(**{**self.model.sampling_defaults, **chosen[2]})
            if lora_path is not None:
                self._adapters.load(DEFAULT, lora_path)
                self._adapters.default = self._adapters.key({DEFAULT: lora_scale})
            # The engine's thread must not refer to this object, or nobody could drop it.
            free = functools.partial(_free, self._adapters, self.model)
            proposer = proposer_for(draft_model, self.model, context_params)
            self._engine = Engine(self.model, context_params, proposer=proposer, on_close=free)
            self._embeddings = Embeddings(
                self.model, context_params, adapters=self._adapters.default
            )
        except BaseException:
            self.close()
            _free(self._adapters, self.model)
            raise
        self._calls = Calls(
            self.model,
            self._engine,
            self._prompts,
            self._adapters,
            self.defaults,
            self._ambient,
            self.model_path,
            self._reader,
        )
        # No __del__: while one runs, others can still get the object by a weak reference.
        weakref.finalize(self, _close, self._engine, self._embeddings, self._reader).atexit = False
        self._n_parallel = context_params.n_parallel
        settled = replace(context_params, n_ctx=self._engine.n_ctx)
        self._memory_bytes = self.model.size_bytes + self.model.cache_bytes_for(settled)
        if self._reader is not None:
            self._memory_bytes += self._reader.projector.size_bytes
        folder = None if prompt_cache is None else Path(prompt_cache).expanduser()
        self._prompt_cache = PromptCache(
            self.model, self._engine, self._adapters, context_params, folder
        )
        self._prompt_cache.load_folder()

    # -- answers ------------------------------------------------------------------------------

    @overload
    def create_completion(
        self,
        prompt: Prompt | Sequence[Prompt] = ...,
        suffix: str | None = ...,
        *,
        stream: Literal[False] = ...,
        **options: Unpack[CompletionOptions],
    ) -> JSON: ...

    @overload
    def create_completion(
        self,
        prompt: Prompt | Sequence[Prompt] = ...,
        suffix: str | None = ...,
        *,
        stream: Literal[True],
        **options: Unpack[CompletionOptions],
    ) -> CompletionStream: ...

    def create_completion(
        self,
        prompt: Prompt | Sequence[Prompt] = "",
        suffix: str | None = None,
        *,
        stream: bool = False,
        **options: Unpack[CompletionOptions],
    ) -> JSON | CompletionStream:
        """Go on from a text, in the shape of OpenAI's completions API.

        Args:
            prompt: text (special tokens in it are read as such) or token ids, or a list of these,
                which are answered together: ``n`` choices for the first, then for the second.
            suffix: text that follows the gap to fill, by the model's own FIM tokens.
            stream: return chunks as they are made.
            options: fields of :class:`SamplingParams` and :class:`CompletionParams`.

        Returns:
            A dictionary, or with ``stream`` an iterator of them.

        Raises:
            ContextLengthError: the prompt does not fit the context.
            OptionError, UnknownOptionError: a bad option.
            GrammarError: a grammar or schema that cannot be enforced.
            UnsupportedError: ``suffix`` with a model that has no FIM tokens, or a model that does
                not generate text.
            QueueFullError: too many requests wait already.
        """
        asks, completion = self._calls.completion(prompt, suffix, options)
        response = CompletionStream(completion, self._engine.stream(asks), self)
        return response if stream else response.whole()

    __call__ = create_completion

    async def acreate_completion(
        self,
        prompt: Prompt | Sequence[Prompt] = "",
        suffix: str | None = None,
        *,
        stream: bool = False,
        **options: Unpack[CompletionOptions],
    ) -> Any:
        """:meth:`create_completion` for coroutines; with ``stream`` an async iterator of chunks."""
        # on a thread: long prompts, templates and schemas would hold the event loop up
        prepare = self._calls.completion
        asks, completion = await asyncio.to_thread(prepare, prompt, suffix, options)
        response = AsyncCompletionStream(completion, self._engine.astream(asks), self)
        return response if stream else await response.whole()

    @overload
    def create_chat_completion(
        self,
        messages: Messages,
        *,
        stream: Literal[False] = ...,
        **options: Unpack[ChatOptions],
    ) -> JSON: ...

    @overload
    def create_chat_completion(
        self, messages: Messages, *, stream: Literal[True], **options: Unpack[ChatOptions]
    ) -> CompletionStream: ...

    def create_chat_completion(
        self, messages: Messages, *, stream: bool = False, **options: Unpack[ChatOptions]
    ) -> JSON | CompletionStream:
        """Answer a conversation, in the shape of OpenAI's chat completions API.

        Args:
            messages: objects with ``role`` and ``content``; earlier calls and their results, too.
                With ``mmproj``, a content may list pictures and sounds beside texts
                (docs/media.md).
            stream: return chunks as they are made.
            options: fields of :class:`SamplingParams` and :class:`ChatParams`, among them
                ``tools``, ``tool_choice`` and ``response_format``.

        Raises:
            ChatTemplateError: the template refused the messages.
            UnsupportedError: the model has no chat template, or one that knows no tools.
            GrammarError: a schema that cannot be enforced.
            MediaError: a picture or sound that cannot be read.
            RequestError: as :meth:`create_completion`.
        """
        asks, completion = self._calls.chat(messages, options)
        response = CompletionStream(completion, self._engine.stream(asks), self)
        return response if stream else response.whole()

    async def acreate_chat_completion(
        self, messages: Messages, *, stream: bool = False, **options: Unpack[ChatOptions]
    ) -> Any:
        """:meth:`create_chat_completion` for coroutines; with ``stream`` an async iterator."""
        if self._reader is not None and has_media(messages):
            self._engine.check_room(0)  # of a closed one the thread is gone, too
            loop, prepare = asyncio.get_running_loop(), self._calls.chat
            task = loop.run_in_executor(self._reader.thread, prepare, messages, options)
            asks, completion = await task
        else:
            asks, completion = await asyncio.to_thread(self._calls.chat, messages, options)
        response = AsyncCompletionStream(completion, self._engine.astream(asks), self)
        return response if stream else await response.whole()

    def parse(self, messages: Messages, kind: type[_T], **options: Unpack[ChatOptions]) -> _T:
        """Answer a conversation by an instance of a type; the grammar admits nothing else.

        Args:
            kind: a Pydantic model, a TypedDict or a dataclass. Needs pydantic.
            options: as for :meth:`create_chat_completion`, but ``response_format``.

        Raises:
            StructuredOutputError: the answer was cut off by a limit, or a validator of the type
                refused it; ``partial_text`` has its text.
            RequestError: as :meth:`create_chat_completion`.
        """
        wanted = _structured(messages, kind)
        return wanted.instance(self.create_chat_completion(messages, **_held_to(wanted, options)))

    async def aparse(
        self, messages: Messages, kind: type[_T], **options: Unpack[ChatOptions]
    ) -> _T:
        """:meth:`parse` for coroutines."""
        wanted = _structured(messages, kind)
        response = await self.acreate_chat_completion(messages, **_held_to(wanted, options))
        return wanted.instance(response)

    def apply_chat_template(
        self,
        messages: Messages,
        *,
        tools: Sequence[object] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The prompt that the model's chat template makes of a conversation.

        Args:
            tools: functions, Pydantic models or OpenAI's definitions that may be called.
            variables: further names for the template.

        Raises:
            ChatTemplateError: the template refused the messages.
            UnsupportedError: the model has no chat template.
        """
        prompt = self._prompts.chat_format.render(
            messages,
            tools=normalised(tools or []),
            add_generation_prompt=add_generation_prompt,
            **variables,
        )
        return prompt.text

    def chat_tokens(self, messages: Messages, **options: Unpack[ChatOptions]) -> list[int]:
        """The token ids that :meth:`create_chat_completion` would have the model read.

        Negative ones stand for the places of pictures and sounds.

        Raises:
            RequestError: as :meth:`create_chat_completion`.
        """
        asks, _ = self._calls.chat(messages, options)
        return list(asks[0].request.prompt)

    def chat_prompt(self, messages: Messages, **options: Unpack[ChatOptions]) -> str:
        """The text of :meth:`chat_tokens`.

        Raises:
            RequestError: as :meth:`create_chat_completion`.
        """
        tokens = self.chat_tokens(messages, **options)
        return self.model.vocab.detokenize(tokens, remove_special=False, special=True).decode(
            "utf-8", "replace"
        )

    def generate(self, tokens: Sequence[int], **options: Unpack[SamplingOptions]) -> Iterator[int]:
        """Token ids as they are drawn, up to the end of the answer or the consumer's patience.

        Raises:
            RequestError: as :meth:`create_completion`, when the first token is asked for.
        """
        (sampling,) = split_options(options, SamplingParams, also=("tokens",))
        params = replace(self.defaults, **sampling)
        if params.n != 1:
            raise OptionError("n", params.n, "1: generate gives one answer")
        (ask,) = self._calls.asks(self._prompts.text(tokens), params, None, ResponseParams())
        for _, event in self._engine.stream([ask]):
            if isinstance(event, TokenEvent):
                yield from event.tokens

    def load_lora(self, name: str, path: str | os.PathLike[str]) -> None:
        """Load a LoRA adapter, which requests then name in ``lora={name: scale}``.

        Requests with equal adapters are computed together, others in turn.

        Raises:
            ModelLoadError: the file is missing, damaged, or made for another model.
            OptionError: the name is taken.
        """
        self._adapters.load(name, path)

    def save_prompt(
        self,
        prompt: Prompt | Messages,
        path: str | os.PathLike[str] | None = None,
        *,
        tools: Sequence[object] | None = None,
        lora: dict[str, float] | None = None,
    ) -> Path:
        """Read a prompt now, and save what the model remembers of it.

        Prompts that begin with it are then answered without reading it again, also in a later
        process: a system prompt with its tools, or a conversation to be continued.

        Args:
            prompt: text, token ids, or the messages of a conversation.
            path: the file; None: one named by its content in the ``prompt_cache`` folder.
            tools: what the chat template is told beside the messages.
            lora: as for :meth:`create_completion`.

        Returns:
            The file.

        Raises:
            RequestError: as :meth:`create_completion`.
        """
        tokens = self._saved_tokens(prompt, tools)
        request = Request(tokens, adapters=self._adapters.key(lora), max_tokens=0, keep_state=True)
        ask = Ask(request, self._calls.sampler(SamplingParams(max_tokens=0), 0, ()))
        return self._prompt_cache.save(ask, None if path is None else Path(path).expanduser())

    def load_prompt(
        self, path: str | os.PathLike[str], *, lora: dict[str, float] | None = None
    ) -> int:
        """Restore what :meth:`save_prompt` saved, for prompts that begin alike.

        Load only files that you or your programs saved: llama.cpp trusts their content.

        Returns:
            Its length in tokens.

        Raises:
            SavedPromptError: the file is missing, damaged, or made by another model, adapter,
                cache type or version of llama.cpp.
        """
        return self._prompt_cache.load(Path(path).expanduser(), self._adapters.key(lora))

    def stats(self) -> Stats:
        """What the engine is doing and has done: queue, cells, cache, tokens, speculation."""
        return self._engine.stats

    def cancel(self) -> None:
        """End every request now; each returns what it has, with finish reason ``cancelled``."""
        self._engine.cancel_all()

    # -- life ---------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the prompts that are kept in memory for reuse."""
        self._engine.forget()

    def close(self) -> None:
        """Cancel what runs, stop the engine and free all native memory. May be called twice."""
        if hasattr(self, "_engine"):
            self._engine.close()
        if hasattr(self, "_embeddings"):
            self._embeddings.close()
        if (reader := getattr(self, "_reader", None)) is not None:
            reader.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed, or belongs to the process that this one was forked from."""
        return self._engine.closed

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"n_ctx={self.n_ctx()}"
        return f"<Llama {self.model_path!r}, {state}>"

    def __enter__(self) -> Llama:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _saved_tokens(self, prompt: Prompt | Messages, tools: Sequence[object] | None) -> list[int]:
        if not isinstance(prompt, str) and any(isinstance(part, Mapping) for part in prompt):
            rendered = self.apply_chat_template(
                prompt,  # type: ignore[arg-type]
                tools=tools,
                add_generation_prompt=False,
            )
            return self._prompts.chat(rendered)
        return self._prompts.text(prompt)  # type: ignore[arg-type]


_OWN_OPTIONS = (
    "model", "model_path", "mmproj", "clip_model_path", "lora_path", "lora_scale",
    "draft_model", "prompt_cache", "chat_template", "chat_template_kwargs", "progress",
    "verbose", "ambient",
)  # fmt: skip


def _one_source(
    model: str | os.PathLike[str] | None, model_path: str | os.PathLike[str] | None
) -> str | os.PathLike[str]:
    if (model is None) == (model_path is None):
        raise OptionError("model", model, 'either model or model_path: a GGUF file, or "demo"')
    chosen = model if model is not None else model_path
    assert chosen is not None
    return chosen


def _at_most_one(
    option: str, given: str | os.PathLike[str] | None, other: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | None:
    if given is not None and other is not None:
        raise OptionError(option, given, "one file, under one name")
    return other if given is None else given


def _close(engine: Engine, embeddings: Embeddings, reader: Reader | None) -> None:
    engine.close()
    embeddings.close()
    if reader is not None:
        reader.close()


def _structured(messages: object, kind: type[_T]) -> Structured[_T]:
    if isinstance(messages, type):
        raise OptionError("messages", messages, "a list: parse(messages, kind), in this order")
    if isinstance(kind, (str, bytes, int, float, Sequence, Mapping)):
        raise OptionError("kind", kind, "a type: a Pydantic model, a TypedDict or a dataclass")
    return Structured(kind)


def _held_to(wanted: Structured[Any], options: ChatOptions) -> Any:
    """The options of a call whose answer is an instance."""
    if options.get("response_format") is not None or options.get("n", 1) != 1:
        raise OptionError("response_format or n", options, "neither: parse makes one instance")
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted.schema}}
    return {**options, "response_format": form}


def _free(adapters: Adapters, model: Model) -> None:
    adapters.close()
    model.close()


def _log_to_stderr() -> None:
    logger = logging.getLogger("llamaherd.native")
    if not any(type(h) is logging.StreamHandler for h in logger.handlers):
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
