"""Which model the classes here run: their fields about loading, and the model behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from langchain_core.utils import secret_from_env
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

from llamaherd.declared import Params, split_options
from llamaherd.errors import OptionError, UnknownOptionError
from llamaherd.langchain.header import header
from llamaherd.llama import Llama
from llamaherd.params import (
    ContextParams,
    MediaParams,
    ModelParams,
)
from llamaherd.remote import RemoteLlama
from llamaherd.shared import OWN, shared_llama

NAMED_OTHERWISE = {"model", "model_path", "progress", "verbose", "ambient"}
"""Options of Llama that are fields here, or that no dump could hold."""

AnyLlama = Llama | RemoteLlama


class Held(dict[str, AnyLlama]):
    """Models in use, by name. Copies of an object share them, pickles leave them out, and they make
    no two objects differ."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held)

    def __deepcopy__(self, _memo: object) -> Held:
        return Held(self)

    def __reduce__(self) -> tuple[type[Held], tuple[()]]:
        return Held, ()


class ModelSource(BaseModel):
    """A GGUF file in this process, or a model of a llamaherd server.

    Any option of :class:`llamaherd.Llama` may be given beside the fields; it is kept in
    ``model_kwargs``. Fields that are None leave the choice to the model's file and to llamaherd.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    further: ClassVar[tuple[type[Params], ...]] = ()
    """What options of a call may be given to the constructor as well."""

    model_path: str | None = None
    """A GGUF file, or "demo" for the bundled model."""
    model: str | None = None
    """Another name for ``model_path``; with ``base_url``, one of the server's models."""
    base_url: str | None = None
    """A llamaherd server, for instance http://127.0.0.1:8080, that runs the model instead."""
    api_key: SecretStr | None = Field(
        default_factory=secret_from_env("LLAMAHERD_API_KEY", default=None)
    )
    """The server's key; left out: the environment's LLAMAHERD_API_KEY."""
    timeout: float | None = None
    """Seconds an answer may take; what there is by then is returned."""
    max_retries: int = 2
    """How often a request is repeated that the server was too busy for, or could not be reached
    with. In this process a request waits its turn instead."""
    client: Any = Field(default=None, exclude=True)
    """A :class:`llamaherd.Llama` that is loaded already; no part of a dump."""

    n_ctx: int | None = None
    """Context in tokens; None: the model's own, as far as memory allows."""
    n_parallel: int | None = 16
    """Answers that are drawn at the same time; more wait their turn."""
    n_batch: int | None = None
    """Most tokens read at a time."""
    n_threads: int | None = None
    n_gpu_layers: int | None = None
    """None: all, where there is a GPU."""
    lora_path: str | None = None
    rope_freq_base: float | None = None
    """None: from the model."""
    rope_freq_scale: float | None = None
    """None: from the model."""
    use_mmap: bool | None = None
    use_mlock: bool | None = None
    vocab_only: bool = False
    f16_kv: bool = True
    """False: the cache in 32 instead of 16 bits."""
    n_parts: int = -1
    """Only -1: the file says how many parts it has."""
    logits_all: bool = False
    """Without effect: log-probabilities need it no more."""
    lora_base: str | None = None
    """Only None: adapters are applied to the model as it is."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further options of :class:`llamaherd.Llama`."""

    _held: Held = PrivateAttr(default_factory=Held)

    def __init__(self, *args: Any, **given: Any) -> None:
        given = self._sorted(given)
        super().__init__(*args, **given)
        self._check()

    @classmethod
    def _sorted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options that are no fields moved into ``model_kwargs``.

        Raises:
            UnknownOptionError: an option that does not exist; names the nearest.
        """
        fields = {spec.alias or name: name for name, spec in cls.model_fields.items()}
        found = {name: value for name, value in given.items() if name in fields}
        further = {**(given.get("model_kwargs") or {})}
        for name, value in given.items():
            if name not in fields:
                if name in further:
                    raise OptionError(name, value, "no second value: model_kwargs has one")
                further[name] = value
        known = cls._known_options()
        for name in further:
            if name in fields:
                raise OptionError(f"model_kwargs[{name!r}]", further[name], f"it as {name}=")
            if name not in known:
                raise UnknownOptionError(name, [*fields, *known])
        return {**found, "model_kwargs": further} if further else found

    @classmethod
    def _known_options(cls) -> set[str]:
        return cls._load_names() | set().union(*(kind.names() for kind in cls.further))

    @classmethod
    def _load_names(cls) -> set[str]:
        """What loading is told; what a call can be told is told to calls, so that all share."""
        names = (set(OWN) - NAMED_OTHERWISE).union(*(kind.names() for kind in _LOADING))
        return names - set().union(*(kind.names() for kind in cls.further))

    def _check(self) -> None:
        """Find what is wrong with the model now, though it is loaded by the first call.

        Raises:
            ModelPathError: the file is missing or no GGUF file.
            OptionError: a value that no model takes.
        """
        sources = [self.client, self.base_url, self.model_path, self.model]
        if not any(sources):
            raise OptionError("model_path", None, "a GGUF file, 'demo', or base_url=")
        _check_retired(self)
        load = self._load_options()
        if self.base_url is not None:
            self._check_remote(load)
            return
        if self.model_path is not None and self.model is not None:
            raise OptionError("model", self.model, "no second name beside model_path")
        own = {name: value for name, value in load.items() if name not in OWN}
        for kind, given in zip(_LOADING, split_options(own, *_LOADING), strict=True):
            kind(**given)
        if self.client is None:
            header(self._name())

    def _check_remote(self, load: Mapping[str, Any]) -> None:
        given = {name: value for name, value in load.items() if name in self.model_fields_set}
        given |= {name: value for name, value in load.items() if name in self.model_kwargs}
        given |= {"model_path": self.model_path} if self.model_path else {}
        given |= {"client": self.client} if self.client is not None else {}
        for name, value in given.items():
            raise OptionError(name, value, "None beside base_url: the server loads the model")

    def _name(self) -> str:
        """What the model is called."""
        loaded = getattr(self.client, "model_path", None)
        return self.model_path or self.model or loaded or "default"

    def _load_options(self) -> dict[str, Any]:
        """What ``Llama`` is told beside the path."""
        given = {name: getattr(self, name) for name in _LOADED}
        found = {name: value for name, value in given.items() if value is not None}
        if self.vocab_only:
            found["vocab_only"] = True
        if not self.f16_kv:
            found |= {"type_k": "f32", "type_v": "f32"}
        names = self._load_names()
        return found | {name: v for name, v in self.model_kwargs.items() if name in names}

    def _llama(self, model: str | None = None) -> AnyLlama:
        """The model, loaded if nobody in the process has it loaded.

        Args:
            model: another than the object's own, for one call.
        """
        name = model or self._name()
        found = self._held.get(name)
        if found is None:
            found = self._held[name] = self._loaded(model)
        return found

    async def _allama(self, model: str | None = None) -> AnyLlama:
        """:meth:`_llama` for coroutines: a thread is needed only where the model is loaded."""
        held = self._held.get(model or self._name())
        return held if held is not None else await asyncio.to_thread(self._llama, model)

    def _loaded(self, model: str | None) -> AnyLlama:
        if self.base_url is not None:
            key = self.api_key.get_secret_value() if self.api_key else None
            return RemoteLlama(
                self.base_url,
                model=model or self.model,
                api_key=key,
                timeout_s=self.timeout,
                max_retries=self.max_retries,
            )
        if self.client is not None and model is None:
            return self.client  # type: ignore[no-any-return]
        verbose = bool(getattr(self, "verbose", False))
        return shared_llama(model or self._name(), verbose=verbose, **self._load_options())


_LOADING: tuple[type[Params], ...] = (ModelParams, ContextParams, MediaParams)
_LOADED = (
    "n_ctx", "n_parallel", "n_batch", "n_threads", "n_gpu_layers", "lora_path", "rope_freq_base",
    "rope_freq_scale", "use_mmap", "use_mlock",
)  # fmt: skip


def _check_retired(source: ModelSource) -> None:
    """Refuse values that would mean something else now than they say."""
    if source.n_parts != -1:
        raise OptionError("n_parts", source.n_parts, "-1: the model's file says it itself")
    if source.lora_base is not None:
        raise OptionError("lora_base", source.lora_base, "None: adapters fit any quantization")
