"""Llama: one loaded model behind an OpenAI-shaped interface."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from llamaherd.ambient import Ambient
from llamaherd.chat import ChatTemplate
from llamaherd.completion import Choice, Completion, CompletionStream, Echo
from llamaherd.constrain import Constrainer
from llamaherd.engine import Engine, Request, TokenEvent, TokenSampler, TokenStream
from llamaherd.errors import OptionError, UnsupportedError
from llamaherd.model import Model
from llamaherd.params import (
    ContextParams,
    ModelParams,
    SamplingParams,
    split_options,
)
from llamaherd.responses import JSON, ChatShape, Envelope, TextShape

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llamaherd.engine.sampler import LogitsProcessor
    from llamaherd.options import LoadOptions, SamplingOptions

Prompt = str | Sequence[int]
Messages = Sequence[Mapping[str, Any]]


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

    # -- completions --------------------------------------------------------------------------

    @overload
    def create_completion(
        self,
        prompt: Prompt = ...,
        suffix: str | None = ...,
        *,
        echo: bool = ...,
        logprobs: int | None = ...,
        stream: Literal[False] = ...,
        stream_options: Mapping[str, Any] | None = ...,
        model: str | None = ...,
        logits_processor: Sequence[LogitsProcessor] | None = ...,
        **options: Unpack[SamplingOptions],
    ) -> JSON: ...

    @overload
    def create_completion(
        self,
        prompt: Prompt = ...,
        suffix: str | None = ...,
        *,
        echo: bool = ...,
        logprobs: int | None = ...,
        stream: Literal[True],
        stream_options: Mapping[str, Any] | None = ...,
        model: str | None = ...,
        logits_processor: Sequence[LogitsProcessor] | None = ...,
        **options: Unpack[SamplingOptions],
    ) -> CompletionStream: ...

    def create_completion(
        self,
        prompt: Prompt = "",
        suffix: str | None = None,
        *,
        echo: bool = False,
        logprobs: int | None = None,
        stream: bool = False,
        stream_options: Mapping[str, Any] | None = None,
        model: str | None = None,
        logits_processor: Sequence[LogitsProcessor] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> JSON | CompletionStream:
        """Go on from a text, in the shape of OpenAI's completions API.

        Args:
            prompt: text (special tokens in it are read as such) or token ids.
            suffix: text that follows the gap to fill, by the model's own FIM tokens.
            echo: put the prompt before the answer; with ``logprobs`` also its log-probabilities.
            logprobs: log-probabilities, with so many likeliest alternatives.
            stream: return chunks as they are made.
            stream_options: ``{"include_usage": True}`` ends a stream with token counts.
            model: name to give in the response.
            logits_processor: functions of (ids, logits) that return new logits; they run on the
                engine's thread and slow every caller down.
            options: fields of :class:`SamplingParams`.

        Returns:
            A dictionary, or with ``stream`` an iterator of them.

        Raises:
            ContextLengthError: the prompt does not fit the context.
            OptionError, UnknownOptionError: a bad option.
            GrammarError: a grammar or schema that cannot be enforced.
            UnsupportedError: ``suffix`` with a model that has no FIM tokens.
        """
        params = self._sampling(options)
        n_probs = _n_probs(logprobs, params)
        tokens = self._prompt_tokens(prompt, suffix)
        shown = Echo(self._prompt_text(prompt, tokens), tokens) if echo else None
        completion = Completion(
            self._envelope("cmpl", model),
            TextShape(),
            self._choices(tokens, params, n_probs, shown, logits_processor or ()),
            self.model.vocab,
            wants_logprobs=n_probs is not None,
            include_usage=_include_usage(stream_options),
        )
        return CompletionStream(completion) if stream else completion.whole()

    __call__ = create_completion

    @overload
    def create_chat_completion(
        self,
        messages: Messages,
        *,
        logprobs: bool | None = ...,
        top_logprobs: int | None = ...,
        stream: Literal[False] = ...,
        stream_options: Mapping[str, Any] | None = ...,
        model: str | None = ...,
        logits_processor: Sequence[LogitsProcessor] | None = ...,
        chat_template_kwargs: Mapping[str, Any] | None = ...,
        **options: Unpack[SamplingOptions],
    ) -> JSON: ...

    @overload
    def create_chat_completion(
        self,
        messages: Messages,
        *,
        logprobs: bool | None = ...,
        top_logprobs: int | None = ...,
        stream: Literal[True],
        stream_options: Mapping[str, Any] | None = ...,
        model: str | None = ...,
        logits_processor: Sequence[LogitsProcessor] | None = ...,
        chat_template_kwargs: Mapping[str, Any] | None = ...,
        **options: Unpack[SamplingOptions],
    ) -> CompletionStream: ...

    def create_chat_completion(
        self,
        messages: Messages,
        *,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        stream: bool = False,
        stream_options: Mapping[str, Any] | None = None,
        model: str | None = None,
        logits_processor: Sequence[LogitsProcessor] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> JSON | CompletionStream:
        """Answer a conversation, in the shape of OpenAI's chat completions API.

        Args:
            messages: objects with ``role`` and ``content``.
            logprobs: log-probabilities of the answer's tokens.
            top_logprobs: with so many likeliest alternatives each.
            chat_template_kwargs: further variables for the model's template.

        The other arguments and the errors are those of :meth:`create_completion`; besides:

        Raises:
            ChatTemplateError: the template refused the messages.
            UnsupportedError: the model has no chat template.
        """
        if top_logprobs is not None and not logprobs:
            raise OptionError("top_logprobs", top_logprobs, "logprobs=True beside it")
        params = self._sampling(options)
        n_probs = _n_probs((top_logprobs or 0) if logprobs else None, params)
        prompt = self.apply_chat_template(messages, **(chat_template_kwargs or {}))
        tokens = self._chat_tokens(prompt)
        completion = Completion(
            self._envelope("chatcmpl", model),
            ChatShape(),
            self._choices(tokens, params, n_probs, None, logits_processor or ()),
            self.model.vocab,
            wants_logprobs=n_probs is not None,
            include_usage=_include_usage(stream_options),
        )
        return CompletionStream(completion) if stream else completion.whole()

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
        """Token ids as they are drawn, up to the end of the answer or the consumer's patience."""
        stream = self._stream(list(tokens), self._sampling(options), None, seed_step=0)
        for event in stream:
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

    def _sampling(self, options: Mapping[str, Any]) -> SamplingParams:
        (chosen,) = split_options(options, SamplingParams, also=_OWN_CALL_OPTIONS)
        return replace(self.defaults, **chosen) if chosen else self.defaults

    def _choices(
        self,
        tokens: Sequence[int],
        params: SamplingParams,
        n_probs: int | None,
        echo: Echo | None,
        processors: Sequence[LogitsProcessor],
    ) -> list[Choice]:
        choices: list[Choice] = []
        for index in range(params.n):
            stream = self._stream(
                tokens,
                params,
                n_probs,
                seed_step=index,
                prompt_logprobs=echo is not None and n_probs is not None,
                processors=processors,
            )
            choices.append(Choice(index, stream, echo))
        return choices

    def _stream(
        self,
        tokens: Sequence[int],
        params: SamplingParams,
        n_probs: int | None,
        *,
        seed_step: int,
        prompt_logprobs: bool = False,
        processors: Sequence[LogitsProcessor] = (),
    ) -> TokenStream:
        constraint = self._constrainer.compile(
            grammar=params.grammar, json_schema=params.json_schema
        )
        sampler = TokenSampler(
            self.model.vocab,
            params,
            n_ctx=self._engine.n_ctx,
            seed=self._seed(params) + seed_step,
            constraint=constraint,
            processors=processors,
        )
        limit_ms = params.t_max_predict_ms
        make = functools.partial(
            Request,
            tokens,
            max_tokens=params.token_limit,
            n_probs=n_probs,
            prompt_logprobs=prompt_logprobs,
            generation_limit_s=None if limit_ms is None else limit_ms / 1e3,
        )
        return self._engine.stream(
            make, sampler, stops=params.stop_strings, deadline_s=params.deadline_s
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
            tokens = vocab.all_checked(prompt)
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
        before = self._plain_tokens(prompt)
        after = self._plain_tokens(suffix)
        begin = [vocab.special.bos] if vocab.adds_bos else []
        parts = [*begin, marks[0], *before, marks[1], *after, marks[2]]
        return [token for token in parts if token is not None]

    def _plain_tokens(self, text: Prompt) -> list[int]:
        vocab = self.model.vocab
        if isinstance(text, str):
            return vocab.tokenize(text, add_special=False, parse_special=False)
        return vocab.all_checked(text)

    def _chat_tokens(self, prompt: str) -> list[int]:
        """A rendered conversation; the template may have written the BOS token itself."""
        vocab = self.model.vocab
        tokens = vocab.tokenize(prompt, add_special=True, parse_special=True)
        bos = vocab.special.bos
        return tokens[1:] if bos is not None and tokens[:2] == [bos, bos] else tokens

    def _prompt_text(self, prompt: Prompt, tokens: Sequence[int]) -> str:
        if isinstance(prompt, str):
            return prompt
        return self.model.vocab.detokenize(tokens).decode("utf-8", "replace")

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
_OWN_CALL_OPTIONS = (
    "prompt", "suffix", "messages", "echo", "logprobs", "top_logprobs", "stream",
    "stream_options", "model", "logits_processor", "chat_template_kwargs",
)  # fmt: skip


def _one_source(
    model: str | os.PathLike[str] | None, model_path: str | os.PathLike[str] | None
) -> str | os.PathLike[str]:
    if (model is None) == (model_path is None):
        raise OptionError("model", model, 'either model or model_path: a GGUF file, or "demo"')
    chosen = model if model is not None else model_path
    assert chosen is not None
    return chosen


def _n_probs(asked: int | None, params: SamplingParams) -> int | None:
    """How many likeliest tokens to report; None: no log-probabilities at all."""
    if asked is not None:
        return SamplingParams(n_probs=asked).n_probs  # the range is declared there
    return params.n_probs or None


def _include_usage(stream_options: Mapping[str, Any] | None) -> bool:
    return bool(stream_options and stream_options.get("include_usage"))


def _log_to_stderr() -> None:
    logger = logging.getLogger("llamaherd.native")
    if not any(type(h) is logging.StreamHandler for h in logger.handlers):
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
