"""The command `deltamark`: its options, its exit statuses, its last words when something goes wrong."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

import click

from deltamark.domain.errors import ConfigurationError, DeltamarkError, HistoryDiscarded, UsageError
from deltamark.domain.nearest import hint
from deltamark.infrastructure.cli.commands import inspecting, reading, running, workspace
from deltamark.infrastructure.cli.opening import NothingStarted, Workspace, say
from deltamark.version import __version__

FAILED, NOT_STARTED = 1, 2
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13

DEBUG = "--debug"
_NOT_STARTED = (ConfigurationError, UsageError, HistoryDiscarded, NothingStarted)


class Commands(click.Group):
    """The group of all commands; guesses what a mistyped one means."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0][:80]!r}{hint(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: deltamark init company && cd company && deltamark run Incremental",
)
@click.option("--store", metavar="URL", help="The store, such as sqlite:///deltamark.db.")
@click.option("--configuration", metavar="PATH", help="The XML file, or the folder of XML files.")
@click.option("--export-output", metavar="PATH", help="The folder with the extracts.")
@click.option(DEBUG, is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="deltamark", message="%(prog)s %(version)s")
@click.pass_context
def deltamark(
    ctx: click.Context, store: str | None, configuration: str | None, export_output: str | None, debug: bool
) -> None:
    """Synchronizes resources from source systems, remembers every change, computes what changed.

    Settings come from deltamark.toml in the working directory; DELTAMARK_STORE, DELTAMARK_CONFIGURATION and
    DELTAMARK_EXPORT_OUTPUT override it, and these options override both.
    """
    ctx.obj = Workspace(store, configuration, export_output, debug)


for module in (workspace, running, reading, inspecting):
    for command in module.COMMANDS:
        deltamark.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with its status.

    0 done, 1 a task failed, 2 bad usage or configuration and nothing was started, 3 blocked by a threshold.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(status_of(arguments))


def status_of(arguments: Sequence[str]) -> int:
    """Runs the command line and gives its exit status; says what went wrong on standard error."""
    _prepare_streams()
    try:
        status = deltamark.main(list(arguments), prog_name="deltamark", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.ClickException as e:
        _tell(e.show)
        return e.exit_code
    except (KeyboardInterrupt, click.Abort):
        _tell(lambda: say("Interrupted. What was finished is kept; the task that was running was undone."))
        return INTERRUPTED
    except BrokenPipeError:
        _leave_pipe()
        return BROKEN_PIPE
    except DeltamarkError as e:
        return _explain(e, NOT_STARTED if isinstance(e, _NOT_STARTED) else FAILED, debug=DEBUG in arguments)
    except Exception as e:
        words = RuntimeError(
            f"an error inside Deltamark: {type(e).__name__}: {e}. The store is as the last finished task left it. "
            "Run again with --debug (before the command) and report what it prints."
        )
        return _explain(words, FAILED, debug=DEBUG in arguments)


def _explain(error: Exception, status: int, *, debug: bool) -> int:
    if debug:
        _tell(traceback.print_exc)
    lead = "" if isinstance(error, ConfigurationError) and error.faults else "deltamark: "
    _tell(lambda: say(f"{lead}{error}"))
    return status


def _tell(words: Callable[[], object]) -> None:
    """Says something on standard error if there is still one."""
    if sys.stderr is None:
        return
    try:
        words()
    except (OSError, ValueError):
        return


def _prepare_streams() -> None:
    """Lets output never fail for want of a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _leave_pipe() -> None:
    """Whoever read the output has gone: keep Python from complaining about it at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return


if __name__ == "__main__":
    main()
