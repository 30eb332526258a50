"""Output of rows: to standard output in a format, or to a file in the format of its ending."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click
from attrs import evolve, frozen

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.system.atomic_file import whole_file
from deltamark.interfaces.cli.output_files import refuse_own_file
from deltamark.interfaces.cli.rendering import Format, Listing, csv_lines, json_line, render
from deltamark.interfaces.cli.row_counter import counted
from deltamark.interfaces.cli.streams import is_quiet, say

ENDINGS = (".csv", ".jsonl", ".parquet", ".arrow")


def ending_of(file: Path) -> str:
    """The ending of a file to be written, which names its format.

    :raises UsageError: if it names none.
    """
    ending = file.suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(f"{file}: the ending of a file names its format. Use one of {', '.join(ENDINGS)}.")
    return ending


@frozen(kw_only=True)
class Output:
    """The output that the options of a command ask for."""

    form: Format
    file: Path | None
    is_for_spreadsheets: bool

    def __attrs_post_init__(self) -> None:
        ending = None if self.file is None else ending_of(self.file)
        if self.file is not None:
            refuse_own_file(self.file)
        is_csv = self.form is Format.CSV if ending is None else ending == ".csv"
        if self.is_for_spreadsheets and not is_csv:
            raise UsageError("--safe-for-spreadsheets is about CSV. Use it with --format csv, or -o FILE.csv.")
        if self.form is Format.CLOUDEVENTS and ending not in (None, ".jsonl"):
            raise UsageError(f"{self.file}: CloudEvents are written as JSON lines. Use a file that ends in .jsonl.")

    def give(self, listing: Listing, rows: str) -> None:
        """Prints the rows, or writes them to the file, which appears whole or not at all.

        :param rows: a noun for them, such as "changes".
        :raises UsageError: for a file that cannot be written; what was there stays then.
        """
        listing = evolve(listing, is_for_spreadsheets=self.is_for_spreadsheets)
        if self.file is None:
            render(listing, self.form)
            return
        with whole_file(self.file) as stream:
            count = _WRITERS[ending_of(self.file)](evolve(listing, documents=counted(listing.documents)), stream)
        if not is_quiet():
            say(f"{count:,} {rows} written to {self.file}.")


def output_options(*, cloud_events: bool = False) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """The options of commands whose rows people take elsewhere.

    They are `--format`, `-o` and `--safe-for-spreadsheets`.

    The command receives their values and makes an `Output` of them.
    """
    forms = [form.value for form in Format if cloud_events or form is not Format.CLOUDEVENTS]
    options = (
        click.option(
            "-o", "--output", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
            help="Write to a file: .csv, .jsonl, .parquet or .arrow.",
        ),
        click.option(
            "--safe-for-spreadsheets", "safe", is_flag=True,
            help="Write CSV without formulas for spreadsheets.",
        ),
        click.option(
            "--format", "form", type=click.Choice(forms), callback=lambda _, __, value: Format(value),
            default=Format.TABLE.value, metavar="FORMAT", help=f"{', '.join(forms[:-1])} or {forms[-1]}.",
        ),
    )  # fmt: skip

    def decorated(command: click.decorators.FC) -> click.decorators.FC:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def _write_csv(listing: Listing, stream: BinaryIO) -> int:
    rows = -1  # the header
    for line in csv_lines(listing):
        stream.write(line)
        rows += 1
    return rows


def _write_jsonl(listing: Listing, stream: BinaryIO) -> int:
    rows = 0
    for document in listing.documents:
        stream.write(json_line(document))
        rows += 1
    return rows


def _write_columns(ending: str, listing: Listing, stream: BinaryIO) -> int:
    from deltamark.interfaces.cli.parquet import write_rows  # with pyarrow, which other formats do not need

    return write_rows(ending, listing, stream)


_WRITERS: dict[str, Callable[[Listing, BinaryIO], int]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": partial(_write_columns, ".parquet"),
    ".arrow": partial(_write_columns, ".arrow"),
}
