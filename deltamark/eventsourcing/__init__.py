"""The log of a store for the `eventsourcing` library: its applications, subscriptions and projections read it.

Read `log_application`, then `recorder`. The library itself is imported when this package is::

    from deltamark.eventsourcing import application

    with application("sqlite:///deltamark.db") as log:
        person = log.repository.get(log.resource_id("HR_Person", "E00042"))
"""

from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted
from deltamark.domain.adoption.decommission import Decommissioned, FedAgain
from deltamark.domain.resources.events import Event
from deltamark.domain.resources.link import Link, Linked, LinkEvent, LinkSnapshot, Unlinked
from deltamark.domain.resources.resource import (
    Computed,
    Created,
    Deleted,
    Resource,
    ResourceEvent,
    ResourceSnapshot,
    Updated,
)
from deltamark.domain.retention.erasure import Erased
from deltamark.domain.runs.run import (
    CancelRequested,
    ChangesDiscarded,
    JobRun,
    PairsAwaited,
    ResourceErased,
    RowsSetAside,
    RunEnded,
    RunEvent,
    RunResumed,
    RunStarted,
    TaskEnded,
    TaskProgressed,
    TaskStarted,
)
from deltamark.domain.sources.places import PlaceForgotten, PlaceMoved
from deltamark.eventsourcing.log_application import LogApplication, application
from deltamark.eventsourcing.recorder import NotificationsDiscarded
from deltamark.eventsourcing.topics import topics_of

__all__ = [
    "CancelRequested",
    "ChangesDiscarded",
    "Computed",
    "ConfigurationAdopted",
    "Created",
    "Decommissioned",
    "Deleted",
    "Erased",
    "Event",
    "FedAgain",
    "JobRun",
    "Link",
    "LinkEvent",
    "LinkSnapshot",
    "Linked",
    "LogApplication",
    "NotificationsDiscarded",
    "PairsAwaited",
    "PlaceForgotten",
    "PlaceMoved",
    "Resource",
    "ResourceErased",
    "ResourceEvent",
    "ResourceSnapshot",
    "RowsSetAside",
    "RunEnded",
    "RunEvent",
    "RunResumed",
    "RunStarted",
    "TaskEnded",
    "TaskProgressed",
    "TaskStarted",
    "Unlinked",
    "Updated",
    "application",
    "topics_of",
]
