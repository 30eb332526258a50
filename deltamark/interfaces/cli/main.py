"""The command `deltamark`: its options, its exit statuses, its error messages."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

from deltamark.domain.errors import ConfigurationError, DeltamarkError, UsageError
from deltamark.domain.secrets import masked
from deltamark.interfaces.cli.address_options import STORE, warn_of_password
from deltamark.interfaces.cli.commands import SECTIONS, all_commands
from deltamark.interfaces.cli.exit_statuses import (
    BROKEN_PIPE,
    FAILED,
    InternalError,
    NothingStarted,
    status_of_error,
)
from deltamark.interfaces.cli.groups import HELP_OPTIONS, GuessingGroup
from deltamark.interfaces.cli.next_steps import command_lines
from deltamark.interfaces.cli.pager import PagerLeft
from deltamark.interfaces.cli.signals import StopSignal, end_by_signals
from deltamark.interfaces.cli.streams import (
    OutputLost,
    ReaderGone,
    be_quiet,
    escape_what_cannot_be_written,
    leave,
    open_missing,
    print_with,
    results,
    say,
)
from deltamark.version import __version__

DEBUG = "--debug"


class Commands(GuessingGroup):
    """The group of all commands.

    Results that cannot be written have an exit status of their own.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parses the arguments.

        May print, such as the help.
        """
        with results():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command.

        Results that cannot be written fail it.
        """
        with results():
            try:
                status = super().invoke(ctx)
            except PagerLeft:
                return 0
            sys.stdout.flush()
            return status


@click.group(
    cls=Commands,
    sections=SECTIONS,
    context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 100},
    epilog="Example: deltamark init company && cd company && deltamark run Incremental",
)
@click.option(STORE, "store", metavar="URL", help="The store, such as sqlite:///deltamark.db.")
@click.option("--configuration", metavar="PATH", help="The XML file, or the folder of XML files.")
@click.option("--export-output", metavar="PATH", help="The folder with the extracts.")
@click.option(
    "--leave-out-unbuilt",
    is_flag=True,
    default=None,
    help="Load the configuration without what is known but not built.",
)
@click.option(
    "--adoption",
    type=click.IntRange(0),
    metavar="N",
    help="How many values, resources and links a run may convert or remove by adopting a configuration.",
)
@click.option(
    "--workers",
    metavar="WORKERS",
    help="What computes for runs: none, processes:N, dask://127.0.0.1:PORT or tls://HOST:PORT.",
)
@click.option("--utc", is_flag=True, help="Show times in UTC, not in the zone of this machine (TZ).")
@click.option("--no-pager", is_flag=True, help="Do not show long results by a pager (PAGER, or less).")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress: only results, warnings and errors.")
@click.option(DEBUG, is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="deltamark", message="%(prog)s %(version)s")
@click.pass_context
def deltamark(
    ctx: click.Context,
    store: str | None,
    configuration: str | None,
    export_output: str | None,
    leave_out_unbuilt: bool | None,
    adoption: int | None,
    workers: str | None,
    utc: bool,
    no_pager: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Synchronizes resources from source systems, remembers every change, computes what changed.

    Settings come from deltamark.toml in the working directory; DELTAMARK_STORE, DELTAMARK_CONFIGURATION and
    DELTAMARK_EXPORT_OUTPUT override it, and these options override both.
    """
    from deltamark.interfaces.cli.context import Workspace  # with all that a command needs, and a help text does not
    from deltamark.interfaces.cli.times import show_in_utc

    show_in_utc(utc)
    be_quiet(quiet)
    ctx.obj = Workspace(store, configuration, export_output, debug, leave_out_unbuilt, adoption, workers)
    warn_of_password(STORE, store)


for command in all_commands():
    deltamark.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with its status.

    0 done, 1 a task failed, 2 bad usage or configuration and nothing was started, 3 blocked by a threshold or
    until a configuration is adopted, 4 `verify` found a fault; 128 and the number of the signal where one stopped it.
    """
    open_missing()
    end_by_signals()  # what is in effect again after the block: a signal between it and the end prints no traceback
    stop_signal = StopSignal()
    try:
        with stop_signal.watching():
            status = status_of(sys.argv[1:] if arguments is None else arguments, stop_signal)
    except KeyboardInterrupt:  # a second signal, while the first one was being recorded
        status = stop_signal.status
    end_by_signals()
    leave()
    sys.exit(status)


def status_of(arguments: Sequence[str], stop_signal: StopSignal | None = None) -> int:
    """Runs the command line, reports errors on standard error, and returns the exit status."""
    stop_signal = stop_signal or StopSignal()
    escape_what_cannot_be_written()
    as_json = _asks_for_json(arguments)
    try:
        status = deltamark.main(list(arguments), prog_name="deltamark", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.ClickException as e:
        _report_usage(e, as_json=as_json)
        return e.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _report_stop(stop_signal)
    except ReaderGone:
        return BROKEN_PIPE
    except OutputLost as e:
        reason = getattr(e.__cause__, "strerror", None) or "it was closed"
        say(f"deltamark: standard output cannot be written: {reason}. What was finished before is kept.")
        return FAILED
    except DeltamarkError as e:
        return _report(e, status_of_error(e), debug=DEBUG in arguments, as_json=as_json)
    except Exception as e:
        if stop_signal.signal is not None:  # a library turned it into an error of its own
            return _report_stop(stop_signal)
        words = InternalError(
            f"an error inside Deltamark: {type(e).__name__}: {masked(str(e))}. "
            "The store is as the last finished task left it. Run again with --debug (before the command) and report "
            "what it prints."
        )
        return _report(words, FAILED, debug=DEBUG in arguments, as_json=as_json)


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether what is printed must be JSON, as far as the arguments can be read: an error may be that they cannot."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    return any(pair == ("--format", "json") for pair in pairwise(words))


def _report_stop(stop_signal: StopSignal) -> int:
    say("Interrupted. What was finished is kept; the task that was running was undone.")
    return stop_signal.status


def _report_usage(error: click.ClickException, *, as_json: bool) -> None:
    """Reports a wrong use of a command, with how to use it."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is not None and message == context.get_help():
        print_with(error.show)
        return
    if isinstance(error, click.NoSuchOption) and any(error.option_name in option.opts for option in deltamark.params):
        message += f" Write {error.option_name} before the command."
    if as_json:
        _say_as_json(UsageError(masked(message)))
        return
    if context is not None:
        say(f"{context.get_usage()}\nTry `{context.command_path} --help`.\n")
    say(f"deltamark: {masked(message)}")


def _report(error: DeltamarkError, status: int, *, debug: bool, as_json: bool) -> int:
    if debug:
        say(masked(traceback.format_exc()))
    if as_json:
        cause = error.__cause__ if isinstance(error, NothingStarted) else None
        _say_as_json(cause if isinstance(cause, DeltamarkError) else error)
        return status
    lead = "" if isinstance(error, ConfigurationError) and error.faults else "deltamark: "
    say(f"{lead}{error}")
    for line in command_lines(error.next_steps):
        say(line)
    return status


def _say_as_json(error: DeltamarkError) -> None:
    """Prints an error as one object in one line on standard error, so that standard output holds results only."""
    from deltamark.interfaces.cli.rendering import json_line  # with all that a result needs, and an error does not
    from deltamark.interfaces.documents import error_document

    line = json_line(error_document(error))
    print_with(lambda: click.echo(line, file=sys.stderr, nl=False))


if __name__ == "__main__":
    main()
