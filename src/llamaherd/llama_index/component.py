"""What the classes share: they name a model, and take its options as arguments."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.schema import BaseComponent

from llamaherd.errors import OptionError, UnknownOptionError
from llamaherd.llama import Llama
from llamaherd.llama_index.source import ModelSource
from llamaherd.params import ContextParams, ModelParams, Params, split_options
from llamaherd.shared import OWN

LOAD_KINDS = (ModelParams, ContextParams)
LOAD_NAMES = frozenset(
    {*OWN, *(name for kind in LOAD_KINDS for name in kind.names())} - {"model", "model_path"}
)


class ModelComponent(BaseComponent):
    """A component of LlamaIndex that runs a GGUF model.

    Options are kept as Pydantic's extra fields, so that they are attributes, are dumped, and come
    back from a dump; ``params.py`` stays the only place that declares them. Those of calls may be
    changed later (``llm.temperature = 0``).
    """

    model_config = ConfigDict(extra="allow")

    model: str = Field(description='a path to a GGUF file, or "demo"', frozen=True)
    _source: ModelSource = PrivateAttr()

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
        if (model is None) == (model_path is None):
            raise OptionError("model", model, 'either model or model_path: a GGUF file, or "demo"')
        named = os.fspath(model if model is not None else model_path)  # type: ignore[arg-type]
        options = {name: value for name, value in fields.items() if not self._is_field(name)}
        self._check(options)
        source = ModelSource(named, {n: v for n, v in options.items() if n in LOAD_NAMES})
        super().__init__(**{**fields, "model": named})
        self._source = source

    def load(self) -> Llama:
        """The model, loaded now instead of at first use. Others may share it: do not close it.

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

    @classmethod
    def _is_field(cls, name: str) -> bool:
        return name in cls.model_fields or name in cls.__private_attributes__

    @classmethod
    def _check(cls, options: Mapping[str, Any]) -> None:
        """Refuse what no class declares, and bad values, before anything is loaded."""
        known = [*cls.model_fields, *LOAD_NAMES, *(n for k in cls.call_kinds for n in k.names())]
        for name in options:
            if name in cls.reserved or name not in known:
                raise UnknownOptionError(name, [n for n in known if n not in cls.reserved])
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
