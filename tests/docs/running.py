"""Runs the examples of a page: its commands, files and programs in order, in a temporary folder.

The lines below a `$ command` must be what the command prints; times and durations may differ, and `…` stands for
anything: alone in a line for any lines, inside a line for any text.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from deltamark.config.xml.load import load_configuration as load
from deltamark.config.xml.reader import read
from deltamark.interfaces.cli.main import status_of
from tests.docs.pages import Block, blocks_of

ANYTHING = "…"
_SHELL_SIGNS = frozenset("|&;<>$*`()")
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"\(\d+\.\d+ s\)"), "(<seconds>)"),
    (re.compile(r'("seconds": ?)[\d.e-]+'), r"\1<seconds>"),
    (re.compile(r"(?<=\s)\d+\.\d+$", re.MULTILINE), "<seconds>"),
)


_POSITION = re.compile(r"^ *\d+(?= +\d{4}-\d\d-\d\dT)", re.MULTILINE)
"""A position beside a time. On a slow machine the progress of long tasks is in the log, too, and takes positions."""


@frozen
class Command:
    """A command after `$`, and the lines that the page shows below it; `written` is its text on the page."""

    text: str
    expected: str
    written: str


def commands_of(block: str) -> Iterator[Command]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        text, _, expected = part.partition("\n")
        while text.endswith("\\"):
            more, _, expected = expected.partition("\n")
            text = f"{text[:-1]} {more.removeprefix('>').strip()}"
        yield Command(text, expected, f"$ {part.removesuffix(expected)}")


def masked(text: str) -> str:
    """A text without the parts that differ from run to run."""
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in text.strip("\n").split("\n"))


def agrees(expected: str, printed: str) -> bool:
    """Whether a command printed what a page shows."""
    pattern = "\n".join(
        ANYTHING if line == ANYTHING else ".*".join(re.escape(part) for part in line.split(ANYTHING))
        for line in masked(expected).split("\n")
    )
    pattern = pattern.replace(f"\n{ANYTHING}", r"(?:\n.*)*").replace(f"{ANYTHING}\n", r"(?:.*\n)*")
    return re.fullmatch(pattern.replace(ANYTHING, r"(?:.*\n?)*"), masked(printed)) is not None


@define
class Reader:
    """Follows a page as a reader would.

    :param folder: the first working directory.
    :param in_shell: whether a shell runs every command; otherwise calls of `deltamark` are made in this process, which
        is much faster.
    """

    folder: Path
    in_shell: bool = False
    cwd: Path = field(init=False)
    status: int = 0
    printed: str = ""
    names: dict[str, Any] = field(factory=lambda: {"__name__": "__main__"})

    def __attrs_post_init__(self) -> None:
        self.cwd = self.folder

    def follow(self, page: str) -> None:
        """Runs all examples of the page."""
        blocks = list(blocks_of(page))
        for block, before in zip(blocks, [None, *blocks], strict=False):
            self._do(block, before)
        assert self.status == 0, "the page ends with a command that fails"

    def _do(self, block: Block, before: Block | None) -> None:
        where = f"line {block.line}"
        if block.file is not None:
            path = self.cwd / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            return
        match block.language:
            case "console":
                for command in commands_of(block.text):
                    self._run(command, where)
            case "python":
                self._execute(block.text)
            case "text" if before is not None and before.language == "python":
                self._compare("```text\n", block.text, where)
            case "xml":
                _load(block.text, self.folder, where)

    def _run(self, command: Command, where: str) -> None:
        asks_for_status = command.text == "echo $?"
        assert asks_for_status or self.status == 0, f"{where}: the command before `{command.text}` failed"
        if asks_for_status:
            self.printed, self.status = f"{self.status}\n", 0
        else:
            first, _, rest = command.text.partition(" | ")
            if self.in_shell or _SHELL_SIGNS & set(first) or not first.startswith("deltamark "):
                self._in_shell(command.text)
            else:
                self._in_process(shlex.split(first)[1:], rest)
        self._compare(command.written, command.expected, where)

    def _compare(self, before: str, expected: str, where: str) -> None:
        """Checks that the output is what the page shows after `before`."""
        shown, printed = (
            (_POSITION.sub("<position>", text) for text in (expected, self.printed))
            if self.in_shell
            else (expected, self.printed)
        )
        assert agrees(shown, printed), (
            f"{where}: below {before.strip()!r} the page shows\n{expected}\nand this was printed:\n{self.printed}"
        )

    def _in_shell(self, text: str, given: str = "") -> None:
        left = self.folder / ".where"
        done = subprocess.run(
            ["sh", "-c", f"{text}\nstatus=$?\npwd > {shlex.quote(str(left))}\nexit $status"],
            cwd=self.cwd,
            env=environment(),
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        self.printed, self.status = done.stdout, done.returncode
        self.cwd = Path(left.read_text().strip())
        left.unlink()

    def _in_process(self, arguments: list[str], rest: str) -> None:
        """Calls the command in this process, and pipes its result through the rest of a pipeline, if there is one."""
        output, words = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        errors = words if rest else output
        with contextlib.chdir(self.cwd), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            self.status = status_of(arguments)
        _forget(self.folder)
        self.printed = _read(output)
        if rest:
            self._in_shell(rest, self.printed)
            self.printed = _read(words) + self.printed

    def _execute(self, program: str) -> None:
        output = io.StringIO()
        with contextlib.chdir(self.cwd), contextlib.redirect_stdout(output):
            exec(compile(program, "page", "exec"), self.names)  # noqa: S102 (a program of our own documentation)
        self.printed = output.getvalue()


def _forget(folder: Path) -> None:
    """Removes modules that were imported from a folder: for a reader, each command is a new process."""
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder.resolve()):
            del sys.modules[name]
    sys.path[:] = [place for place in sys.path if not Path(place or "/").is_relative_to(folder.resolve())]


def _read(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def environment() -> Mapping[str, str]:
    """The environment of a user who has installed Deltamark and set nothing else."""
    terminal = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DELTAMARK_") and k not in terminal}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {
        "PATH": path,
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONUTF8": "1",
        "TZ": "UTC",
    }


def _load(text: str, folder: Path, where: str) -> None:
    """Loads a whole file; checks that every element and attribute of a fragment is known."""
    if "<ConfigurationFile" in text:
        file = folder / ".example.xml"
        file.write_text(text, encoding="utf-8")
        load(file)
        file.unlink()
        return
    faults = read(f"<ConfigurationFile>{text}</ConfigurationFile>".encode(), where).faults
    assert not faults, "\n".join(map(str, faults))
