"""The elements of jobs: tasks, steps, overrides."""

from __future__ import annotations

from typing import Any

from deltamark.config.elements import Attribute, Element, Parts, element
from deltamark.config.kinds import (
    BOOLEAN,
    COUNT,
    IDENTIFIER,
    LEVEL,
    REFERENCE,
    TEXT,
    choice,
    numbered,
)
from deltamark.domain.job import (
    ComputeCorrelationKeysTask,
    ComputingTask,
    Job,
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    Task,
    TaskOverride,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)

SYNCHRONIZATION_MODE = numbered(
    (0, "Initial", SynchronizationMode.INITIAL),
    (1, "Complete", SynchronizationMode.COMPLETE),
    (2, "Incremental", SynchronizationMode.INCREMENTAL),
)
SYNCHRONIZATION_TYPE = choice({name: name for name in ("None", "Changes", "ActiveDirectory")})
CRON_TIME_ZONE = numbered((0, "UTC", 0), (1, "ServerTime", 1))
LOG_LEVEL = numbered(
    *(
        (number, name, name)
        for number, name in enumerate(("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None"))
    )
)


def _named(field: str) -> Any:
    def build(parts: Parts) -> Any:
        return parts.values[field]

    return build


PARENT = Element(
    "TaskDependsOnTask",
    _named("parent"),
    "parents",
    (Attribute("ParentTask", REFERENCE, "parent", required=True),),
    names=False,
)
TASK_ENTITY_TYPE = Element(
    "TaskEntityType",
    _named("entity_type"),
    "entity_types",
    (
        Attribute("EntityType", REFERENCE, "entity_type", required=True),
        Attribute("Identifier", REFERENCE, "entity_type"),
    ),
    names=False,
)
COMMON = (
    Attribute("Identifier", IDENTIFIER, "identifier"),
    Attribute("Level", LEVEL, "level"),
    Attribute("ContinueOnError", BOOLEAN, "continue_on_error"),
    Attribute("Agent", REFERENCE, "agent"),
    Attribute("OpenIdClient", TEXT),
)
CONNECTOR = Attribute("Connector", REFERENCE, "connector", required=True)
TYPE = Attribute("Type", SYNCHRONIZATION_TYPE, "type")


def _task(builds: type[Task], *attributes: Attribute, children: tuple[Element, ...] = ()) -> Element:
    return element(builds.kind, builds, "tasks", *COMMON, *attributes, children=(PARENT, *children), needs_name=True)


def _computing(builds: type[ComputingTask], *attributes: Attribute) -> Element:
    return _task(
        builds,
        Attribute("Dirty", BOOLEAN, "dirty"),
        Attribute("AllEntityType", BOOLEAN, "all_entity_type"),
        *attributes,
        children=(TASK_ENTITY_TYPE,),
    )


BATCH_SIZE = Attribute("BatchSize", COUNT, "batch_size")

TASKS = (
    _task(
        PrepareSynchronizationTask,
        CONNECTOR,
        Attribute("SynchronizationMode", SYNCHRONIZATION_MODE, "synchronization_mode"),
        TYPE,
        Attribute("ColumnName", TEXT, "column_name"),
    ),
    _task(
        SynchronizeTask,
        CONNECTOR,
        Attribute("DoNotDeleteChanges", BOOLEAN, "do_not_delete_changes"),
        Attribute("ForceSynchronization", BOOLEAN, "force_synchronization"),
        Attribute("Orphans", BOOLEAN, "orphans"),
        TYPE,
    ),
    _task(SetRecentlyModifiedFlagTask),
    _computing(
        UpdateEntityPropertyExpressionsTask,
        Attribute("BatchSelectSize", COUNT, "batch_select_size"),
        Attribute("BatchUpdateSize", COUNT, "batch_update_size"),
    ),
    _computing(ComputeCorrelationKeysTask, BATCH_SIZE),
    _computing(UpdateClassificationTask, BATCH_SIZE),
)


def _override(task: Element) -> Element:
    """The element that calls an existing task with other attributes: nothing but its identifier is needed."""

    def build(parts: Parts) -> TaskOverride:
        changes = {name: value for name, value in parts.values.items() if name != "identifier"}
        changes |= {name: tuple(items) for name, items in parts.children.items()}
        if parts.display_names:
            changes["display_names"] = parts.display_names
        return TaskOverride(task.name, parts.values["identifier"], changes, location=parts.location)

    attributes = tuple(Attribute(a.name, a.kind, a.field, required=a.name == "Identifier") for a in task.attributes)
    return Element(f"{task.name}Override", build, "tasks", attributes, task.children, builds=task.builds)


STEP = element(
    "Step",
    Step,
    "tasks",
    Attribute("Task", REFERENCE, "task", required=True),
    Attribute("Identifier", REFERENCE, "task"),
    Attribute("Level", LEVEL, "level"),
    names=False,
)
JOB = element(
    "Job",
    Job,
    "jobs",
    Attribute("Identifier", IDENTIFIER, "identifier", required=True),
    Attribute("Agent", REFERENCE, "agent"),
    Attribute("CronTabExpression", TEXT, "cron_tab_expression"),
    Attribute("CronTimeZone", CRON_TIME_ZONE, "cron_time_zone"),
    Attribute("IsIncremental", BOOLEAN, "is_incremental"),
    Attribute("LogLevel", LOG_LEVEL, "log_level"),
    Attribute("UserStartDenied", BOOLEAN, "user_start_denied"),
    children=(*TASKS, STEP, *(_override(task) for task in TASKS)),
    needs_name=True,
)
