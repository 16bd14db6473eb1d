"""What the server makes of a client's options."""

from __future__ import annotations

from typing import Any

import pytest

from llamaherd.server.calls import ChatCall


@pytest.mark.parametrize(("given", "made"), [(None, False), (True, True), (False, False)])
def test_tools_are_not_strict_unless_a_client_says_so(given: bool | None, made: bool) -> None:
    function: dict[str, Any] = {"name": "f", "parameters": {"type": "object"}}
    if given is not None:
        function["strict"] = given
    call = ChatCall(None, [], {"tools": [{"type": "function", "function": function}]})
    (tool,) = call.options_for(())["tools"]
    assert tool["function"]["strict"] is made


def test_what_is_no_tool_is_left_to_the_model_to_refuse() -> None:
    call = ChatCall(None, [], {"tools": [3, {"type": "function"}]})
    assert call.options_for(())["tools"] == [3, {"type": "function"}]
