"""The command `completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from deltamark.interfaces.cli.completion import VARIABLE
from deltamark.interfaces.cli.streams import tell


@click.command(epilog="Example: deltamark completion fish")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Prints what makes a shell complete names.

    It completes commands and options, and what the configuration and the store hold: jobs, types, connectors and keys.
    For bash, put `eval "$(deltamark completion bash)"` into ~/.bashrc; for zsh likewise into ~/.zshrc; for fish, write
    the output to ~/.config/fish/completions/deltamark.fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    completer = kind(context.find_root().command, {}, "deltamark", VARIABLE)
    tell(kind.source_template % completer.source_vars())


COMMANDS: tuple[click.Command, ...] = (completion,)
