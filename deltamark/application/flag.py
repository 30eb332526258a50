"""Flagging: a projection over the log that marks the resources that changes concern."""

from __future__ import annotations

from deltamark.application.ports.store import Place, Reading, Writing
from deltamark.application.services import Apply, Done, Scope
from deltamark.domain.flags import FLAG_PROJECTION
from deltamark.domain.job import SetRecentlyModifiedFlagTask
from deltamark.domain.run import Counts
from deltamark.domain.wording import how_many


def has_unflagged_changes(reading: Reading) -> bool:
    """Whether something changed, or was discarded, since the last flag task."""
    place = reading.place(FLAG_PROJECTION)
    return reading.changed_since(place.position if place else 0)


def flagging(task: SetRecentlyModifiedFlagTask) -> Apply:
    """Flags what changed since the last flag task: the resources themselves and both ends of changed links."""

    def apply(tx: Writing, scope: Scope) -> Done:
        place = tx.place(FLAG_PROJECTION)
        after = place.position if place else 0
        head = tx.head()
        messages = []
        for position, discarded in tx.discards(after):
            if discarded.unread:
                everything = tx.flag_all(discarded.entity_types, position)
                messages.append(
                    f"{how_many(discarded.count, 'change')} of {discarded.connector} discarded before being flagged: "
                    f"flagged all {how_many(everything, 'resource')} of {', '.join(discarded.entity_types)}"
                )
        flagged = tx.flag_changes(after)
        tx.move_place(FLAG_PROJECTION, Place(position=head, digest=""))
        tx.forget_flags()
        return Done(counts=Counts(flagged=flagged), effect=True, messages=messages)

    return apply
