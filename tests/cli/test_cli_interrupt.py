"""What Ctrl-C does while something must not be torn apart."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from llamaherd.cli.interrupt import on_interrupt
from llamaherd.cli.loading import loading
from llamaherd.model import Model


@pytest.fixture(autouse=True)
def not_in_the_background() -> Iterator[None]:
    """A job that a shell starts in the background ignores Ctrl-C, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_first_acts_and_the_second_raises() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[int] = []
    with on_interrupt(lambda: seen.append(1)):
        press_ctrl_c()
        assert seen == [1]
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    assert seen == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with on_interrupt(lambda: pytest.fail("was called")):
            press_ctrl_c()
    finally:
        signal.signal(signal.SIGINT, before)


def load_and_press() -> None:
    with loading("demo") as progress:
        press_ctrl_c()
        Model("demo", progress=progress)
        pytest.fail("the load went on")


def press_after_the_load() -> None:
    with loading("demo") as progress:
        progress(1.0)
        press_ctrl_c()


def test_ctrl_c_ends_a_load_at_its_next_step() -> None:
    with pytest.raises(KeyboardInterrupt):
        load_and_press()


def test_ctrl_c_after_the_last_step_is_not_lost() -> None:
    with pytest.raises(KeyboardInterrupt):
        press_after_the_load()
