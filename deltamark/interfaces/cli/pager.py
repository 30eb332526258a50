"""Long results on a terminal are shown by a pager, as programs like git do."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from deltamark.interfaces.cli.terminal import can_redraw

_PAGER = "less"


class PagerLeft(Exception):
    """The reader left the pager: no one needs the rest."""


class PagedOutput(io.TextIOBase):
    """Standard output of which what is longer than the screen goes through a pager.

    :param command: of the pager.
    :param lines: of the screen.
    """

    def __init__(self, terminal: TextIO, command: list[str], lines: int) -> None:
        self._terminal = terminal
        self._command = command
        self._room = lines - 1
        self._waiting: list[str] = []
        self._pager: subprocess.Popen[str] | None = None
        self._is_direct = False
        self.buffer = _Bytes(self)
        self.said: list[str] = []
        """What was said on standard error while the pager had the screen."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the terminal."""
        return self._terminal.encoding

    @property
    def has_screen(self) -> bool:
        """Whether the pager shows something now."""
        return self._pager is not None

    def isatty(self) -> bool:
        """Whether it ends at a terminal, as it does."""
        return True

    def fileno(self) -> int:
        """The number of the terminal."""
        return self._terminal.fileno()

    def write(self, text: str) -> int:
        """Writes to the pager; keeps it as long as it has room on the screen."""
        if self._is_direct:
            return self._terminal.write(text)
        if self._pager is None:
            self._waiting.append(text)
            self._room -= text.count("\n")
            if self._room < 0:
                self._begin()
            return len(text)
        self._give(text)
        return len(text)

    def flush(self) -> None:
        """Flushes what the terminal or the pager got."""
        if self._is_direct:
            self._terminal.flush()

    def go_direct(self) -> None:
        """Pages nothing: rows come as things happen."""
        if self._pager is None and not self._is_direct:
            self._is_direct = True
            self._terminal.write("".join(self._waiting))
            self._waiting.clear()
            self._terminal.flush()

    def _begin(self) -> None:
        environment = {"LESS": "FRX", "LV": "-c", **os.environ}
        try:
            self._pager = subprocess.Popen(  # noqa: S603 - the pager that the user chose
                self._command,
                stdin=subprocess.PIPE,
                stdout=self._terminal.fileno(),
                env=environment,
                text=True,
                encoding=self.encoding,
                errors="backslashreplace",
            )
        except (OSError, ValueError):
            self.go_direct()
            return
        text = "".join(self._waiting)
        self._waiting.clear()
        self._give(text)

    def _give(self, text: str) -> None:
        assert self._pager is not None
        assert self._pager.stdin is not None
        try:
            self._pager.stdin.write(text)
        except (BrokenPipeError, ValueError):
            raise PagerLeft from None

    def finish(self) -> None:
        """Writes what had room on the screen, or waits until the reader has left the pager."""
        self.go_direct()
        if self._pager is not None:
            with suppress(OSError, ValueError):
                assert self._pager.stdin is not None
                self._pager.stdin.close()
            while True:
                try:
                    self._pager.wait()
                    break
                except KeyboardInterrupt:  # it is for the pager, which goes on
                    continue
            self._pager = None
            self._is_direct = True


class _Bytes:
    """The bytes of an output for which programs write text as UTF-8."""

    def __init__(self, output: PagedOutput) -> None:
        self._output = output

    def write(self, data: bytes) -> int:
        self._output.write(data.decode("utf-8", "backslashreplace"))
        return len(data)

    def flush(self) -> None:
        self._output.flush()


def pager_command() -> list[str]:
    """The words of the command of the pager: that of PAGER, or else ``less``; none where PAGER is empty or ``cat``."""
    try:
        words = shlex.split(os.environ.get("PAGER", _PAGER))
    except ValueError:
        return []
    return [] if words in ([], ["cat"]) else words


@contextmanager
def paged() -> Iterator[None]:
    """A block whose results on a terminal go through a pager if they are longer than the screen.

    :raises PagerLeft: if the reader leaves the pager before the end.
    """
    terminal: Any = sys.stdout
    command = pager_command()
    if not command or not (can_redraw(terminal) and sys.stdin is not None and sys.stdin.isatty()):
        yield
        return
    try:
        lines = os.get_terminal_size(terminal.fileno()).lines or 24
    except (OSError, ValueError):
        yield
        return
    output = PagedOutput(terminal, command, lines)
    sys.stdout = output
    try:
        yield
    finally:
        try:
            output.finish()
        finally:
            sys.stdout = terminal
            for text in output.said:
                sys.stderr.write(text)
