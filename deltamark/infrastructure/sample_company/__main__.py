"""Writes the extracts of a made-up company.

Call: ``python -m deltamark.infrastructure.sample_company``.
"""

from __future__ import annotations

from pathlib import Path

import click

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.sample_company.generator import generate


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--people", default=1_000, show_default=True, help="The number of people on day 0.")
@click.option("--seed", default=1, show_default=True, help="Another seed gives another company.")
@click.option("--day", default=0, show_default=True, help="The day, counted from 0.")
@click.option("--accounts/--no-accounts", default=True, help="Whether to write the accounts too.")
@click.option("--groups/--no-groups", default=None, help="Whether to write the groups too (default: as accounts).")
def main(folder: Path, people: int, seed: int, day: int, accounts: bool, groups: bool | None) -> None:
    """Writes the extracts of a company on one of its days to FOLDER.

    The same options always give the same bytes.

    Example: python -m deltamark.infrastructure.sample_company exports --people 1000 --day 3
    """
    try:
        files = generate(
            folder,
            people=people,
            seed=seed,
            day=day,
            accounts=accounts,
            groups=accounts if groups is None else groups,
        )
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    for file in files:
        click.echo(file)


if __name__ == "__main__":
    main()
