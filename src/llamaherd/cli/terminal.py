"""The interactive prompt: history, several lines, commands. Needs a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import create_output

from llamaherd.cli.answer import show_statistics
from llamaherd.cli.console import complain, remark
from llamaherd.cli.conversation import Conversation
from llamaherd.errors import LlamaHerdError

PROMPT, CONTINUATION = ">>> ", "... "
HINT = FormattedText([("fg:ansibrightblack", "Ask something. /help for help, Ctrl-D to leave")])
HELP = """\
/reset      forget the conversation
/exit       leave (also Ctrl-D)
/help       this
Alt-Enter   a new line (also a backslash at the end of a line)
Up, Down    earlier questions; Ctrl-R searches them
Ctrl-C      stop the answer, or clear the line"""


def talk(conversation: Conversation) -> None:
    """Ask and answer until the user leaves."""
    session = new_session()
    while True:
        try:
            text = session.prompt(PROMPT).strip()
            if text in ("/exit", "/quit"):
                return
            if text:
                respond(conversation, text)
        except KeyboardInterrupt:  # clears the line as in a shell; never ends the program
            continue
        except EOFError:
            return


def respond(conversation: Conversation, text: str) -> None:
    """Carry a command out, or answer; an error costs one answer and not the conversation."""
    if text == "/help":
        print(HELP, file=sys.stderr)
    elif text == "/reset":
        conversation.reset()
        remark("[the conversation starts anew]")
    elif text.startswith("/") and text[1:].isalpha():
        complain(f"there is no command {text}; /help lists them")
    else:
        _answer(conversation, text)


def _answer(conversation: Conversation, text: str) -> None:
    try:
        show_statistics(conversation.ask(text))
    except LlamaHerdError as error:
        complain(str(error))


def new_session() -> PromptSession[str]:
    """A prompt on stderr, which leaves stdout to the answers."""
    return PromptSession(
        history=_history(),
        multiline=True,
        key_bindings=_keys(),
        prompt_continuation=CONTINUATION,
        placeholder=HINT,
        output=create_output(stdout=sys.stderr),
        enable_history_search=True,
    )


def _keys() -> KeyBindings:
    """Enter sends; Alt-Enter, or Enter behind a backslash, begins a line."""
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.current_line_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def history_file() -> Path:
    """Where questions are kept: the folder for state of the XDG base directory specification."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "llamaherd" / "history"


def _history() -> History:
    path = history_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # what people ask is theirs
    except OSError:  # a read-only home: the questions of this session only
        return InMemoryHistory()
    return FileHistory(str(path))
