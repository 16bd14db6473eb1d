"""What the classes share: they name a model, and take its options as arguments."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, SecretStr
from llama_index.core.schema import BaseComponent

from llamaherd.declared import Params, split_options
from llamaherd.errors import OptionError, UnknownOptionError
from llamaherd.llama_index.source import LocalSource, ServerSource
from llamaherd.params import (
    ContextParams,
    MediaParams,
    ModelParams,
)
from llamaherd.shared import OWN

LOAD_KINDS = (ModelParams, ContextParams, MediaParams)
LOAD_NAMES = frozenset(
    {*OWN, *(name for kind in LOAD_KINDS for name in kind.names())} - {"model", "model_path"}
)
LOAD_DEFAULTS = {"n_parallel": 16}
"""Where a component differs from ``Llama``: agents and indexes ask much at a time."""


class ModelComponent(BaseComponent):
    """A component of LlamaIndex that runs a GGUF model.

    Options are kept as Pydantic's extra fields, so that they are attributes, are dumped, and come
    back from a dump; ``params.py`` stays the only place that declares them. Those of calls may be
    changed later (``llm.temperature = 0``).
    """

    model_config = ConfigDict(extra="allow")

    model: str | None = Field(
        description='a path to a GGUF file, or "demo"; with base_url, a model of the server',
        frozen=True,
    )
    base_url: str | None = Field(
        default=None, description="a llamaherd server that runs the model instead", frozen=True
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="the server's key; None: the environment's LLAMAHERD_API_KEY",
        frozen=True,
        exclude=True,
        repr=False,
    )
    timeout: float | None = Field(
        default=None, description="seconds an answer of the server may take", frozen=True, gt=0
    )
    max_retries: int = Field(
        default=2,
        description="how often to ask a server again that was too busy or out of reach",
        frozen=True,
        ge=0,
    )
    _source: LocalSource | ServerSource = PrivateAttr()

    call_kinds: ClassVar[tuple[type[Params], ...]]
    """Who declares the options of a call."""
    reserved: ClassVar[Collection[str]] = ()
    """Those of them that are set in another way."""

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        model_path: str | os.PathLike[str] | None = None,
        **fields: Any,
    ) -> None:
        named = _one_name(model, model_path)
        if named is None and fields.get("base_url") is None:
            raise OptionError("model", model, 'a GGUF file, "demo", or base_url=')
        options = {name: value for name, value in fields.items() if not self._is_field(name)}
        self._check(options)
        super().__init__(**{**fields, "model": named})
        self._source = self._made_source(options)

    def load(self) -> Any:
        """The model, loaded now instead of at first use: a :class:`Llama`, which others may share,
        so do not close it; or with ``base_url`` a :class:`~llamaherd.remote.RemoteLlama`.

        Raises:
            LlamaHerdError: as :class:`Llama`.
        """
        return self._source.get()

    def to_payload(self) -> dict[str, Any]:
        """What observers are told of this component, without loading the model."""
        return {
            "class_name": self.class_name(),
            "model_name": self._source.name,
            **(self.model_extra or {}),
        }

    def _made_source(self, options: Mapping[str, Any]) -> LocalSource | ServerSource:
        load_options = {name: value for name, value in options.items() if name in LOAD_NAMES}
        if self.base_url is None:
            assert self.model is not None, "one of them was given"
            self._refuse_for_local("api_key", "timeout", "max_retries")
            return LocalSource(self.model, {**LOAD_DEFAULTS, **load_options})
        for name, value in load_options.items():
            raise OptionError(name, value, "none beside base_url: the server loads the model")
        key = None if self.api_key is None else self.api_key.get_secret_value()
        return ServerSource(self.base_url, self.model, key, self.timeout, self.max_retries)

    def _refuse_for_local(self, *names: str) -> None:
        for name in names:
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                raise OptionError(
                    name, value, "none without base_url (deadline_s bounds an answer)"
                )

    @classmethod
    def _is_field(cls, name: str) -> bool:
        return name in cls.model_fields or name in cls.__private_attributes__

    @classmethod
    def _check(cls, options: Mapping[str, Any]) -> None:
        """Refuse what no class declares, and bad values, before anything is loaded."""
        known = {*cls.model_fields, *LOAD_NAMES}.union(*(k.names() for k in cls.call_kinds))
        for name in options:
            if name in cls.reserved or name not in known:
                raise UnknownOptionError(name, known.difference(cls.reserved))
        declared = {name: value for name, value in options.items() if name not in OWN}
        kinds = (*LOAD_KINDS, *cls.call_kinds)
        for kind, chosen in zip(kinds, split_options(declared, *kinds), strict=True):
            kind(**chosen)

    def _call_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """This component's options with a call's on top, under the names of ``params.py``."""
        own = {n: v for n, v in (self.model_extra or {}).items() if n not in LOAD_NAMES}
        return {**dict(self._canonical(own)), **dict(self._canonical(given))}

    @classmethod
    def _canonical(cls, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name in options.keys() & cls.reserved:
            raise UnknownOptionError(name, [])
        for chosen in split_options(options, *cls.call_kinds, also=tuple(cls.model_fields)):
            yield from chosen.items()

    if TYPE_CHECKING:  # options are attributes

        def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not self._is_field(name):
            if name in LOAD_NAMES:
                raise OptionError(name, value, "no change: the model may be loaded already")
            self._check({**(self.model_extra or {}), name: value})
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], **(self.model_extra or {})}}


def _one_name(
    model: str | os.PathLike[str] | None, model_path: str | os.PathLike[str] | None
) -> str | None:
    if model is not None and model_path is not None:
        raise OptionError("model", model, "either model or model_path, which is the same")
    chosen = model if model is not None else model_path
    return None if chosen is None else os.fspath(chosen)
