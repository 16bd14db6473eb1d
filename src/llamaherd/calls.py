"""A caller's options as requests for the engine, and as the response that they make."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from llamaherd.adapters import Adapters
from llamaherd.ambient import Ambient
from llamaherd.chat import Prompt as ChatPrompt
from llamaherd.chat_answer import ChatAnswer
from llamaherd.chat_demand import ChatDemand, chat_demand
from llamaherd.completion import Choice, Completion, Echo
from llamaherd.constrain import Constrainer, ThoughtBudget, TokenConstraint
from llamaherd.declared import split_options
from llamaherd.engine import Ask, Engine, Request, Span, TokenSampler
from llamaherd.errors import OptionError
from llamaherd.media import Reader
from llamaherd.media_prompt import MediaPrompt
from llamaherd.model import IncrementalDetokenizer, Model
from llamaherd.params import (
    SEED_MAX,
    ChatParams,
    CompletionParams,
    ResponseParams,
    SamplingParams,
)
from llamaherd.prompts import Messages, Prompt, Prompts, as_list
from llamaherd.responses import ChatShape, Envelope, TextAnswer, TextShape

if TYPE_CHECKING:
    from llamaherd.engine.sampler import LogitsProcessor

_R = TypeVar("_R", bound=ResponseParams)
_Bound = Callable[[TokenConstraint | None], ThoughtBudget]


class Calls:
    """Turns calls into requests. Any thread; what is wrong with a call is found here.

    Args:
        defaults: sampling options of a call that does not say.
        model_name: what responses call the model.
        reader: of pictures and sounds; None: the model takes none.
    """

    def __init__(
        self,
        model: Model,
        engine: Engine,
        prompts: Prompts,
        adapters: Adapters,
        defaults: SamplingParams,
        ambient: Ambient,
        model_name: str,
        reader: Reader | None,
    ) -> None:
        self._model, self._engine, self._prompts = model, engine, prompts
        self._adapters, self._defaults, self._ambient = adapters, defaults, ambient
        self._model_name, self._reader = model_name, reader
        self._constrainer = Constrainer(model.vocab)

    def completion(
        self, prompt: Prompt | Sequence[Prompt], suffix: str | None, options: Mapping[str, Any]
    ) -> tuple[list[Ask], Completion]:
        """What ``create_completion`` asks for, and its response."""
        own, params = self._split(CompletionParams, options, "prompt", "suffix")
        n_probs = params.n_probs or None if own.logprobs is None else own.logprobs
        asks: list[Ask] = []
        choices: list[Choice] = []
        for each in as_list(prompt):
            tokens = self._prompt_tokens(each, suffix, own, params)
            asks += self.asks(tokens, params, n_probs, own, echo=own.echo)
            echo = Echo(self._prompts.as_text(each), tokens) if own.echo else None
            choices += [Choice(len(choices) + i, TextAnswer(), echo) for i in range(params.n)]
        return asks, self._response("cmpl", TextShape(), choices, asks, own, params.n)

    def chat(self, messages: Messages, options: Mapping[str, Any]) -> tuple[list[Ask], Completion]:
        """What ``create_chat_completion`` asks for, and its response.

        Takes seconds where there is a picture or sound that was not read before.
        """
        own, params = self._split(ChatParams, options, "messages")
        n_probs = (own.top_logprobs or 0) if own.logprobs else params.n_probs or None
        demand = chat_demand(own, params)
        form = self._prompts.chat_format
        wanted = {**form.thinking(own.enable_thinking, own.reasoning_effort)}
        wanted |= own.chat_template_kwargs
        media = MediaPrompt(messages, self._reader)
        safe, quoted = self._prompts.quote(media.messages)
        prompt = form.render(
            safe,
            tools=demand.tools,
            add_generation_prompt=own.add_generation_prompt,
            continue_final=own.continue_final_message,
            **wanted,
        )
        if demand.needs_grammar:
            lark = form.grammar(
                prompt,
                demand.callable_tools,
                required=demand.required,
                parallel=own.parallel_tool_calls,
                text=demand.text,
            )
            params = replace(params, grammar=lark, json_schema=None)
        shown = self._prompts.shown(prompt)
        if media.parts:
            self._engine.check_room(params.n)
        ids = media.read(prompt.text, self._engine.n_ctx)
        tokens = self._prompts.chat(prompt.text, quoted, ids)
        spans = media.spans(tokens)
        bound = self._thought_bound(own, prompt, demand, shown)
        asks = self.asks(tokens, params, n_probs, own, shown=shown, spans=spans, bound=bound)
        choices = [
            Choice(i, ChatAnswer(form.parser(prompt, demand.callable_tools), self._ambient.new_id))
            for i in range(params.n)
        ]
        return asks, self._response("chatcmpl", ChatShape(), choices, asks, own, params.n)

    def _response(
        self,
        kind: str,
        shape: TextShape | ChatShape,
        choices: list[Choice],
        asks: Sequence[Ask],
        own: ResponseParams,
        n: int,
    ) -> Completion:
        return Completion(
            self._envelope(kind, own.model),
            shape,
            choices,
            self._model.vocab,
            n=n,
            wants_logprobs=asks[0].request.n_probs is not None,
            include_usage=own.include_usage,
            return_tokens=own.return_tokens,
        )

    def _split(
        self, kind: type[_R], options: Mapping[str, Any], *also: str
    ) -> tuple[_R, SamplingParams]:
        """What a call says about its response, and the sampling options on top of the defaults."""
        own, sampling = split_options(options, kind, SamplingParams, also=(*also, "stream"))
        return kind(**own), replace(self._defaults, **sampling) if sampling else self._defaults

    def asks(
        self,
        tokens: Sequence[int],
        params: SamplingParams,
        n_probs: int | None,
        own: ResponseParams,
        *,
        echo: bool = False,
        shown: frozenset[int] = frozenset(),
        spans: Sequence[Span] = (),
        bound: _Bound | None = None,
    ) -> list[Ask]:
        """The ``n`` answers to a prompt.

        Args:
            bound: puts a further constraint around that of each.
        """
        most = own.max_prompt_tokens
        if most is not None and len(tokens) > most:
            expected = f"at most {most} tokens (max_prompt_tokens)"
            raise OptionError("prompt", f"{len(tokens)} tokens", expected)
        seed = self._seed(params)
        make = functools.partial(
            Request,
            tokens,
            adapters=self._adapters.key(own.lora),
            priority=own.priority,
            max_tokens=params.token_limit,
            n_probs=n_probs,
            prompt_logprobs=echo and n_probs is not None,
            reuse=own.cache_prompt,
            wants_progress=own.return_progress,
            wants_standing=own.timings_per_token,
            generation_limit_s=_seconds(params.t_max_predict_ms),
            spans=spans,
        )
        return [
            Ask(
                make(),
                self.sampler(params, seed + index, own.logits_processor or (), bound),
                params.stop_strings,
                params.deadline_s,
                shown,
            )
            for index in range(params.n)
        ]

    def _thought_bound(
        self, own: ChatParams, prompt: ChatPrompt, demand: ChatDemand, shown: frozenset[int]
    ) -> _Bound | None:
        """What keeps thoughts to their budget; a model without thoughts keeps to any."""
        form, vocab, n_tokens = self._prompts.chat_format, self._model.vocab, own.thought_limit
        end = form.thought_end(prompt)
        if n_tokens is None or not end:
            return None
        closing = vocab.tokenize(end, add_special=False, parse_special=True)

        def bound(inner: TokenConstraint | None) -> ThoughtBudget:
            parser = form.parser(prompt, demand.callable_tools)
            text = IncrementalDetokenizer(vocab, shown=shown)
            return ThoughtBudget(n_tokens, closing, parser, text, inner)

        return bound

    def sampler(
        self,
        params: SamplingParams,
        seed: int,
        processors: Sequence[LogitsProcessor],
        bound: _Bound | None = None,
    ) -> TokenSampler:
        """What draws the tokens of one answer.

        Raises:
            GrammarError: a grammar or schema that cannot be enforced.
        """
        constraint = self._constrainer.compile(
            grammar=params.grammar, json_schema=params.json_schema
        )
        return TokenSampler(
            self._model.vocab,
            params,
            n_ctx=self._engine.n_ctx,
            seed=seed % (SEED_MAX + 1),
            constraint=constraint if bound is None else bound(constraint),
            processors=processors,
        )

    def _seed(self, params: SamplingParams) -> int:
        return self._ambient.new_seed() if params.seed in (None, -1) else int(params.seed or 0)

    def _prompt_tokens(
        self, prompt: Prompt, suffix: str | None, own: CompletionParams, params: SamplingParams
    ) -> list[int]:
        if suffix is None:
            if own.input_extra:
                raise OptionError("input_extra", own.input_extra, "a suffix beside it")
            return self._prompts.text(prompt)
        room = self._engine.n_ctx - (params.token_limit or 1)
        return self._prompts.infill(prompt, suffix, own.input_extra or (), room)

    def _envelope(self, kind: str, model: str | None) -> Envelope:
        return Envelope(
            id=f"{kind}-{self._ambient.new_id()}",
            created=int(self._ambient.now()),
            model=model or self._model_name,
            fingerprint=self._model.runtime,
        )


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1e3
