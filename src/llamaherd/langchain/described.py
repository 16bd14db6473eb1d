"""What LangChain's dumps, caches and traces are told of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models.base import LangSmithParams

from llamaherd.langchain.chunks import PROVIDER
from llamaherd.langchain.registry import NAMESPACE
from llamaherd.langchain.sampling import Sampling

_UNTOLD = {"client", "api_key", "verbose", "disable_streaming"}


class Described(Sampling):
    """To stand before LangChain's own class among the bases of a model."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """It can be dumped: paths and options, no weights."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where ``load`` finds the class."""
        return list(NAMESPACE)

    @property
    def lc_secrets(self) -> dict[str, str]:
        """What a dump names instead of telling."""
        return {"api_key": "LLAMAHERD_API_KEY"}

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """Everything that changes answers: a cache must not mix them up."""
        shown = self.model_dump(exclude=_UNTOLD)
        return {name: value for name, value in shown.items() if value is not None}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        theirs: Any = super()
        params: LangSmithParams = theirs._get_ls_params(stop=stop or self.stop, **kwargs)
        params["ls_provider"] = PROVIDER
        params["ls_model_name"] = str(kwargs.get("model") or self._name())
        return params
