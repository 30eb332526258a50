"""Extracts that are not whole: nothing is deleted because they do not hold it."""

from __future__ import annotations

from collections.abc import Sequence

from deltamark.domain.messages import how_many


def why_incomplete(file: str, subject: str, losses: Sequence[tuple[str, int]]) -> str | None:
    """Why an extract cannot show that something is gone, or None if it can.

    :param subject: the entity type or association.
    :param losses: kinds of rows that may be about anything, and how many of each.
    """
    if not losses:
        return None
    parts = " and ".join(f"{how_many(count, 'row')} {what}" for what, count in losses)
    return (
        f"{file}: there {_are(losses)} {parts}, which may be about any missing {subject}: this extract deletes nothing"
    )


def _are(losses: Sequence[tuple[str, int]]) -> str:
    return "is" if losses[0][1] == 1 else "are"
