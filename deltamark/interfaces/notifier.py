"""A thread that sends notifications while a server or a scheduler is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deltamark.domain.errors import DeltamarkError
from deltamark.domain.messages import how_many
from deltamark.engine import Engine

EVERY_S = 20.0


@contextmanager
def notifying(engine: Engine, say: Callable[[str], None], *, every_s: float = EVERY_S) -> Iterator[None]:
    """Sends notifications during the block, where channels are set; any number of processes may do so.

    :param say: receives what is wrong, each problem once until it passes.
    """
    if not engine.channels:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_work, args=(engine, say, stop, every_s), name="deltamark-notify", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _work(engine: Engine, say: Callable[[str], None], stop: threading.Event, every_s: float) -> None:
    said = ""
    while True:
        problem = send_notifications(engine)
        if problem and problem != said:
            say(problem)
        said = problem
        if stop.wait(every_s):
            send_notifications(engine)
            return


def send_notifications(engine: Engine) -> str:
    """Sends what is due, and returns what is wrong; empty where nothing is."""
    try:
        problems = [
            f"channel {done.channel}: {how_many(done.waiting + done.failed, 'notification')} not sent: {done.problem}"
            for done in engine.notify()
            if done.problem
        ]
    except DeltamarkError as e:
        return f"notifications are not sent: {e}"
    return "; ".join(problems)
