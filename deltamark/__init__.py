"""Deltamark: event-sourced change tracking.

Synchronize resources from source systems, remember every change, compute only on what is dirty::

    from deltamark import Engine

    with Engine.open("sqlite:///deltamark.db", configuration="configuration", export_output="exports") as engine:
        run = engine.run_job("Nightly")
"""

from typing import TYPE_CHECKING, Any

from deltamark.version import __version__

if TYPE_CHECKING:
    from deltamark.application.derivation.user_functions.decorator import task
    from deltamark.application.history.arrow_rows import RowIterator, RowList
    from deltamark.application.history.consumers import Consumer
    from deltamark.application.history.history import ExportedResource, Folded
    from deltamark.application.history.model import TypeModel
    from deltamark.application.history.projection import Misfit
    from deltamark.application.integrity.backup import Backup
    from deltamark.application.ports.records import Space
    from deltamark.application.ports.sources import Probe
    from deltamark.application.runs.observer import Observer
    from deltamark.application.scheduling.health import Health, JobHealth
    from deltamark.application.scheduling.notices import Notice, NoticeKind
    from deltamark.application.simulation.simulate import Simulation
    from deltamark.application.sinks.dead_letters import Retried
    from deltamark.application.sinks.deliver import Delivered
    from deltamark.application.sinks.show import SinkStatus
    from deltamark.config.xml.load import load_configuration
    from deltamark.config.xml.writer import configuration_xml
    from deltamark.domain.adoption.configuration_adopted import AdoptedConfiguration, Adoption
    from deltamark.domain.adoption.decommission import (
        Decommission,
        DecommissionAction,
        Freeze,
        Holding,
        Subject,
        SubjectKind,
    )
    from deltamark.domain.adoption.differences import DifferenceKind, ModelDifference, ModelPart
    from deltamark.domain.adoption.plan import AdoptionEffect, AdoptionPlan
    from deltamark.domain.adoption.unfed import Unfed
    from deltamark.domain.configuration.configuration import Configuration
    from deltamark.domain.configuration.entity_model import (
        Agent,
        Connection,
        ConnectionTable,
        ConnectionTransformation,
        Connector,
        EntityAssociation,
        EntityAssociationMapping,
        EntityType,
        EntityTypeMapping,
        JobUse,
        Policy,
        Property,
        PropertyMapping,
        PropertyRef,
        Thresholds,
    )
    from deltamark.domain.configuration.jobs import (
        ComputeCorrelationKeysTask,
        DeliverTask,
        ExportTask,
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
        DerivationKind,
        EntityPropertyExpression,
        ResourceClassificationRule,
        ResourceCorrelationRule,
        ResourceType,
    )
    from deltamark.domain.configuration.user_function import UserTask
    from deltamark.domain.configuration.value_formats import ByteOrder, Comparison
    from deltamark.domain.derivation.derivations import Derivation
    from deltamark.domain.derivation.differences import Difference, Verification
    from deltamark.domain.derivation.explanation import Explanation, FlagCause
    from deltamark.domain.derivation.simulation import DerivedChange, DerivedDifference, DerivedKind
    from deltamark.domain.errors import (
        AdoptionWaits,
        AlreadyRunning,
        CannotCancel,
        CannotResume,
        ChangesMissed,
        ConcurrentRun,
        ConfigurationError,
        ConfigurationUnknown,
        ConsumerMoved,
        DecommissionWaits,
        DeltamarkError,
        ErasedResource,
        Fault,
        HistoryDiscarded,
        NothingHeldBack,
        OtherConfigurationInUse,
        OutdatedChanges,
        RunBlocked,
        RunFailed,
        RunNotFound,
        SinkError,
        SinkStopped,
        SourceError,
        StoreError,
        StoreMissing,
        StoreReadOnly,
        StoreUnreachable,
        TakenOver,
        ThresholdExceeded,
        UsageError,
        UserStartDenied,
        UserTaskFailed,
        WorkerRefused,
        WorkersLost,
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
    from deltamark.domain.history.consumer import ConsumerPlace, ConsumerStatus
    from deltamark.domain.history.diff import LinkDelta, ResourceDelta
    from deltamark.domain.history.grounds import Grounds, GroundsKind
    from deltamark.domain.history.intervals import HeldLink, HeldValue
    from deltamark.domain.history.pages import (
        AmbiguousKey,
        ChangePage,
        DirtyCount,
        PendingCount,
        PendingPage,
        ResourcePage,
        RowOfTask,
        SetAsidePage,
    )
    from deltamark.domain.history.report import Existence, ReportedValue, ResourceReport
    from deltamark.domain.integrity.verification import (
        Checkpoint,
        Discrepancy,
        LogVerification,
        Replayed,
        VerificationRecord,
        VerifiedPart,
    )
    from deltamark.domain.next_steps import NextAction, NextStep
    from deltamark.domain.resources.events import Origin
    from deltamark.domain.resources.link import Linked, LinkRef, Unlinked
    from deltamark.domain.resources.resource import (
        Because,
        Change,
        Computed,
        Created,
        Deleted,
        Resource,
        ResourceRef,
        Updated,
    )
    from deltamark.domain.retention.erasure import Erasure
    from deltamark.domain.retention.retention import Outgoing, Retention, Unread
    from deltamark.domain.runs.run import (
        Counts,
        JobRun,
        LeftOut,
        Operator,
        Resumption,
        SetAside,
        TaskRun,
        Trigger,
        TriggerKind,
    )
    from deltamark.domain.secrets import Secret
    from deltamark.domain.sinks.batch import Gap
    from deltamark.domain.sinks.dead_letters import DeadLetter, LetterState
    from deltamark.domain.sources.places import KeptPlace
    from deltamark.domain.synchronization.direct_input import Delta
    from deltamark.domain.synchronization.recorded_changes import Delete, Link, Unlink, Upsert
    from deltamark.domain.values import PropertyType
    from deltamark.engine import Engine
    from deltamark.infrastructure.checkpoints.files import read_checkpoint, write_checkpoint

    Cause = FlagCause

__all__ = [
    "AdoptedConfiguration",
    "Adoption",
    "AdoptionEffect",
    "AdoptionPlan",
    "AdoptionWaits",
    "Agent",
    "AlreadyRunning",
    "AmbiguousKey",
    "Backup",
    "Because",
    "ByteOrder",
    "CannotCancel",
    "CannotResume",
    "Change",
    "ChangePage",
    "ChangesMissed",
    "Checkpoint",
    "Classification",
    "Comparison",
    "ComputeCorrelationKeysTask",
    "Computed",
    "ConcurrentRun",
    "Configuration",
    "ConfigurationError",
    "ConfigurationUnknown",
    "Connection",
    "ConnectionTable",
    "ConnectionTransformation",
    "Connector",
    "Consumer",
    "ConsumerMoved",
    "ConsumerPlace",
    "ConsumerStatus",
    "CorrelationKey",
    "Counts",
    "Created",
    "DeadLetter",
    "Decommission",
    "DecommissionAction",
    "DecommissionWaits",
    "Delete",
    "Deleted",
    "DeliverTask",
    "Delivered",
    "Delta",
    "DeltamarkError",
    "Derivation",
    "DerivationKind",
    "DerivedChange",
    "DerivedDifference",
    "DerivedKind",
    "Difference",
    "DifferenceKind",
    "DirtyCount",
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
    "Existence",
    "Explanation",
    "ExportTask",
    "ExportedResource",
    "Fault",
    "FlagCause",
    "Folded",
    "Freeze",
    "Gap",
    "Grounds",
    "GroundsKind",
    "Health",
    "HeldLink",
    "HeldValue",
    "HistoryDiscarded",
    "Holding",
    "Horizon",
    "Job",
    "JobHealth",
    "JobRun",
    "JobUse",
    "KeptPlace",
    "LeftOut",
    "LetterState",
    "Link",
    "LinkDelta",
    "LinkRef",
    "Linked",
    "LogVerification",
    "LoggedChange",
    "MatchedPair",
    "Misfit",
    "ModelDifference",
    "ModelPart",
    "NextAction",
    "NextStep",
    "NothingHeldBack",
    "Notice",
    "NoticeKind",
    "Observer",
    "Operator",
    "Origin",
    "OtherConfigurationInUse",
    "OutdatedChanges",
    "Outgoing",
    "PendingChange",
    "PendingCount",
    "PendingPage",
    "Policy",
    "PrepareSynchronizationTask",
    "Probe",
    "Property",
    "PropertyMapping",
    "PropertyRef",
    "PropertyType",
    "PythonTask",
    "Replayed",
    "ReportedValue",
    "Resource",
    "ResourceClassificationRule",
    "ResourceCorrelationRule",
    "ResourceDelta",
    "ResourcePage",
    "ResourceRef",
    "ResourceReport",
    "ResourceType",
    "Resumption",
    "Retention",
    "Retried",
    "RowIterator",
    "RowList",
    "RowOfTask",
    "RunBlocked",
    "RunFailed",
    "RunMoment",
    "RunNotFound",
    "Secret",
    "SetAside",
    "SetAsidePage",
    "SetRecentlyModifiedFlagTask",
    "Simulation",
    "SinkError",
    "SinkStatus",
    "SinkStopped",
    "SourceError",
    "Space",
    "Step",
    "StoreError",
    "StoreMissing",
    "StoreReadOnly",
    "StoreUnreachable",
    "Subject",
    "SubjectKind",
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
    "TypeModel",
    "Unfed",
    "Unlink",
    "Unlinked",
    "Unread",
    "UpdateClassificationTask",
    "UpdateEntityPropertyExpressionsTask",
    "Updated",
    "Upsert",
    "UsageError",
    "UserStartDenied",
    "UserTask",
    "UserTaskFailed",
    "Verification",
    "VerificationRecord",
    "VerifiedPart",
    "When",
    "WorkerRefused",
    "WorkersLost",
    "__version__",
    "configuration_xml",
    "load_configuration",
    "read_checkpoint",
    "task",
    "write_checkpoint",
]

_MODULES = {
    "deltamark.application.derivation.user_functions.decorator": ("task",),
    "deltamark.application.history.arrow_rows": ("RowIterator", "RowList"),
    "deltamark.application.history.consumers": ("Consumer",),
    "deltamark.application.sinks.dead_letters": ("Retried",),
    "deltamark.application.sinks.deliver": ("Delivered",),
    "deltamark.application.sinks.show": ("SinkStatus",),
    "deltamark.application.history.history": ("ExportedResource", "Folded"),
    "deltamark.application.history.model": ("TypeModel",),
    "deltamark.application.history.projection": ("Misfit",),
    "deltamark.application.integrity.backup": ("Backup",),
    "deltamark.application.ports.records": ("Space",),
    "deltamark.application.runs.observer": ("Observer",),
    "deltamark.application.scheduling.health": ("Health", "JobHealth"),
    "deltamark.application.scheduling.notices": ("Notice", "NoticeKind"),
    "deltamark.application.simulation.simulate": ("Simulation",),
    "deltamark.config.xml.load": ("load_configuration",),
    "deltamark.config.xml.writer": ("configuration_xml",),
    "deltamark.domain.adoption.configuration_adopted": ("AdoptedConfiguration", "Adoption"),
    "deltamark.domain.adoption.decommission": (
        "Decommission",
        "DecommissionAction",
        "Freeze",
        "Holding",
        "Subject",
        "SubjectKind",
    ),
    "deltamark.domain.adoption.differences": ("DifferenceKind", "ModelDifference", "ModelPart"),
    "deltamark.domain.adoption.plan": ("AdoptionEffect", "AdoptionPlan"),
    "deltamark.domain.adoption.unfed": ("Unfed",),
    "deltamark.domain.sources.places": ("KeptPlace",),
    "deltamark.application.ports.sources": ("Probe",),
    "deltamark.domain.secrets": ("Secret",),
    "deltamark.domain.configuration.configuration": ("Configuration",),
    "deltamark.domain.configuration.entity_model": (
        "Agent",
        "Connection",
        "Connector",
        "EntityAssociation",
        "EntityAssociationMapping",
        "EntityType",
        "EntityTypeMapping",
        "JobUse",
        "Policy",
        "Property",
        "PropertyMapping",
        "PropertyRef",
        "Thresholds",
        "ConnectionTable",
        "ConnectionTransformation",
    ),
    "deltamark.domain.configuration.jobs": (
        "ComputeCorrelationKeysTask",
        "Job",
        "PrepareSynchronizationTask",
        "PythonTask",
        "SetRecentlyModifiedFlagTask",
        "Step",
        "SynchronizationMode",
        "SynchronizeTask",
        "TaskOverride",
        "TaskState",
        "UpdateClassificationTask",
        "UpdateEntityPropertyExpressionsTask",
        "ExportTask",
        "DeliverTask",
    ),
    "deltamark.domain.configuration.rules": (
        "DerivationKind",
        "EntityPropertyExpression",
        "ResourceClassificationRule",
        "ResourceCorrelationRule",
        "ResourceType",
    ),
    "deltamark.domain.configuration.user_function": ("UserTask",),
    "deltamark.domain.configuration.value_formats": ("ByteOrder", "Comparison"),
    "deltamark.domain.derivation.derivations": ("Derivation",),
    "deltamark.domain.derivation.differences": ("Difference", "Verification"),
    "deltamark.domain.derivation.explanation": ("Explanation", "FlagCause"),
    "deltamark.domain.derivation.simulation": ("DerivedChange", "DerivedDifference", "DerivedKind"),
    "deltamark.domain.errors": (
        "AdoptionWaits",
        "AlreadyRunning",
        "CannotCancel",
        "CannotResume",
        "ChangesMissed",
        "ConcurrentRun",
        "ConfigurationError",
        "ConfigurationUnknown",
        "ConsumerMoved",
        "DecommissionWaits",
        "DeltamarkError",
        "ErasedResource",
        "Fault",
        "HistoryDiscarded",
        "NothingHeldBack",
        "OtherConfigurationInUse",
        "OutdatedChanges",
        "RunBlocked",
        "RunFailed",
        "RunNotFound",
        "SinkError",
        "SinkStopped",
        "SourceError",
        "StoreError",
        "StoreMissing",
        "StoreReadOnly",
        "StoreUnreachable",
        "TakenOver",
        "ThresholdExceeded",
        "UsageError",
        "UserStartDenied",
        "UserTaskFailed",
        "WorkerRefused",
        "WorkersLost",
    ),
    "deltamark.domain.history.changes": (
        "Classification",
        "CorrelationKey",
        "DirtyResource",
        "Horizon",
        "LoggedChange",
        "MatchedPair",
        "PendingChange",
        "RunMoment",
        "When",
    ),
    "deltamark.domain.history.consumer": ("ConsumerPlace", "ConsumerStatus"),
    "deltamark.domain.sinks.dead_letters": ("DeadLetter", "LetterState"),
    "deltamark.domain.sinks.batch": ("Gap",),
    "deltamark.domain.history.diff": ("LinkDelta", "ResourceDelta"),
    "deltamark.domain.history.grounds": ("Grounds", "GroundsKind"),
    "deltamark.domain.history.intervals": ("HeldLink", "HeldValue"),
    "deltamark.domain.history.pages": (
        "AmbiguousKey",
        "ChangePage",
        "DirtyCount",
        "PendingCount",
        "PendingPage",
        "ResourcePage",
        "RowOfTask",
        "SetAsidePage",
    ),
    "deltamark.domain.history.report": ("Existence", "ReportedValue", "ResourceReport"),
    "deltamark.domain.integrity.verification": (
        "Checkpoint",
        "Discrepancy",
        "LogVerification",
        "Replayed",
        "VerificationRecord",
        "VerifiedPart",
    ),
    "deltamark.domain.next_steps": ("NextAction", "NextStep"),
    "deltamark.domain.resources.events": ("Origin",),
    "deltamark.domain.resources.link": ("Linked", "LinkRef", "Unlinked"),
    "deltamark.domain.resources.resource": (
        "Because",
        "Change",
        "Computed",
        "Created",
        "Deleted",
        "Resource",
        "ResourceRef",
        "Updated",
    ),
    "deltamark.domain.retention.erasure": ("Erasure",),
    "deltamark.domain.retention.retention": ("Outgoing", "Retention", "Unread"),
    "deltamark.domain.runs.run": (
        "Counts",
        "JobRun",
        "LeftOut",
        "Operator",
        "Resumption",
        "SetAside",
        "TaskRun",
        "Trigger",
        "TriggerKind",
    ),
    "deltamark.domain.synchronization.direct_input": ("Delta",),
    "deltamark.domain.synchronization.recorded_changes": ("Delete", "Link", "Unlink", "Upsert"),
    "deltamark.domain.values": ("PropertyType",),
    "deltamark.engine": ("Engine",),
    "deltamark.infrastructure.checkpoints.files": ("read_checkpoint", "write_checkpoint"),
}
"""The module of each public name: it is imported when the name is used first, so that `import deltamark` is quick."""

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

_RENAMED = {"Cause": "FlagCause"}
"""Old name -> new name; the old one goes in the next release."""

if not TYPE_CHECKING:  # type checkers would take every name for one that exists

    def __getattr__(name: str) -> Any:
        if name in _RENAMED:
            from warnings import warn

            new = _RENAMED[name]
            warn(f"deltamark.{name} is called deltamark.{new} now.", DeprecationWarning, stacklevel=2)
            return __getattr__(new)
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = value = getattr(import_module(_MODULE_OF[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
