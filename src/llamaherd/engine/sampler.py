"""SamplingParams as a llama_sampler chain; masks before it, log-probabilities beside it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from llamaherd.engine.logprobs import token_logprob
from llamaherd.engine.request import Request, TokenLogprob
from llamaherd.engine.runner import Runner
from llamaherd.errors import DecodeError, LlamaHerdError, OptionError, RequestError
from llamaherd.model import Vocab
from llamaherd.native import bindings as c
from llamaherd.native.handles import SamplerChain
from llamaherd.params import SamplingParams

Logits = npt.NDArray[np.float32]
LogitsProcessor = Callable[[npt.NDArray[np.intc], Logits], Logits | None]
LEAST_TEMPERATURE = 1e-6  # below it a draw is certain, and float32 would overflow
MOST_BIAS = 1e6  # beyond it a token is certain or banned, and float32 would overflow
MIROSTAT_CANDIDATES = 100  # m in the paper's estimate of s; llama.cpp's tools use the same


class Constraint(Protocol):
    """What an answer must look like, one token at a time (built by ``constrain``)."""

    def mask(self, logits: Logits) -> None:
        """Set the logits of impossible next tokens to minus infinity, in place."""

    def accept(self, token: int) -> None:
        """The token was drawn."""

    def forced(self) -> Sequence[int]:
        """The tokens that must come next, whatever the model says; none if it has a choice."""

    @property
    def finished(self) -> bool:
        """Whether nothing can follow any more."""


class TokenSampler:
    """Draws the tokens of one request.

    Built on any thread, then used by the engine's only, and closed by it.

    Args:
        n_ctx: context in tokens, for windows that mean all of it.
        seed: of the draw.
        constraint: masks the logits before any sampler sees them.
        processors: called with (ids so far, logits) on the engine's thread; their result replaces
            the logits. They slow everyone down, since all requests wait for them.

    Attributes:
        is_constrained: whether there is a constraint, which may force tokens and may be finished.

    Raises:
        OptionError: a biased token that the vocabulary does not have.
    """

    def __init__(
        self,
        vocab: Vocab,
        params: SamplingParams,
        *,
        n_ctx: int,
        seed: int,
        constraint: Constraint | None = None,
        processors: Sequence[LogitsProcessor] = (),
    ) -> None:
        self._params, self._n_ctx = params, n_ctx
        self._constraint, self._processors = constraint, processors
        self.is_constrained = constraint is not None
        self.chain = SamplerChain()
        biases = _biases(vocab, params)
        self._banned = {token for token, bias in biases.items() if bias == -np.inf}
        self._biased = np.fromiter(biases, dtype=np.intp, count=len(biases))
        self._biases = np.fromiter(biases.values(), dtype=np.float32, count=len(biases))
        # Only the likeliest token is wanted: llama.cpp would copy the vocabulary to find it.
        looks_back = _penalty_window(params, n_ctx) or _dry_window(params, n_ctx)
        self._looks_back, self._primed = bool(looks_back), False
        self._argmax = _is_greedy(params) and not params.mirostat and not looks_back
        with vocab.held():
            _fill(self.chain, vocab, params, biases, n_ctx, seed)
        self._sample = c.llama_sampler_sample

    @property
    def finished(self) -> bool:
        """Whether the constraint is satisfied and allows nothing more."""
        return self._constraint is not None and self._constraint.finished

    def close(self) -> None:
        """Free the chain."""
        self.chain.close()

    def prime(self, tokens: Sequence[int]) -> None:
        """Let the samplers that look back see the prompt, and what was forced behind it."""
        self._primed = True
        window = max(
            _penalty_window(self._params, self._n_ctx), _dry_window(self._params, self._n_ctx)
        )
        for token in _text_only(tokens)[-window:] if window else ():
            c.llama_sampler_accept(self.chain.pointer, token)

    def draw(
        self, runner: Runner, row: int, tokens: Sequence[int], n_probs: int | None
    ) -> tuple[int, TokenLogprob | None]:
        """The next token after ``tokens``, from the logits at ``row``, and its log-probability.

        Raises:
            whatever a logits processor raises.
        """
        logits = runner.logits(row)
        raw = logits.copy() if n_probs is not None else None
        if self._constraint is not None or self._processors:
            self._rewrite(logits, tokens)
        if self._argmax:
            token = self._likeliest(logits)
        else:
            token = int(self._sample(self.chain.pointer, runner.context, row))
        logit = float(logits[token])
        if token in self._banned or not logit > -np.inf:
            raise self._nothing_to_draw(token, logit)
        if self._constraint is not None:
            self._constraint.accept(token)
        return token, None if raw is None else token_logprob(raw, token, n_probs or 0)

    def forced(self, request: Request, n_ctx: int) -> Sequence[int]:
        """What the constraint determines to follow a request's tokens: nobody needs to draw it.

        None of it where log-probabilities are wanted, which only drawing gives.
        """
        if self._constraint is None or request.n_probs is not None:
            return ()
        found: list[int] = []
        room = request.room(n_ctx)
        for token in self._constraint.forced():
            if len(found) == room or token in self._banned:
                break
            self._constraint.accept(token)
            if self._looks_back and self._primed:
                c.llama_sampler_accept(self.chain.pointer, token)
            found.append(token)
        return found

    def _likeliest(self, logits: Logits) -> int:
        if len(self._biased):
            logits[self._biased] += self._biases
        return int(logits.argmax())

    def _nothing_to_draw(self, token: int, logit: float) -> LlamaHerdError:
        """Native samplers always pick something, also where there is nothing to pick."""
        if token in self._banned:
            return RequestError("every token that could follow is banned (logit_bias, ignore_eos)")
        if logit != logit:
            return DecodeError(
                0, "the model computed no number: damaged weights or extreme options"
            )
        return RequestError("every token that could follow is excluded")

    def _rewrite(self, logits: Logits, tokens: Sequence[int]) -> None:
        for processor in self._processors:
            _apply(processor, logits, tokens)
        if self._processors:
            # NaN compares false with everything and would send native code past its own checks.
            np.nan_to_num(
                logits, copy=False, nan=-np.inf, posinf=np.finfo(np.float32).max, neginf=-np.inf
            )
        if self._constraint is not None:
            self._constraint.mask(logits)


def _text_only(tokens: Sequence[int]) -> list[int]:
    """Without the ids that stand for embeddings, which no sampler and no processor knows."""
    return [token for token in tokens if token >= 0]


def _apply(processor: LogitsProcessor, logits: Logits, tokens: Sequence[int]) -> None:
    """A processor gets a copy: it may keep what it was given, and native memory moves on."""
    copy = logits.copy()
    made = processor(np.asarray(_text_only(tokens), dtype=np.intc), copy)
    made = copy if made is None else np.asarray(made)
    if made.shape != logits.shape or made.dtype.kind not in "fiu":
        name = getattr(processor, "__name__", type(processor).__name__)
        raise OptionError("logits_processor", name, f"{len(logits)} numbers, or None for in place")
    with np.errstate(over="ignore"):
        logits[:] = made


def _fill(
    chain: SamplerChain,
    vocab: Vocab,
    params: SamplingParams,
    biases: Mapping[int, float],
    n_ctx: int,
    seed: int,
) -> None:
    if biases:
        entries = (c.llama_logit_bias(token, bias) for token, bias in biases.items())
        array = (c.llama_logit_bias * len(biases))(*entries)
        chain.add(c.llama_sampler_init_logit_bias(len(vocab), len(biases), array))
    if params.mirostat:
        chain.add(c.llama_sampler_init_temp(params.temperature))
        chain.add(_mirostat(vocab, params, seed))
        return
    greedy = _is_greedy(params)
    for name in params.samplers:
        wanted = not greedy or name in _LOOKING_BACK
        if wanted and (sampler := _SAMPLERS[name](vocab, params, n_ctx, seed)):
            chain.add(sampler)
    chain.add(_last(params, greedy, seed))


def _is_greedy(params: SamplingParams) -> bool:
    return params.temperature < LEAST_TEMPERATURE


def _last(params: SamplingParams, greedy: bool, seed: int) -> Any:
    """The sampler that picks the token."""
    if greedy:
        return c.llama_sampler_init_greedy()
    if params.adaptive_target >= 0:
        return c.llama_sampler_init_adaptive_p(params.adaptive_target, params.adaptive_decay, seed)
    return c.llama_sampler_init_dist(seed)


def _mirostat(vocab: Vocab, params: SamplingParams, seed: int) -> Any:
    tau, eta = params.mirostat_tau, params.mirostat_eta
    if params.mirostat == 1:
        return c.llama_sampler_init_mirostat(len(vocab), seed, tau, eta, MIROSTAT_CANDIDATES)
    return c.llama_sampler_init_mirostat_v2(seed, tau, eta)


def _biases(vocab: Vocab, params: SamplingParams) -> dict[int, float]:
    biases = {_token_id(vocab, key): _bias(key, v) for key, v in params.logit_bias.items()}
    banned = {*vocab.suppressed_tokens, *(vocab.end_tokens if params.ignore_eos else ())}
    return {**biases, **dict.fromkeys(banned, -np.inf)}


def _token_id(vocab: Vocab, key: object) -> int:
    """OpenAI's JSON has ids as strings."""
    token = int(key) if isinstance(key, str) and key.isdecimal() else key
    if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < len(vocab):
        raise OptionError("logit_bias", key, f"token ids from 0 to {len(vocab) - 1}")
    return token


def _bias(key: object, value: object) -> float:
    if value is False:
        return -np.inf
    if value is True or not isinstance(value, (int, float)) or not value <= MOST_BIAS:
        expected = f"a number up to {MOST_BIAS:g}, or False to ban the token"
        raise OptionError(f"logit_bias[{key!r}]", value, expected)
    bias = float(value)
    return bias if bias >= -MOST_BIAS else -np.inf


def _penalty_window(p: SamplingParams, n_ctx: int) -> int:
    """Tokens that penalties look back at; 0: they are off."""
    off = (p.repeat_penalty, p.frequency_penalty, p.presence_penalty) == (1, 0, 0)
    return 0 if off or "penalties" not in p.samplers else _window(p.repeat_last_n, n_ctx)


def _dry_window(p: SamplingParams, n_ctx: int) -> int:
    """Tokens that DRY looks back at; 0: it is off."""
    off = not p.dry_multiplier or "dry" not in p.samplers
    return 0 if off else _window(p.dry_penalty_last_n, n_ctx)


def _window(last_n: int, n_ctx: int) -> int:
    return n_ctx if last_n == -1 else min(last_n, n_ctx)


def _penalties(vocab: Vocab, p: SamplingParams, n_ctx: int, seed: int) -> Any:
    if not (window := _penalty_window(p, n_ctx)):
        return None
    return c.llama_sampler_init_penalties(
        len(vocab), window, p.repeat_penalty, p.frequency_penalty, p.presence_penalty
    )


def _dry(vocab: Vocab, p: SamplingParams, n_ctx: int, seed: int) -> Any:
    if not (window := _dry_window(p, n_ctx)):
        return None
    breakers = [s.encode() for s in p.dry_sequence_breakers]
    array = (ctypes.c_char_p * len(breakers))(*breakers)
    return c.llama_sampler_init_dry(
        vocab.pointer, p.dry_multiplier, p.dry_base, p.dry_allowed_length, window, array, len(array)
    )


def _top_n_sigma(vocab: Vocab, p: SamplingParams, n_ctx: int, seed: int) -> Any:
    return c.llama_sampler_init_top_n_sigma(p.top_n_sigma) if p.top_n_sigma >= 0 else None


def _xtc(vocab: Vocab, p: SamplingParams, n_ctx: int, seed: int) -> Any:
    if not p.xtc_probability:
        return None
    return c.llama_sampler_init_xtc(p.xtc_probability, p.xtc_threshold, p.min_keep, seed)


_LOOKING_BACK = ("penalties", "dry")
_SAMPLERS: Mapping[str, Callable[[Vocab, SamplingParams, int, int], Any]] = {
    "penalties": _penalties,
    "dry": _dry,
    "top_n_sigma": _top_n_sigma,
    "top_k": lambda v, p, n, s: c.llama_sampler_init_top_k(p.top_k),
    "typ_p": lambda v, p, n, s: c.llama_sampler_init_typical(p.typical_p, p.min_keep),
    "top_p": lambda v, p, n, s: c.llama_sampler_init_top_p(p.top_p, p.min_keep),
    "min_p": lambda v, p, n, s: c.llama_sampler_init_min_p(p.min_p, p.min_keep),
    "xtc": _xtc,
    "temperature": lambda v, p, n, s: c.llama_sampler_init_temp_ext(
        p.temperature, p.dynatemp_range, p.dynatemp_exponent
    ),
    "infill": lambda v, p, n, s: c.llama_sampler_init_infill(v.pointer),
}
