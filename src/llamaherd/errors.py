"""Every exception that llamaherd raises on purpose.

LlamaHerdError
├── NativeLibraryError          libllama is missing, of another version, or lacks a symbol
├── ModelLoadError              a model file was refused, by Python's check or by llama.cpp
├── SavedPromptError            a saved prompt was made by another model or is damaged
├── ContextCreateError          llama.cpp could not make a context (memory, options)
├── RequestError                what a caller asked for cannot be done as asked
│   ├── OptionError             an option's value is of the wrong type or out of range (ValueError)
│   ├── UnknownOptionError      no such option; names the nearest one (TypeError)
│   ├── ContextLengthError      the prompt does not fit the context
│   ├── InputLengthError        a text to embed or rank is longer than the model reads
│   ├── MediaError              a picture or sound that cannot be read as it was given
│   ├── UnsupportedError        this model cannot do that (for instance: no FIM tokens)
│   ├── ChatTemplateError       the chat template refused the messages, or is itself broken
│   ├── GrammarError            a grammar or schema that cannot be enforced
│   ├── StructuredOutputError   an answer that is no instance of the type asked for
│   └── QueueFullError          too many requests wait already; try again later
├── DecodeError                 llama_decode failed; the message has its code
├── ServerError                 a llamaherd server refused or failed; has the HTTP status
│   ├── ServerUnreachableError  there is none at that address, or the line broke
│   └── ServerTimeoutError      it said nothing for too long
└── ClosedError                 a model was used, or a request ran, after close()

A request that ends with an error after it produced text carries that text in
``partial_text``, so that nothing is lost.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


class LlamaHerdError(Exception):
    """Base of all errors of llamaherd."""

    partial_text: str = ""
    """Text that the request had produced before the error."""


class NativeLibraryError(LlamaHerdError):
    """The llama.cpp library cannot be used; says what was found where and what to do."""


class ModelLoadError(LlamaHerdError):
    """A model file was refused.

    Attributes:
        path: the file.
        finding: what is wrong with it.
        remedy: what the user can do.
    """

    def __init__(self, path: str | os.PathLike[str], finding: str, remedy: str) -> None:
        self.path, self.finding, self.remedy = os.fspath(path), finding, remedy
        super().__init__(f"{self.path}: {finding.rstrip('.')}. {remedy}")


class SavedPromptError(LlamaHerdError):
    """A file of :meth:`Llama.save_prompt` cannot be used.

    Attributes:
        path: the file.
        finding: what is wrong with it.
    """

    def __init__(self, path: str | os.PathLike[str], finding: str) -> None:
        self.path, self.finding = os.fspath(path), finding
        super().__init__(f"{self.path}: {finding}. Save the prompt anew with this model")


class ContextCreateError(LlamaHerdError):
    """llama.cpp could not create a context with these options."""


class RequestError(LlamaHerdError):
    """What a caller asked for cannot be done as asked."""


class OptionError(RequestError, ValueError):
    """An option's value is of the wrong type or outside its range.

    Attributes:
        option: its name.
        value: what was given.
    """

    def __init__(self, option: str, value: object, expected: str) -> None:
        self.option, self.value = option, value
        super().__init__(f"{option}={_shown(value)}: expected {expected}")


def _shown(value: object) -> str:
    """A value for a message: short, and safe for integers that Python refuses to print."""
    try:
        text = repr(value)
    except ValueError:
        return f"({type(value).__name__})"
    return text if len(text) <= 200 else text[:200] + "..."


_NOT_HERE = {
    "chat_format": "the model's own template is used; chat_template= replaces it",
    "chat_handler": "mmproj= lets a model see and hear",
    "context_window": "use n_ctx",
    "embedding": "every model embeds: call embed()",
    "function_call": "use tool_choice",
    "functions": "use tools",
    "generate_kwargs": "give its entries as arguments",
    "logits_all": "log-probabilities come without it",
    "model_kwargs": "give its entries as arguments",
    "model_url": "give the path of a file that is here: nothing is downloaded",
    "n_seq_max": "use n_parallel",
    "penalize_nl": "no sampler knows it any more",
    "tfs_z": "no sampler knows it any more",
}
"""Options that other programs have, and what to do instead."""


class UnknownOptionError(RequestError, TypeError):
    """There is no option of that name; the message suggests the nearest one."""

    def __init__(self, option: str, known: Iterable[str]) -> None:
        self.option = option
        near = difflib.get_close_matches(option, list(known), n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else "see docs/options.md for all of them"
        super().__init__(f"unknown option {option!r}; {_NOT_HERE.get(option, hint)}")


class ContextLengthError(RequestError, ValueError):
    """The prompt does not fit the context.

    Attributes:
        prompt_tokens: length of the prompt.
        n_ctx: size of the context, both in tokens.
    """

    def __init__(self, prompt_tokens: int, n_ctx: int) -> None:
        self.prompt_tokens, self.n_ctx = prompt_tokens, n_ctx
        super().__init__(
            f"the prompt has {prompt_tokens} tokens and the context holds {n_ctx}, of which at "
            "least one must be left for the answer: shorten the prompt, or load the model with a "
            "larger n_ctx"
        )


class InputLengthError(RequestError, ValueError):
    """A text to embed or rank is longer than the model reads.

    Attributes:
        index: which of the texts.
        n_tokens: its length, with the tokens that the model expects around it.
        limit: the most that the model reads.
    """

    def __init__(self, index: int, n_tokens: int, limit: int) -> None:
        self.index, self.n_tokens, self.limit = index, n_tokens, limit
        super().__init__(
            f"text {index} has {n_tokens} tokens and the model reads at most {limit}: shorten it, "
            "or pass truncate=True to have its end left out"
        )


class MediaError(RequestError, ValueError):
    """A picture or a sound cannot be read as it was given.

    Attributes:
        place: where it stands, for instance ``messages[0].content[1]``.
        finding: what is wrong with it.
        remedy: what the caller can do.
    """

    def __init__(self, place: str, finding: str, remedy: str) -> None:
        self.place, self.finding, self.remedy = place, finding, remedy
        super().__init__(f"{place}: {finding}. {remedy}")


class UnsupportedError(RequestError):
    """This model cannot do what was asked; the message says what it lacks."""


class ChatTemplateError(RequestError, ValueError):
    """The chat template refused the messages, or is itself broken."""


class GrammarError(RequestError, ValueError):
    """A grammar or schema that cannot be enforced; the message says which part."""


class StructuredOutputError(RequestError, ValueError):
    """An answer is no instance of the type that was asked for; see ``partial_text``.

    Attributes:
        finish_reason: why the answer ended: "length" if it was cut off.
    """

    def __init__(self, text: str, finish_reason: str, finding: str) -> None:
        self.partial_text, self.finish_reason = text, finish_reason
        super().__init__(f"the answer (finish reason {finish_reason!r}) does not fit: {finding}")


class QueueFullError(RequestError):
    """Too many requests wait already: try again later, or raise ``max_queue``.

    Attributes:
        n_unfinished: requests that run or wait.
        most: how many may.
    """

    def __init__(self, n_unfinished: int, most: int) -> None:
        self.n_unfinished, self.most = n_unfinished, most
        super().__init__(
            f"{n_unfinished} requests run or wait, of at most {most} (n_parallel + max_queue): "
            "try again later, or load the model with a larger max_queue"
        )


class DecodeError(LlamaHerdError):
    """llama_decode failed.

    Attributes:
        code: its return value (llama.h: 1 no room in the cache, 2 aborted, negative: an error).
    """

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(f"llama_decode returned {code}: {message}")


class ServerError(LlamaHerdError):
    """A llamaherd server that was asked by :class:`llamaherd.remote.RemoteLlama` did not answer.

    Attributes:
        status: of HTTP; None if there was none.
    """

    def __init__(self, status: int | None, message: str) -> None:
        self.status = status
        super().__init__(message)


class ServerUnreachableError(ServerError):
    """There is no server at that address, or the connection broke."""


class ServerTimeoutError(ServerError):
    """The server said nothing for longer than the timeout."""


class ClosedError(LlamaHerdError):
    """A model, or a part of one, was used after ``close()``, or closed while a request ran."""
