"""Signals at an awkward moment: in a finalizer, or when the process is about to exit."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from deltamark.interfaces.cli.signals import Stopped, StopSignal
from tests.cli.processes import run


class Interrupted:
    """An object whose finalizer a signal interrupts."""

    ended: list[bool]

    def __init__(self) -> None:
        self.ended = Interrupted.ended = []

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        self.ended.append(True)


def test_a_signal_in_a_finalizer_takes_effect_after_it():
    stop_signal = StopSignal()

    def work() -> None:
        with stop_signal.watching():
            Interrupted()
            threading.Event().wait()  # until the signal is raised again: nothing else ends this call of the system

    with pytest.raises(Stopped):
        work()

    assert Interrupted.ended == [True]
    assert stop_signal.status == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_work_ends_the_process_silently(tmp_path, number):
    program = f"""
import atexit, signal, sys
from deltamark.interfaces.cli import main
atexit.register(signal.raise_signal, {int(number)})
main.main(sys.argv[1:])
"""

    status, _, err = run(tmp_path, "--version", program=(sys.executable, "-c", program))

    assert (status, err) == (-number, "")


def abandoned(ended: list[bool]):
    try:
        yield
    finally:
        signal.raise_signal(signal.SIGTERM)
        ended.append(True)


def test_a_signal_while_a_generator_is_cleaned_up_prints_nothing_and_takes_effect_after_it(capfd):
    stop_signal = StopSignal()

    def work() -> None:
        with stop_signal.watching():
            generator = abandoned([])
            next(generator)
            del generator
            threading.Event().wait()  # until the signal is raised again: nothing else ends this call of the system

    with pytest.raises(Stopped):
        work()

    assert capfd.readouterr().err == ""
