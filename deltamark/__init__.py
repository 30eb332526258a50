"""Deltamark: event-sourced change tracking.

Synchronize resources from source systems, remember every change, compute only on what is dirty::

    from deltamark import Engine

    with Engine.open("sqlite:///deltamark.db", configuration="configuration", export_output="exports") as engine:
        run = engine.run_job("Nightly")
"""

from deltamark.application.derivation.user_functions.decorator import task
from deltamark.application.history.history import ExportedResource
from deltamark.application.integrity.backup import Backup
from deltamark.application.ports.records import Space
from deltamark.application.runs.observer import Observer
from deltamark.application.scheduling.health import Health, JobHealth
from deltamark.application.scheduling.notices import Notice, NoticeKind
from deltamark.config.xml.writer import configuration_xml
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import (
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
from deltamark.domain.configuration.jobs import (
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
from deltamark.domain.configuration.rules import (
    EntityPropertyExpression,
    ResourceClassificationRule,
    ResourceCorrelationRule,
    ResourceType,
)
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.differences import Difference, Verification
from deltamark.domain.derivation.explanation import Cause, Explanation
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
    NothingHeldBack,
    OutdatedChanges,
    RunNotFound,
    SourceError,
    StoreError,
    StoreUnreachable,
    TakenOver,
    ThresholdExceeded,
    UsageError,
    UserStartDenied,
    UserTaskFailed,
)
from deltamark.domain.history.changes import (
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
from deltamark.domain.history.diff import LinkDelta, ResourceDelta
from deltamark.domain.history.intervals import HeldLink, HeldValue
from deltamark.domain.integrity.verification import Checkpoint, Discrepancy, LogVerification, Replayed
from deltamark.domain.next_steps import NextAction, NextStep
from deltamark.domain.resources.link import Linked, LinkRef, Unlinked
from deltamark.domain.resources.resource import Change, Created, Deleted, Resource, ResourceRef, Updated
from deltamark.domain.retention.erasure import Erasure
from deltamark.domain.retention.retention import Outgoing, Retention, Unread
from deltamark.domain.runs.run import Counts, JobRun, Operator, Resumption, SetAside, TaskRun, Trigger, TriggerKind
from deltamark.domain.values import PropertyType
from deltamark.engine import Engine
from deltamark.infrastructure.checkpoints.files import read_checkpoint, write_checkpoint
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
    "NextAction",
    "NextStep",
    "NothingHeldBack",
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
    "RunNotFound",
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
