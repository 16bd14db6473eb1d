"""What a loaded model can do, in one word each."""

from __future__ import annotations

from llamaherd.media import Projector
from llamaherd.model import Model
from llamaherd.prompts import Prompts


def capabilities(
    model: Model, prompts: Prompts, projector: Projector | None, *, generates: bool
) -> frozenset[str]:
    """The words that Ollama's clients know, and two more.

    - ``completion``: goes on from a text;
    - ``insert``: fills a gap, by the vocabulary's own tokens;
    - ``embedding``: was made for it (others can embed, too);
    - ``tools``: its chat template writes calls;
    - ``thinking``: its chat template writes thoughts;
    - ``vision``, ``audio``: its projector reads pictures, sounds;
    - ``thinking_switch``, ``reasoning_effort``: what its template lets a caller say of them.
    """
    found = set()
    if generates:
        found.add("completion")
        special = model.vocab.special
        if None not in (special.fim_prefix, special.fim_suffix, special.fim_middle):
            found.add("insert")
    if model.pooling not in (None, "none", "rank"):
        found.add("embedding")
    if generates and prompts.can_chat:
        found |= prompts.chat_format.capabilities
    if projector is not None:
        found |= {"vision"} if "image" in projector.kinds else set()
        found |= {"audio"} if "audio" in projector.kinds else set()
    return frozenset(found)
