"""Which proposer guesses for a model."""

from __future__ import annotations

import os
from dataclasses import replace

from llamaherd.engine.draft import DraftModel
from llamaherd.engine.mtp import MtpLayers
from llamaherd.engine.speculative import PromptLookup, Proposer
from llamaherd.errors import UnsupportedError
from llamaherd.model import Model
from llamaherd.params import ContextParams

PROMPT_LOOKUP, MTP = "prompt_lookup", "mtp"


def proposer_for(
    draft_model: str | os.PathLike[str] | None, target: Model, params: ContextParams
) -> Proposer | None:
    """What guesses for a model: ``"prompt_lookup"``, ``"mtp"``, or a path to a small model.

    Raises:
        UnsupportedError: the model's memory cannot be cut back when guesses fail, the small one
            has another vocabulary, or the model has no layers that guess.
    """
    if draft_model is None:
        return None
    if draft_model == MTP:
        target.check_has_mtp()
        return MtpLayers(target, params)
    if target.forgets:
        raise UnsupportedError(
            f"{target.path.name} cannot be used with a draft_model: its memory cannot be cut back "
            "when guesses fail"
        )
    if draft_model == PROMPT_LOOKUP:
        return PromptLookup()
    draft = Model(draft_model)
    try:
        own = replace(params, n_ctx=target.n_ctx_for(params), control_vectors={})
        return DraftModel(draft, target, own)
    except BaseException:
        draft.close()
        raise
