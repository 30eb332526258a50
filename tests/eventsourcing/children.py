"""A process that follows a log into a view until it is killed."""

from __future__ import annotations

import sys
from time import sleep

from eventsourcing.projection import ProjectionRunner

from deltamark.eventsourcing import LogApplication
from tests.eventsourcing.views import InAFile, Seen, in_a_file


class InASlowFile(InAFile):
    """Takes a moment for each event, so that a kill comes in the midst of them."""

    def add(self, kind: str, tracking: object) -> None:
        super().add(kind, tracking)  # type: ignore[arg-type]
        sleep(0.0005)


def follow(store: str, view: str) -> None:
    """Follows for ever."""
    with ProjectionRunner(
        application_class=LogApplication,
        projection_class=Seen,
        view_class=InASlowFile,
        env={"DELTAMARK_STORE": store, **in_a_file(view)},
    ) as runner:
        runner.run_forever()


if __name__ == "__main__":
    follow(*sys.argv[1:])
