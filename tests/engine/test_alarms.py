"""Deadlines: each acts once, in order, and only for what still exists."""

from __future__ import annotations

import gc
import threading
import time

from llamaherd.engine.alarms import Alarms


class Subject:
    """Something to be woken."""


def test_alarms_act_in_order_of_their_moments() -> None:
    alarms: Alarms[Subject] = Alarms(time.monotonic)
    first, second, done = Subject(), Subject(), threading.Event()
    seen: list[Subject] = []

    def act(subject: Subject) -> None:
        seen.append(subject)
        if len(seen) == 2:
            done.set()

    now = time.monotonic()
    alarms.set(now + 0.1, second, act)
    alarms.set(now + 0.05, first, act)
    assert done.wait(10)
    assert seen == [first, second]
    assert time.monotonic() - now >= 0.1
    alarms.close()


def test_what_is_gone_is_not_woken_and_not_kept_alive() -> None:
    alarms: Alarms[Subject] = Alarms(time.monotonic)
    seen: list[Subject] = []
    done = threading.Event()
    gone, stays = Subject(), Subject()
    now = time.monotonic()
    alarms.set(now + 0.05, gone, seen.append)
    alarms.set(now + 0.1, stays, lambda _: done.set())
    del gone
    gc.collect()
    assert done.wait(10)
    assert seen == []
    alarms.close()


def test_closing_ends_the_thread_and_forgets_the_rest() -> None:
    alarms: Alarms[Subject] = Alarms(time.monotonic)
    subject = Subject()
    alarms.set(time.monotonic() + 1000, subject, lambda _: None)
    thread = alarms._thread
    assert thread is not None
    alarms.close()
    thread.join(timeout=10)
    assert not thread.is_alive()
