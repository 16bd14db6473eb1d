"""Loading a model under a person's eyes: a progress bar, and Ctrl-C that ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llamaherd.cli.interrupt import on_interrupt


@contextmanager
def loading(model: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows how far ``model`` is and raises KeyboardInterrupt after Ctrl-C.

    Ctrl-C while llama.cpp runs would otherwise be raised in whichever callback comes first, and an
    exception in a log callback is lost. On a terminal a slow load shows a bar.

    Raises:
        KeyboardInterrupt: at the end at the latest.
    """
    from llamaherd.model.progress import progress_bar

    stopped = threading.Event()
    with on_interrupt(stopped.set), progress_bar(f"loading {model}") as update:

        def report(fraction: float) -> None:
            if stopped.is_set():
                raise KeyboardInterrupt
            if update is not None:
                update(fraction)

        yield report
    if stopped.is_set():
        raise KeyboardInterrupt
