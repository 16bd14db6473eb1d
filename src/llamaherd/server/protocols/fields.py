"""Which fields of a request are honoured, refused, harmless, or unknown. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from llamaherd.errors import OptionError

JSON = dict[str, Any]


@dataclass(frozen=True)
class Fields:
    """What a protocol does with the fields of a request.

    Attributes:
        known: passed on as options under their own names.
        harmless: accepted; leaving them out changes no answer.
        refused: field -> (values that ask for nothing, what is expected instead).
        own: read by the protocol itself.
    """

    known: Collection[str]
    harmless: Collection[str] = ()
    refused: Mapping[str, tuple[tuple[Any, ...], str]] = field(default_factory=dict)
    own: Collection[str] = ()

    def sort(self, body: JSON) -> tuple[JSON, list[str]]:
        """The options in a body, and the fields that nobody knows. null is as good as nothing.

        Raises:
            OptionError: a field that cannot be honoured, whose absence would change the answer.
        """
        options: JSON = {}
        unknown: list[str] = []
        for name, value in body.items():
            if value is None or name in self.own:
                continue
            if name in self.refused:
                idle, expected = self.refused[name]
                if value not in idle:
                    raise OptionError(name, value, expected)
            elif name in self.known:
                options[name] = value
            elif name not in self.harmless:
                unknown.append(name)
        return options, unknown
