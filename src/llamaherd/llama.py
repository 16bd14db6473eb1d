"""Llama: one loaded model behind an OpenAI-shaped interface."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from llamaherd.ambient import Ambient
from llamaherd.chat import ChatTemplate
from llamaherd.completion import (
    AsyncCompletionStream,
    Choice,
    Completion,
    CompletionStream,
    Echo,
    Stream,
)
from llamaherd.constrain import Constrainer
from llamaherd.engine import Engine, Request, TokenEvent, TokenSampler
from llamaherd.errors import OptionError, UnsupportedError
from llamaherd.model import Model
from llamaherd.params import (
    SEED_MAX,
    ChatParams,
    CompletionParams,
    ContextParams,
    ModelParams,
    ResponseParams,
    SamplingParams,
    split_options,
)
from llamaherd.responses import JSON, ChatShape, Envelope, TextShape

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llamaherd.engine.sampler import LogitsProcessor
    from llamaherd.options import ChatOptions, CompletionOptions, LoadOptions, SamplingOptions

Prompt = str | Sequence[int]
Messages = Sequence[Mapping[str, Any]]
_R = TypeVar("_R", bound=ResponseParams)


class Llama:
    """A GGUF model that answers. All methods may be called from any thread.

    Args:
        model: a path to a GGUF file (the first part of a split one), or ``"demo"`` for the model
            that comes with this package.
        model_path: another name for ``model``, as in llama-cpp-python.
        lora_path: a LoRA adapter for every request.
        lora_scale: its strength.
        chat_template: Jinja source that replaces the model's own.
        progress: called with the fraction loaded; without it, a slow load shows a bar on a
            terminal.
        verbose: native log lines on stderr. They go to ``logging`` in any case.
        ambient: clock, ids and seeds, to make runs repeatable.
        options: fields of :class:`ModelParams` and :class:`ContextParams`; fields of
            :class:`SamplingParams` become the defaults of every request (before them come the
            model file's own recommendations).

    Raises:
        ModelLoadError: the file is missing, damaged, or nothing llama.cpp can run.
        UnknownOptionError: an option that does not exist; names the nearest.
        OptionError: a value out of range.
        ContextCreateError: too little memory for the context.
        NativeLibraryError: there is no usable llama.cpp.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        model_path: str | os.PathLike[str] | None = None,
        lora_path: str | os.PathLike[str] | None = None,
        lora_scale: float = 1.0,
        chat_template: str | None = None,
        progress: Callable[[float], None] | None = None,
        verbose: bool = False,
        ambient: Ambient | None = None,
        **options: Unpack[LoadOptions],
    ) -> None:
        source = _one_source(model, model_path)
        chosen = split_options(
            options, ModelParams, ContextParams, SamplingParams, also=_OWN_OPTIONS
        )
        model_params = ModelParams(**chosen[0])
        context_params = ContextParams(**chosen[1])
        SamplingParams(**chosen[2])  # a bad default is an error before the weights are read
        if verbose:
            _log_to_stderr()
        self._ambient = ambient or Ambient()
        self._template_source = chat_template
        self.model_path = os.fspath(source)
        self.model = Model(source, model_params, progress=progress)
        self._constrainer = Constrainer(self.model.vocab)
        try:
            self.defaults = SamplingParams(**{**self.model.sampling_defaults, **chosen[2]})
            adapters = [(self.model.load_adapter(lora_path), lora_scale)] if lora_path else []
            self._engine = Engine(
                self.model, context_params, adapters=adapters, on_close=self.model.close
            )
        except BaseException:
            self.model.close()
            raise

    # -- answers ------------------------------------------------------------------------------

    @overload
    def create_completion(
        self,
        prompt: Prompt = ...,
        suffix: str | None = ...,
        *,
        stream: Literal[False] = ...,
        **options: Unpack[CompletionOptions],
    ) -> JSON: ...

    @overload
    def create_completion(
        self,
        prompt: Prompt = ...,
        suffix: str | None = ...,
        *,
        stream: Literal[True],
        **options: Unpack[CompletionOptions],
    ) -> CompletionStream: ...

    def create_completion(
        self,
        prompt: Prompt = "",
        suffix: str | None = None,
        *,
        stream: bool = False,
        **options: Unpack[CompletionOptions],
    ) -> JSON | CompletionStream:
        """Go on from a text, in the shape of OpenAI's completions API.

        Args:
            prompt: text (special tokens in it are read as such) or token ids.
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
        """
        response = CompletionStream(
            self._completion(prompt, suffix, options, self._engine.stream), self
        )
        return response if stream else response.whole()

    __call__ = create_completion

    async def acreate_completion(
        self,
        prompt: Prompt = "",
        suffix: str | None = None,
        *,
        stream: bool = False,
        **options: Unpack[CompletionOptions],
    ) -> Any:
        """:meth:`create_completion` for coroutines; with ``stream`` an async iterator of chunks."""
        response = AsyncCompletionStream(
            self._completion(prompt, suffix, options, self._engine.astream), self
        )
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
            messages: objects with ``role`` and ``content``.
            stream: return chunks as they are made.
            options: fields of :class:`SamplingParams` and :class:`ChatParams`.

        Raises:
            ChatTemplateError: the template refused the messages.
            UnsupportedError: the model has no chat template.
            RequestError: as :meth:`create_completion`.
        """
        response = CompletionStream(self._chat(messages, options, self._engine.stream), self)
        return response if stream else response.whole()

    async def acreate_chat_completion(
        self, messages: Messages, *, stream: bool = False, **options: Unpack[ChatOptions]
    ) -> Any:
        """:meth:`create_chat_completion` for coroutines; with ``stream`` an async iterator."""
        response = AsyncCompletionStream(self._chat(messages, options, self._engine.astream), self)
        return response if stream else await response.whole()

    def apply_chat_template(
        self,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The prompt that the model's chat template makes of a conversation.

        Raises:
            ChatTemplateError: the template refused the messages.
            UnsupportedError: the model has no chat template.
        """
        return self._template.render(
            messages, tools=tools, add_generation_prompt=add_generation_prompt, **variables
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
        prompt = self._prompt_tokens(tokens, None)
        (choice,) = self._choices(prompt, params, None, ResponseParams(), self._engine.stream)
        for event in choice.stream:
            if isinstance(event, TokenEvent):
                yield from event.tokens

    def cancel(self) -> None:
        """End every request now; each returns what it has, with finish reason ``cancelled``."""
        self._engine.cancel_all()

    # -- tokens -------------------------------------------------------------------------------

    def tokenize(self, text: str | bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """Token ids of a text.

        Args:
            add_bos: begin (and end) with the tokens that the model expects there.
            special: read the names of special tokens as those tokens.
        """
        return self.model.vocab.tokenize(text, add_special=add_bos, parse_special=special)

    def detokenize(self, tokens: Sequence[int], special: bool = False) -> bytes:
        """The text of token ids as UTF-8, which a cut may have left incomplete."""
        return self.model.vocab.detokenize(tokens, remove_special=not special, special=special)

    def token_bos(self) -> int | None:
        """The beginning-of-sequence token."""
        return self.model.vocab.special.bos

    def token_eos(self) -> int | None:
        """The end-of-sequence token."""
        return self.model.vocab.special.eos

    def token_nl(self) -> int | None:
        """The newline token."""
        return self.model.vocab.special.nl

    def n_vocab(self) -> int:
        """Size of the vocabulary."""
        return len(self.model.vocab)

    def n_ctx(self) -> int:
        """Size of the context, in tokens."""
        return self._engine.n_ctx

    def n_embd(self) -> int:
        """Width of the model's hidden state."""
        return self.model.n_embd

    @property
    def metadata(self) -> Mapping[str, str]:
        """The model file's scalar metadata."""
        return self.model.metadata

    # -- life ---------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the prompts that are kept in memory for reuse."""
        self._engine.forget()

    def close(self) -> None:
        """Cancel what runs, stop the engine and free all native memory. May be called twice."""
        if hasattr(self, "_engine"):
            self._engine.close()

    def __enter__(self) -> Llama:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    # -- one request --------------------------------------------------------------------------

    def _completion(
        self,
        prompt: Prompt,
        suffix: str | None,
        options: Mapping[str, Any],
        open_stream: Callable[..., Stream],
    ) -> Completion[Stream]:
        own, params = self._split(CompletionParams, options, "prompt", "suffix")
        n_probs = params.n_probs or None if own.logprobs is None else own.logprobs
        tokens = self._prompt_tokens(prompt, suffix)
        return Completion(
            self._envelope("cmpl", own.model),
            TextShape(),
            self._choices(tokens, params, n_probs, own, open_stream, echo=own.echo),
            self.model.vocab,
            echo=Echo(self._prompt_text(prompt, tokens), tokens) if own.echo else None,
            wants_logprobs=n_probs is not None,
            include_usage=own.include_usage,
        )

    def _chat(
        self, messages: Messages, options: Mapping[str, Any], open_stream: Callable[..., Stream]
    ) -> Completion[Stream]:
        own, params = self._split(ChatParams, options, "messages")
        n_probs = (own.top_logprobs or 0) if own.logprobs else params.n_probs or None
        tokens = self._chat_tokens(self.apply_chat_template(messages, **own.chat_template_kwargs))
        return Completion(
            self._envelope("chatcmpl", own.model),
            ChatShape(),
            self._choices(tokens, params, n_probs, own, open_stream),
            self.model.vocab,
            wants_logprobs=n_probs is not None,
            include_usage=own.include_usage,
        )

    def _split(
        self, kind: type[_R], options: Mapping[str, Any], *also: str
    ) -> tuple[_R, SamplingParams]:
        """What a call says about its response, and the sampling options on top of the defaults."""
        own, sampling = split_options(options, kind, SamplingParams, also=(*also, "stream"))
        return kind(**own), replace(self.defaults, **sampling) if sampling else self.defaults

    def _choices(
        self,
        tokens: Sequence[int],
        params: SamplingParams,
        n_probs: int | None,
        own: ResponseParams,
        open_stream: Callable[..., Stream],
        *,
        echo: bool = False,
    ) -> list[Choice[Stream]]:
        make = functools.partial(
            Request,
            tokens,
            max_tokens=params.token_limit,
            n_probs=n_probs,
            prompt_logprobs=echo and n_probs is not None,
            generation_limit_s=_seconds(params.t_max_predict_ms),
        )
        choices: list[Choice[Stream]] = []
        seed = self._seed(params)
        for index in range(params.n):
            sampler = self._sampler(params, seed + index, own.logits_processor or ())
            stream = open_stream(
                make, sampler, stops=params.stop_strings, deadline_s=params.deadline_s
            )
            choices.append(Choice(index, stream))
        return choices

    def _sampler(
        self, params: SamplingParams, seed: int, processors: Sequence[LogitsProcessor]
    ) -> TokenSampler:
        constraint = self._constrainer.compile(
            grammar=params.grammar, json_schema=params.json_schema
        )
        return TokenSampler(
            self.model.vocab,
            params,
            n_ctx=self._engine.n_ctx,
            seed=seed % (SEED_MAX + 1),
            constraint=constraint,
            processors=processors,
        )

    def _seed(self, params: SamplingParams) -> int:
        return self._ambient.new_seed() if params.seed in (None, -1) else int(params.seed or 0)

    def _prompt_tokens(self, prompt: Prompt, suffix: str | None) -> list[int]:
        vocab = self.model.vocab
        if suffix is not None:
            return self._infill_tokens(prompt, suffix)
        if isinstance(prompt, str):
            tokens = vocab.tokenize(prompt, add_special=True, parse_special=True)
        else:
            tokens = vocab.all_checked(prompt, name="prompt")
        if not tokens and vocab.special.bos is not None:
            tokens = [vocab.special.bos]
        if not tokens:
            raise OptionError("prompt", prompt, "at least one token: this model has no BOS token")
        return tokens

    def _infill_tokens(self, prompt: Prompt, suffix: str) -> list[int]:
        """Prefix, suffix, middle: the order that llama.cpp's own infill uses."""
        vocab, special = self.model.vocab, self.model.vocab.special
        marks = special.fim_prefix, special.fim_suffix, special.fim_middle
        if None in marks:
            raise UnsupportedError(
                f"{self.model_path} has no fill-in-the-middle tokens, so it cannot take a suffix"
            )
        before = self._plain_tokens("prompt", prompt)
        after = self._plain_tokens("suffix", suffix)
        begin = [vocab.special.bos] if vocab.adds_bos else []
        parts = [*begin, marks[0], *before, marks[1], *after, marks[2]]
        return [token for token in parts if token is not None]

    def _plain_tokens(self, name: str, text: Prompt) -> list[int]:
        vocab = self.model.vocab
        if isinstance(text, str):
            return vocab.tokenize(text, add_special=False, parse_special=False)
        return vocab.all_checked(text, name=name)

    def _chat_tokens(self, prompt: str) -> list[int]:
        """A rendered conversation; the template may have written the BOS token itself."""
        vocab = self.model.vocab
        tokens = vocab.tokenize(prompt, add_special=True, parse_special=True)
        bos = vocab.special.bos
        return tokens[1:] if bos is not None and tokens[:2] == [bos, bos] else tokens

    def _prompt_text(self, prompt: Prompt, tokens: Sequence[int]) -> str:
        if isinstance(prompt, str):
            return prompt
        pieces = (self.model.vocab.token_bytes(token, special=True) for token in tokens)
        return b"".join(pieces).decode("utf-8", "replace")

    def _envelope(self, kind: str, model: str | None) -> Envelope:
        return Envelope(
            id=f"{kind}-{self._ambient.new_id()}",
            created=int(self._ambient.now()),
            model=model or self.model_path,
            fingerprint=self.model.runtime,
        )

    @functools.cached_property
    def _template(self) -> ChatTemplate:
        source = self._template_source or self.model.chat_templates.get("default")
        if source is None:
            raise UnsupportedError(
                f"{self.model_path} has no chat template: pass chat_template=, or use "
                "create_completion with a prompt of your own"
            )
        special = self.model.vocab.special
        return ChatTemplate(
            source,
            bos=self._special_text(special.bos),
            eos=self._special_text(special.eos),
            now=self._ambient.now,
        )

    def _special_text(self, token: int | None) -> str:
        return "" if token is None else self.model.vocab.token_text(token)


_OWN_OPTIONS = (
    "model", "model_path", "lora_path", "lora_scale", "chat_template", "progress", "verbose",
    "ambient",
)  # fmt: skip


def _one_source(
    model: str | os.PathLike[str] | None, model_path: str | os.PathLike[str] | None
) -> str | os.PathLike[str]:
    if (model is None) == (model_path is None):
        raise OptionError("model", model, 'either model or model_path: a GGUF file, or "demo"')
    chosen = model if model is not None else model_path
    assert chosen is not None
    return chosen


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1e3


def _log_to_stderr() -> None:
    logger = logging.getLogger("llamaherd.native")
    if not any(type(h) is logging.StreamHandler for h in logger.handlers):
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
