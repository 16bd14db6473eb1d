"""Who may call: API keys, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from pathlib import Path

from llamaherd.errors import OptionError
from llamaherd.server.errors import Refused
from llamaherd.server.settings import ServerParams

LEAST_CHARS = 8


class Keys:
    """The API keys of a server, each with a name for limits and logs.

    Raises:
        OptionError: the file cannot be read, or a key in it is too short or given twice.
    """

    def __init__(self, params: ServerParams) -> None:
        self._names: dict[bytes, str] = {}
        if params.api_key is not None:
            self._add("api_key", params.api_key)
        if params.api_key_file is not None:
            self._read(Path(params.api_key_file).expanduser())

    def check(self, headers: Mapping[bytes, bytes]) -> str | None:
        """The name of the key that a request shows; None where no key is needed.

        Raises:
            Refused: 401, it shows none, or a wrong one.
        """
        if not self._names:
            return None
        shown = _shown(headers)
        if not shown:
            raise Refused(
                401,
                "no API key: send it as `Authorization: Bearer KEY` (or x-api-key)",
                code="missing_api_key",
            )
        found = None
        for key, name in self._names.items():  # all of them, however early one fits
            if hmac.compare_digest(key, shown):
                found = name
        if found is None:
            raise Refused(401, "this API key is not known here", code="invalid_api_key")
        return found

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError("api_key_file", str(path), f"a readable file ({error})") from None
        for number, line in enumerate(map(str.strip, lines), 1):
            if line and not line.startswith("#"):
                name, colon, key = line.partition(":")
                self._add(name.strip() if colon else f"key {number}", (key or name).strip())
        if not self._names:
            raise OptionError("api_key_file", str(path), "at least one key, one a line")

    def _add(self, name: str, key: str) -> None:
        if len(key) < LEAST_CHARS or not key.isascii() or not key.isprintable():
            raise OptionError(
                "API key", f"(of {name})", f"at least {LEAST_CHARS} printable ASCII characters"
            )
        if key.encode() in self._names:
            raise OptionError("API key", f"(of {name})", "keys that differ")
        self._names[key.encode()] = name


def _shown(headers: Mapping[bytes, bytes]) -> bytes:
    kind, _, token = headers.get(b"authorization", b"").strip().partition(b" ")
    if kind.lower() == b"bearer":
        return token.strip()
    return headers.get(b"x-api-key", headers.get(b"api-key", b"")).strip()
