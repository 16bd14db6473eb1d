"""What a server is told: by a TOML file, the environment and flags, which say the same things.

A flag wins over ``LLAMAHERD_<NAME>``, which wins over the file.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from llamaherd.declared import Params, option, split_options
from llamaherd.errors import OptionError, UnknownOptionError
from llamaherd.hub import PREFIX, HubName
from llamaherd.params import (
    ContextParams,
    MediaParams,
    ModelParams,
    SamplingParams,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENVIRONMENT = "LLAMAHERD_"
PATH_OPTIONS = ("lora_path", "draft_model", "prompt_cache", "mmproj")
LLAMA_OPTIONS = (*PATH_OPTIONS, "lora_scale", "chat_template", "chat_template_kwargs")
"""Options of ``Llama`` itself that a model's table may set."""


@dataclass(frozen=True)
class ServerParams(Params):
    """How the server listens, whom it trusts, and how much it lets a client have."""

    host: str = option(
        "127.0.0.1", "address to listen on; any but the loopback ones needs an API key"
    )
    port: int = option(8000, "TCP port; 0: a free one", ge=0, le=65535)
    api_key: str | None = option(
        None, "an API key that clients must send; better in the environment than on a command line"
    )
    api_key_file: str | None = option(
        None, "file of API keys, one a line: `key` or `name:key`; the name is for limits and logs"
    )
    cors_origins: list[str] = option(
        [], "origins of web pages that may call the server, for instance https://chat.example"
    )
    allowed_hosts: list[str] = option(
        [], "names that clients may call it by without a key, beside those of loopback"
    )
    default_model: str | None = option(
        None, "model that answers when a request names an unknown one; None: that is a 404"
    )
    memory_gib: float | None = option(
        None,
        "memory for all models together; one that is idle makes room for another; None: any",
        gt=0.0,
    )
    max_body_mib: float = option(32.0, "largest body of a request", gt=0.0, le=4096.0)
    max_prompt_tokens: int | None = option(
        None, "most tokens of a prompt; None: what the context holds", ge=1
    )
    max_answer_tokens: int | None = option(
        None, "most tokens of an answer, also where a client allows more; None: any number", ge=1
    )
    max_requests: int = option(1024, "requests that run or wait at a time", ge=1, le=65536)
    max_requests_per_key: int = option(
        256, "of them, requests of one API key, or of one address without keys", ge=1, le=65536
    )
    request_timeout_s: float = option(
        600.0, "seconds for a whole answer, waiting included", gt=0.0, le=1e6
    )
    body_timeout_s: float = option(
        30.0,
        "seconds in which a body must arrive, and the rest of an answer be read",
        gt=0.0,
        le=1e6,
    )
    keep_alive_s: float = option(
        10.0, "seconds of silence after which a stream sends a comment", gt=0.0, le=1e6
    )
    grace_s: float = option(
        30.0, "seconds that running answers get when the server is told to stop", ge=0.0, le=1e6
    )
    remote_images: bool = option(
        False, "fetch pictures that messages name by http(s) address; public addresses only"
    )
    remote_image_mib: float = option(16.0, "largest such picture", gt=0.0, le=1024.0)
    remote_image_s: float = option(10.0, "seconds in which one must arrive", gt=0.0, le=1e6)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.has_keys and not is_loopback(self.host):
            raise OptionError(
                "host", self.host, "a loopback address, or an API key (api_key_file) beside it"
            )
        if "*" in self.cors_origins and not self.has_keys:
            raise OptionError("cors_origins", self.cors_origins, "an API key beside '*'")

    @property
    def has_keys(self) -> bool:
        """Whether clients must show an API key."""
        return self.api_key is not None or self.api_key_file is not None


@dataclass(frozen=True)
class ModelSettings(Params):
    """One model of a server."""

    name: str = option("", "what clients call it")
    file: str = option("", 'a GGUF file, hf:OWNER/REPO, or "demo"')
    aliases: list[str] = option([], "further names, for instance gpt-4o-mini")
    preload: bool = option(True, "load it when the server starts, not with its first request")
    adapters: dict[str, str] = option({}, "LoRA adapters: name -> file")
    options: dict[str, Any] = option(
        {}, "what Llama takes: options of loading, of the context, and defaults of requests"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name:
            raise OptionError("name", self.name, "a name")
        if not self.file:
            raise OptionError(f"models.{self.name}.file", self.file, 'a GGUF file, or "demo"')
        if self.file.startswith(PREFIX):
            HubName.of(self.file)
        elif self.file != "demo" and not Path(self.file).expanduser().is_file():
            expected = "a GGUF file that exists, hf:OWNER/REPO, or 'demo'"
            raise OptionError(f"models.{self.name}.file", self.file, expected)
        own = {k: v for k, v in self.options.items() if k not in LLAMA_OPTIONS}
        kinds = ModelParams, ContextParams, MediaParams, SamplingParams
        for kind, chosen in zip(kinds, split_options(own, *kinds), strict=True):
            kind(**chosen)

    @property
    def all_names(self) -> tuple[str, ...]:
        """All names by which clients may call it."""
        return self.name, *self.aliases


@dataclass(frozen=True)
class Settings:
    """All of it."""

    server: ServerParams = field(default_factory=ServerParams)
    models: tuple[ModelSettings, ...] = ()

    def __post_init__(self) -> None:
        if not self.models:
            raise OptionError("models", [], "at least one model to serve, for instance demo")
        names = [name for model in self.models for name in model.all_names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise OptionError("models", twice, "names and aliases that differ")
        default = self.server.default_model
        if default is not None and default not in names:
            raise OptionError("default_model", default, f"one of {names}")


def read_settings(
    path: str | os.PathLike[str] | None = None,
    *,
    models: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    model: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Settings:
    """Settings from a TOML file, the environment and flags.

    Args:
        path: None: ``LLAMAHERD_CONFIG``, if it is set.
        models: ``FILE`` or ``NAME=FILE``, beside those of the file; none: ``LLAMAHERD_MODELS``,
            with commas between them.
        model: fields of :class:`ModelSettings` for all of ``models``.
        flags: fields of :class:`ServerParams`.

    Raises:
        OptionError, UnknownOptionError: names what is wrong.
    """
    path = path or environment.get(f"{ENVIRONMENT}CONFIG")
    models = models or [m for m in environment.get(f"{ENVIRONMENT}MODELS", "").split(",") if m]
    config = {} if path is None else _read_toml(Path(path).expanduser())
    _no_others("", config, ("server", "models"))
    server = {**_table(config, "server"), **_from_environment(environment), **flags}
    (known,) = split_options(server, ServerParams)
    found = [_model(name, table, path) for name, table in _table(config, "models").items()]
    found += [_named(each, model or {}) for each in models]
    return Settings(ServerParams(**known), tuple(found))


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError("config", str(path), f"valid TOML: {error}") from None
    return config


def _table(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = config.get(name, {})
    if not isinstance(table, dict):
        raise OptionError(name, table, f"a table: [{name}]")
    return table


def _model(name: str, table: Any, path: str | os.PathLike[str] | None) -> ModelSettings:
    """One ``[models.NAME]``; its files are relative to the configuration's folder."""
    if not isinstance(table, dict):
        raise OptionError(f"models.{name}", table, f"a table: [models.{name}]")
    _no_others(f"models.{name}.", table, [f.name for f in fields(ModelSettings)])
    made = ModelSettings(name=name, **{**table, "file": _relative(table.get("file"), path)})
    adapters = {key: _relative(file, path) for key, file in made.adapters.items()}
    options = {
        key: _relative(value, path) if key in PATH_OPTIONS else value
        for key, value in made.options.items()
    }
    return replace(made, adapters=adapters, options=options)


def _relative(file: Any, path: str | os.PathLike[str] | None) -> Any:
    if not isinstance(file, str) or path is None:
        return file
    if file in ("", "demo", "prompt_lookup", "mtp") or file.startswith(PREFIX):
        return file or ""
    return str(Path(path).expanduser().parent / Path(file).expanduser())


def _named(model: str, more: Mapping[str, Any]) -> ModelSettings:
    name, equals, file = model.partition("=")
    if not equals:
        name, file = Path(model).stem, model
    return ModelSettings(name=name, file=file, **more)


def _no_others(where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in table:
        if name not in known:
            raise UnknownOptionError(f"{where}{name}", [f"{where}{each}" for each in known])


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for spec in fields(ServerParams):
        text = environment.get(f"{ENVIRONMENT}{spec.name.upper()}")
        if text is not None:
            found[spec.name] = _parsed(spec.name, text)
    return found


def _parsed(name: str, text: str) -> Any:
    """A setting's text as the type it is declared with."""
    kind = str(ServerParams.__dataclass_fields__[name].type)
    try:
        if kind.startswith("list"):
            return [part.strip() for part in text.split(",") if part.strip()]
        if kind.startswith("bool"):
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
        if kind.startswith("int"):
            return int(text)
        return float(text) if kind.startswith("float") else text
    except (ValueError, KeyError):
        expected = f"{kind.split(' ')[0]}, by {ENVIRONMENT}{name.upper()}"
        raise OptionError(name, text, expected) from None
