"""The terminal shows the progress of a long listing that is written elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from deltamark.interfaces.cli import row_counter as counting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(counting, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(counting, "_EVERY", 10)
    monkeypatch.setenv("TERM", "xterm")


def test_slow_rows_are_counted_on_the_terminal(impatient, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    rows = list(counting.counted(range(25)))

    assert rows == list(range(25))
    assert "20 rows" in terminal.getvalue()


def test_an_aborted_count_restores_the_terminal(impatient, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    rows = counting.counted(range(100))

    for _ in range(15):
        next(rows)
    rows.close()

    assert terminal.getvalue().rstrip("\r\n").endswith(("\x1b[?25h", "\x1b[2K"))


@pytest.mark.parametrize("patience_s", [0.0, 60.0])
def test_nothing_is_counted_without_a_terminal_or_for_fast_rows(impatient, monkeypatch, patience_s):
    stream = io.StringIO() if patience_s == 0 else Terminal()
    monkeypatch.setattr(counting, "_PATIENCE_S", patience_s)
    monkeypatch.setattr(sys, "stderr", stream)

    assert list(counting.counted(range(25))) == list(range(25))

    assert stream.getvalue() == ""
