"""Groups of commands: what a mistyped one means, and every command by its whole name."""

from __future__ import annotations

from collections.abc import Iterator

import click

from deltamark.domain.suggestions import hint


class GuessingGroup(click.Group):
    """A group that guesses what a mistyped command means."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0][:80]!r}{hint(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def leaves(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its name with those of the groups it stands in, such as `config export`."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", leaf) for inner, leaf in leaves(command))
        else:
            yield name, command
