"""How a template writes arguments one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from llamaherd.chat.probe import KEYS
from llamaherd.chat.strings import common_prefix, common_suffix
from llamaherd.chat.syntax import KEY, VALUE, Codec, Form, Parameters
from llamaherd.chat.values import json_type

Answer = Callable[..., str | None]
_A, _B = KEYS
_NASTY = 'qz"1\n\\é'
_ARRAY, _OBJECT = [918273, "qzitem"], {"qzinner": "qzitem"}
_SAMPLES: tuple[Any, ...] = (918273, True, None, _ARRAY, _OBJECT)


def learn_parameters(answer: Answer) -> Parameters | None:
    """The syntax of arguments; None if they are not written one by one.

    Args:
        answer: the text of an answer with one call for each of the arguments given.
    """
    one, two = answer({_A: "qzvalue"}), answer({_A: "qzvalue", _B: "qzother"})
    nasty = answer({_A: _NASTY})
    codec = None if nasty is None else _string_codec(nasty)
    if one is None or two is None or codec is None:
        return None
    found = _form(codec, one, two)
    if found is None:
        return None
    form, separator = found
    reverse = answer({_B: "qzother", _A: "qzvalue"}) or ""
    return Parameters(
        {"string": form, **_typed_forms(answer, one, form)},
        separator,
        quote=_quote(answer({_A: _ARRAY}) or ""),
        sorted=0 <= reverse.find(_A) < reverse.find(_B),
    )


def _string_codec(text: str) -> Codec | None:
    if _NASTY in text:
        return Codec.RAW
    if json.dumps(_NASTY, ensure_ascii=False) in text or json.dumps(_NASTY) in text:
        return Codec.JSON
    return Codec.PYTHON if repr(_NASTY) in text else None


def _spelled(value: str, codec: Codec) -> str:
    if codec is Codec.RAW:
        return value
    return json.dumps(value) if codec is Codec.JSON else repr(value)


def _form(codec: Codec, one: str, two: str) -> tuple[Form, str] | None:
    """A parameter that is a string, and what stands between two."""
    one = one.replace(_spelled("qzvalue", codec), VALUE).replace(_A, KEY)
    for value, key in (("qzvalue", _A), ("qzother", _B)):
        two = two.replace(_spelled(value, codec), VALUE).replace(key, KEY)
    if one.count(VALUE) != 1 or two.count(VALUE) != 2:
        return None
    first, last = one.split(VALUE)
    _, middle, _ = two.split(VALUE)
    before = common_suffix(first, middle)
    middle = middle[: len(middle) - len(before)]
    after = common_prefix(last, middle)
    if KEY not in before or (codec is Codec.RAW and not after.strip()):
        return None  # in the second case nothing tells where a text ends
    return Form(before + VALUE + after, codec), middle[len(after) :]


def _typed_forms(answer: Answer, one: str, form: Form) -> dict[str, Form]:
    """How values that are no strings are written."""
    found: dict[str, Form] = {}
    text = _filled(form, _A, _spelled("qzvalue", form.codec))
    before, _, after = one.partition(text)
    for sample in _SAMPLES:
        text = answer({_A: sample}) or ""
        if text.startswith(before) and text.endswith(after):
            text = text[len(before) : len(text) - len(after)]
            if typed := _typed_form(text, sample, form):
                found[json_type(sample)] = typed
    return found


def _filled(form: Form, key: str, value: str) -> str:
    return form.pattern.replace(KEY, key).replace(VALUE, value)


def _typed_form(text: str, sample: Any, form: Form) -> Form | None:
    if _A not in text:
        return None
    for codec, spelled in _spellings(text, sample):
        at = text.rfind(spelled)
        if at >= 0:
            pattern = text[:at] + VALUE + text[at + len(spelled) :]
            return Form(pattern.replace(_A, KEY), codec)
    return Form(form.pattern, Codec.NESTED) if text == _nested(sample, form) else None


def _spellings(text: str, sample: Any) -> Iterator[tuple[Codec, str]]:
    yield Codec.JSON, json.dumps(sample)
    yield Codec.JSON, json.dumps(sample, separators=(",", ":"))
    yield Codec.PYTHON, repr(sample)
    if quote := _quote(text):
        yield Codec.QUOTED, f"[918273,{quote}qzitem{quote}]"
        yield Codec.QUOTED, f"{{qzinner:{quote}qzitem{quote}}}"


def _quote(text: str) -> str:
    found = re.search(r"(?:\[918273,|\{qzinner:)(\S+?)qzitem\1[\]}]", text)
    return found[1] if found else ""


def _nested(sample: Any, form: Form) -> str | None:
    """An object's members as parameters; a list's items as parameters that are called item."""
    if sample == _OBJECT:
        return _filled(form, _A, _filled(form, "qzinner", "qzitem"))
    if sample == _ARRAY:
        return _filled(form, _A, _filled(form, "item", "918273") + _filled(form, "item", "qzitem"))
    return None
