"""Groups of commands: loaded when they are called, with suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import click

from deltamark.domain.secrets import masked
from deltamark.domain.suggestions import hint
from deltamark.interfaces.cli.pager import paged

HELP_OPTIONS = ["-h", "--help"]


class LazyCommand(click.Command):
    """A command whose module is imported when it is called.

    Until then it has a name and a summary.

    :param summary: the first paragraph of its help.
    :param is_paged: whether long results are shown by a pager.
    """

    def __init__(self, name: str, module: str, summary: str, *, is_paged: bool = False) -> None:
        super().__init__(name, help=summary)
        self._module = module
        self._is_paged = is_paged

    @cached_property
    def command(self) -> click.Command:
        """The command itself."""
        commands: tuple[click.Command, ...] = import_module(self._module).COMMANDS
        return next(command for command in commands if command.name == self.name)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        context = self.command.make_context(*args, **kwargs)
        if self._is_paged and not context.find_root().params.get("no_pager"):
            context.with_resource(paged())
        return context


class GuessingGroup(click.Group):
    """A group that suggests the command that a mistyped name may mean.

    :param sections: title -> the commands below it in the help; None lists all by name.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands by what one wants, each with its whole summary."""
        listed = {name for names in (self._sections or {}).values() for name in names}
        others = tuple(name for name in self.list_commands(ctx) if name not in listed)
        width = max(map(len, self.commands), default=0)
        for title, names in {**(self._sections or {}), "Commands" if not listed else "Other commands": others}.items():
            rows = [(name.ljust(width), _summary(self.commands[name])) for name in names if name in self.commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names.

        A mistyped one is refused with a suggestion; a shell that completes is offered nothing.
        """
        if (
            not ctx.resilient_parsing
            and args
            and self.get_command(ctx, args[0]) is None
            and not args[0].startswith("-")
        ):
            ctx.fail(f"there is no command {masked(args[0])[:80]!r}{hint(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def _summary(command: click.Command) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


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
