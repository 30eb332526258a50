"""Groups of commands: loaded when they are called, with suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

import click

from deltamark.domain.secrets import masked
from deltamark.domain.suggestions import hint

HELP_OPTIONS = ["-h", "--help"]


class LazyCommand(click.Command):
    """A command whose module is imported when it is called.

    Until then it has a name and a summary.

    :param summary: the first paragraph of its help.
    """

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._module = module

    @cached_property
    def command(self) -> click.Command:
        """The command itself."""
        commands: tuple[click.Command, ...] = import_module(self._module).COMMANDS
        return next(command for command in commands if command.name == self.name)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        return self.command.make_context(*args, **kwargs)


class GuessingGroup(click.Group):
    """A group that suggests the command that a mistyped name may mean."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names.

        A mistyped one is refused with a suggestion.
        """
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"there is no command {masked(args[0])[:80]!r}{hint(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def command_of(context: click.Context, name: str) -> click.Command:
    """The command of a name, of the outermost group."""
    group = context.find_root().command
    assert isinstance(group, click.Group)
    command = group.commands[name]
    return command.command if isinstance(command, LazyCommand) else command


def leaves(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, by its full name, such as `config export`."""
    for name, command in sorted(group.commands.items()):
        whole = command.command if isinstance(command, LazyCommand) else command
        if isinstance(whole, click.Group):
            yield from ((f"{name} {inner}", leaf) for inner, leaf in leaves(whole))
        else:
            yield name, whole
