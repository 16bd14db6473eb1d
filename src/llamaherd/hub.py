"""Models by their name on the Hugging Face Hub, fetched once into its usual cache.

``hf:OWNER/REPO`` (the file of Q4_K_M, or the only one), ``hf:OWNER/REPO:Q8_0`` (the file of another
type) or ``hf:OWNER/REPO/file.gguf``. What lies in the cache is used without asking the Hub.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamaherd.errors import ModelLoadError

PREFIX = "hf:"
PREFERRED = "Q4_K_M"
_ID = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>[^:]+\.gguf)|:(?P<type>[\w.-]+))?", re.IGNORECASE
)
_FIRST_PART = re.compile(r"-00001-of-(\d{5})\.gguf$", re.IGNORECASE)
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class HubName:
    """A model on the Hub.

    Attributes:
        repo: ``OWNER/REPO``.
        file: in it; None: to be chosen.
        type: of the weights, as file names have it; None: any.
    """

    text: str
    repo: str
    file: str | None
    type: str | None

    @classmethod
    def of(cls, text: str) -> HubName:
        """Read a name.

        Raises:
            ModelLoadError: it is none.
        """
        found = _ID.fullmatch(text)
        if found is None:
            remedy = "Write hf:OWNER/REPO, hf:OWNER/REPO:Q8_0 or hf:OWNER/REPO/file.gguf"
            raise ModelLoadError(text, "this is no name of a model on the Hub", remedy)
        return cls(text, found["repo"], found["file"], found["type"])

    def choose(self, files: Sequence[str]) -> str:
        """The file that is meant, the first of a model in parts.

        Raises:
            ModelLoadError: none is, or several are.
        """
        if self.file is not None:
            if self.file not in files:
                raise self._refusal("the repository has no such file", files)
            return self.file
        models = [f for f in files if _is_model(f)]
        for wanted in (self.type,) if self.type else (PREFERRED, None):
            fitting = [f for f in models if wanted is None or _has_type(f, wanted)]
            if len(fitting) == 1:
                return fitting[0]
        finding = "several files fit" if models else "the repository has no GGUF model"
        raise self._refusal(f"no file of type {self.type}" if self.type else finding, files)

    def _refusal(self, finding: str, files: Sequence[str]) -> ModelLoadError:
        there = ", ".join(f for f in files if f.lower().endswith(".gguf")) or "none"
        return ModelLoadError(self.text, finding, f"Its GGUF files: {there}")


def _is_model(file: str) -> bool:
    name = file.rpartition("/")[2].lower()
    return name.endswith(".gguf") and "mmproj" not in name and not _LATER_PART.search(name)


def _has_type(file: str, wanted: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9_])", file, re.I) is not None


def parts(file: str) -> list[str]:
    """All files of a model whose first one is ``file``."""
    found = _FIRST_PART.search(file)
    if found is None:
        return [file]
    stem, last = file[: found.start()], found[1]
    return [f"{stem}-{n:05}-of-{last}.gguf" for n in range(1, int(last) + 1)]


def hub_file(text: str, *, fetch: bool = True) -> Path:
    """The file of a model on the Hub, fetched if it is not in the cache.

    Args:
        fetch: False: a model that is not in the cache is an error.

    The Hub's address, token and cache are those of huggingface_hub (``HF_ENDPOINT``, ``HF_TOKEN``,
    ``HF_HOME``, ``HF_HUB_OFFLINE``). A bar shows the progress on a terminal.

    Raises:
        ModelLoadError: there is no such model, it may not be read, the Hub cannot be reached, or
            huggingface_hub is not installed.
    """
    name = HubName.of(text)
    try:
        import huggingface_hub as hub
    except ImportError:
        remedy = "Install it: pip install 'llamaherd[hub]'"
        raise ModelLoadError(text, "models of the Hub need huggingface_hub", remedy) from None
    cached = _cached(hub, name)
    if cached is None and not fetch:
        raise ModelLoadError(text, "it is not in the cache", "Load it once, which fetches it")
    return cached if cached is not None else _fetched(hub, name)


def _cached(hub: Any, name: HubName) -> Path | None:
    """The model's first file, if all of it lies in the cache."""
    try:
        folder = Path(hub.snapshot_download(name.repo, local_files_only=True))
        there = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*.gguf"))]
        chosen = name.choose(there)
    except (hub.errors.LocalEntryNotFoundError, ModelLoadError):
        return None
    return folder / chosen if set(parts(chosen)) <= set(there) else None


def _fetched(hub: Any, name: HubName) -> Path:
    from httpx import HTTPError  # by which huggingface_hub speaks

    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        chosen = name.choose(hub.HfApi(endpoint=endpoint).list_repo_files(name.repo))
        paths = [hub.hf_hub_download(name.repo, f, endpoint=endpoint) for f in parts(chosen)]
    except hub.errors.GatedRepoError as error:
        remedy = "Accept its conditions on its page, and set HF_TOKEN to a token of yours"
        raise ModelLoadError(name.text, "the repository is gated", remedy) from error
    except hub.errors.RepositoryNotFoundError as error:
        remedy = "Look at the name; a private repository needs HF_TOKEN"
        raise ModelLoadError(name.text, "there is no such repository", remedy) from error
    except (HTTPError, hub.errors.HFValidationError, OSError) as error:
        finding = f"the Hub did not give it: {str(error).splitlines()[0]}"
        remedy = "Look at the network, or fetch the file yourself and pass its path"
        raise ModelLoadError(name.text, finding, remedy) from error
    return Path(paths[0])
