"""The elements of jobs: tasks, steps, overrides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from deltamark.config.xml.attribute_types import (
    BOOLEAN,
    COUNT,
    FUNCTION_NAME,
    IDENTIFIER,
    LEVEL,
    REFERENCE,
    TEXT,
    choice,
    numbered,
)
from deltamark.config.xml.elements import Attribute, Element, NameInFile, Parts, PartsOf, element, object_parts
from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    ComputingTask,
    DeliverTask,
    ExportTask,
    Job,
    PrepareSynchronizationTask,
    PythonTask,
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


def _name_only(field: str) -> tuple[Callable[[Parts], Any], PartsOf]:
    """Returns `build` and `parts_of` of an element that contains only a name."""

    def build(parts: Parts) -> Any:
        return NameInFile(parts.values[field], parts.location)

    def parts_of(element: Element, item: Any) -> Parts:
        return Parts(element, None, {field: item}, {}, {}, {})

    return build, parts_of


PARENT = Element(
    "TaskDependsOnTask",
    *_name_only("parent"),
    "parents",
    (Attribute("ParentTask", REFERENCE, "parent", required=True),),
    names=False,
)
TASK_ENTITY_TYPE = Element(
    "TaskEntityType",
    *_name_only("entity_type"),
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


def _computing_task(builds: type[ComputingTask], *attributes: Attribute) -> Element:
    return _task(
        builds,
        Attribute("Dirty", BOOLEAN, "dirty"),
        Attribute("AllEntityType", BOOLEAN, "all_entity_type"),
        *attributes,
        children=(TASK_ENTITY_TYPE,),
    )


BATCH_SIZE = Attribute("BatchSize", COUNT, "batch_size")
FUNCTION = Attribute("Function", FUNCTION_NAME, "function", required=True)


def _python_task_parts(element: Element, item: Any) -> Parts | None:
    """Returns the parts of a task, with the name of its function in place of the function."""
    if isinstance(item, PythonTask):
        item = evolve(item, function=item.function_name)
    return object_parts(element, item)


TASKS = (
    _task(
        ExportTask,
        Attribute("Connection", REFERENCE, "connection"),
        Attribute("Connector", REFERENCE, "connector"),
        Attribute("IgnoreCookieFile", BOOLEAN, "ignore_cookie_file"),
    ),
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
    _computing_task(
        UpdateEntityPropertyExpressionsTask,
        Attribute("BatchSelectSize", COUNT, "batch_select_size"),
        Attribute("BatchUpdateSize", COUNT, "batch_update_size"),
    ),
    _computing_task(ComputeCorrelationKeysTask, BATCH_SIZE),
    _computing_task(UpdateClassificationTask, BATCH_SIZE),
    evolve(_computing_task(PythonTask, FUNCTION, BATCH_SIZE), parts_of=_python_task_parts),
    _task(DeliverTask, Attribute("Connection", REFERENCE, "connection", required=True)),
)


def _has_items(value: object, kind: Any) -> bool:
    return bool(value) and isinstance(value, kind)


def _override(task: Element) -> Element:
    """Describes the element that calls a task with other attributes.

    Only `Identifier` is required.
    """

    def build(parts: Parts) -> TaskOverride:
        changes = {name: value for name, value in parts.values.items() if name != "identifier"}
        changes |= {name: tuple(map(str, items)) for name, items in parts.children.items()}
        if parts.display_names:
            changes["display_names"] = parts.display_names
        return TaskOverride(task.name, parts.values["identifier"], changes, location=parts.location)

    def parts_of(element: Element, item: Any) -> Parts | None:
        if not isinstance(item, TaskOverride) or item.kind != task.name:
            return None
        changes: dict[str, Any] = dict(item.changes)
        # Changes to empty or invalid collections stay among the values, so that the writer refuses them.
        names = changes.pop("display_names") if _has_items(changes.get("display_names"), Mapping) else {}
        nested = {child.into for child in task.children}
        children = {name: list(changes.pop(name)) for name in nested if _has_items(changes.get(name), list | tuple)}
        return Parts(element, item.location, {"identifier": item.identifier, **changes}, {}, names, children)

    attributes = tuple(
        Attribute(a.name, a.type, a.field, required=a.name == "Identifier")
        for a in task.attributes
        if a is not FUNCTION  # another function would write other properties
    )
    return Element(f"{task.name}Override", build, parts_of, "tasks", attributes, task.children, builds=task.builds)


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
