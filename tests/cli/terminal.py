"""A terminal for tests: what it shows when the command has ended."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from pathlib import Path

from attrs import frozen

from tests.cli.processes import COMMAND, LONGEST_S, environment, started

_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|(.)", re.DOTALL)

SPINNER = re.compile("[\u2800-\u28ff]")


@frozen
class Shown:
    """The exit status of the command, what it wrote, and the lines that the terminal then showed."""

    status: int
    raw: str
    screen: tuple[str, ...]
    cursor_is_visible: bool
    unknown: tuple[str, ...]

    @property
    def colours(self) -> set[str]:
        """The colours that were used."""
        return set(re.findall(r"\x1b\[(?:[0-9;]*;)?(3[0-7]|9[0-7])(?:;[0-9;]*)?m", self.raw))


def in_terminal(
    folder: Path,
    *arguments: str,
    columns: int = 120,
    program: tuple[str, ...] = COMMAND,
    keys: bytes = b"",
    **env: str | None,
) -> Shown:
    """Runs the command in a terminal with some columns; `keys` are typed once the file `reached` exists."""
    own, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    usual = {
        "PAGER": "cat",
        "TERM": "xterm-256color",
        "COLUMNS": None,
        "LINES": None,
        "NO_COLOR": None,
        "COLORTERM": None,
    }
    process = started(
        folder,
        *arguments,
        program=program,
        env=environment(**{**usual, "LC_ALL": "C.UTF-8", "COLUMNS": None, **env}),
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(other)
    raw = b""
    watchdog = threading.Timer(LONGEST_S, process.kill)
    watchdog.start()
    try:
        while piece := os.read(own, 65_536):
            raw += piece
            if keys and (folder / "reached").exists():
                os.write(own, keys)
                keys = b""
    except OSError:  # Linux says so when the other end is closed
        pass
    status = process.wait(timeout=LONGEST_S)
    watchdog.cancel()
    os.close(own)
    return _shown(status, raw.decode())


def _shown(status: int, raw: str) -> Shown:
    screen: list[list[str]] = [[]]
    row = column = 0
    is_visible = True
    unknown = []
    for parameters, letter, control, text, other in _TOKEN.findall(raw):
        if control == "\r":
            column = 0
        elif control == "\n":
            row += 1
            if row == len(screen):
                screen.append([])
        elif text:
            line = screen[row]
            line += [" "] * (column - len(line))
            line[column : column + len(text)] = text
            column += len(text)
        elif letter == "K":
            del screen[row][0 if parameters == "2" else column :]
        elif letter == "A":
            row = max(0, row - int(parameters or 1))
        elif letter in "hl" and parameters == "?25":
            is_visible = letter == "h"
        elif letter != "m":
            unknown.append(parameters + letter + other)
    return Shown(status, raw, tuple("".join(line).rstrip() for line in screen), is_visible, tuple(unknown))
