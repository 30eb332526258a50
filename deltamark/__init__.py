"""Deltamark: event-sourced change tracking.

Synchronize resources from source systems, remember every change, compute only on what is dirty::

    from deltamark import Engine

    with Engine.open("sqlite:///deltamark.db", configuration="configuration", export_output="exports") as engine:
        run = engine.run_job("Nightly")
"""

from deltamark.application.back_up import Backup
from deltamark.application.health import Health, JobHealth
from deltamark.application.history import ExportedResource
from deltamark.application.notices import Notice, NoticeKind
from deltamark.application.ports.retaining import Space
from deltamark.application.running.observer import Observer
from deltamark.application.user_tasks import task
from deltamark.bootstrap import Engine
from deltamark.config.writer import configuration_xml
from deltamark.domain.causes import Cause, Explanation
from deltamark.domain.changes import (
    Classification,
    CorrelationKey,
    DirtyResource,
    Horizon,
    LoggedChange,
    MatchedPair,
    PendingChange,
    RunMoment,
    When,
)
from deltamark.domain.checkpoints import Checkpoint
from deltamark.domain.configuration import Configuration
from deltamark.domain.deltas import LinkDelta, ResourceDelta
from deltamark.domain.derivations import Derivation
from deltamark.domain.differences import Difference, Verification
from deltamark.domain.erasure import Erasure
from deltamark.domain.errors import (
    AlreadyRunning,
    CannotCancel,
    CannotResume,
    ConcurrentRun,
    ConfigurationError,
    DeltamarkError,
    ErasedResource,
    Fault,
    HistoryDiscarded,
    OutdatedChanges,
    SourceError,
    StoreError,
    StoreUnreachable,
    TakenOver,
    ThresholdExceeded,
    UsageError,
    UserStartDenied,
    UserTaskFailed,
)
from deltamark.domain.holdings import HeldLink, HeldValue
from deltamark.domain.job import (
    ComputeCorrelationKeysTask,
    Job,
    PrepareSynchronizationTask,
    PythonTask,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskOverride,
    TaskState,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.link import Linked, LinkRef, Unlinked
from deltamark.domain.model import (
    Agent,
    Connection,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Policy,
    Property,
    PropertyMapping,
    PropertyRef,
    Thresholds,
)
from deltamark.domain.replaying import Discrepancy, LogVerification, Replayed
from deltamark.domain.resource import Change, Created, Deleted, Resource, ResourceRef, Updated
from deltamark.domain.retention import Outgoing, Retention, Unread
from deltamark.domain.rules import (
    EntityPropertyExpression,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
)
from deltamark.domain.run import Counts, JobRun, Operator, Resumption, SetAside, TaskRun, Trigger, TriggerKind
from deltamark.domain.user_function import UserTask
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.proof.checkpoint_files import read_checkpoint, write_checkpoint
from deltamark.version import __version__

__all__ = [
    "Agent",
    "AlreadyRunning",
    "Backup",
    "CannotCancel",
    "CannotResume",
    "Cause",
    "Change",
    "Checkpoint",
    "Classification",
    "ComputeCorrelationKeysTask",
    "ConcurrentRun",
    "Configuration",
    "ConfigurationError",
    "Connection",
    "Connector",
    "CorrelationKey",
    "Counts",
    "Created",
    "Deleted",
    "DeltamarkError",
    "Derivation",
    "Difference",
    "DirtyResource",
    "Discrepancy",
    "Engine",
    "EntityAssociation",
    "EntityAssociationMapping",
    "EntityPropertyExpression",
    "EntityType",
    "EntityTypeMapping",
    "ErasedResource",
    "Erasure",
    "Explanation",
    "ExportedResource",
    "Fault",
    "Health",
    "HeldLink",
    "HeldValue",
    "HistoryDiscarded",
    "Horizon",
    "Job",
    "JobHealth",
    "JobRun",
    "LinkDelta",
    "LinkRef",
    "Linked",
    "LogVerification",
    "LoggedChange",
    "MatchedPair",
    "Notice",
    "NoticeKind",
    "Observer",
    "Operator",
    "OutdatedChanges",
    "Outgoing",
    "PendingChange",
    "Policy",
    "PrepareSynchronizationTask",
    "Property",
    "PropertyMapping",
    "PropertyRef",
    "PropertyType",
    "PythonTask",
    "Replayed",
    "Resource",
    "ResourceClassificationRule",
    "ResourceCorrelationRule",
    "ResourceDelta",
    "ResourceRef",
    "ResourceType",
    "Resumption",
    "Retention",
    "RunMoment",
    "SetAside",
    "SetRecentlyModifiedFlagTask",
    "SourceError",
    "Space",
    "Step",
    "StoreError",
    "StoreUnreachable",
    "SynchronizationMode",
    "SynchronizeTask",
    "TakenOver",
    "TaskOverride",
    "TaskRun",
    "TaskState",
    "ThresholdExceeded",
    "Thresholds",
    "Trigger",
    "TriggerKind",
    "Unlinked",
    "Unread",
    "UpdateClassificationTask",
    "UpdateEntityPropertyExpressionsTask",
    "Updated",
    "UsageError",
    "UserStartDenied",
    "UserTask",
    "UserTaskFailed",
    "Verification",
    "When",
    "__version__",
    "configuration_xml",
    "read_checkpoint",
    "task",
    "write_checkpoint",
]
