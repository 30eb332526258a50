"""Properties that some people do not see: for them the engine answers with `•••` in place of the values.

A route asks the engine that it is given, so every answer is masked, also those of routes that are written later:
what is not known here is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from attrs import evolve
from litestar.exceptions import PermissionDeniedException

from deltamark.application.history.history import ExportedResource
from deltamark.application.history.model import TypeModel
from deltamark.domain.derivation.explanation import Explanation, FlagCause
from deltamark.domain.derivation.hidden_properties import hidden_with
from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import CorrelationKey, LoggedChange, MatchedPair, PendingChange
from deltamark.domain.history.diff import LinkDelta, ResourceDelta
from deltamark.domain.history.intervals import HeldValue
from deltamark.domain.history.pages import AmbiguousKey, ChangePage, PendingPage, ResourcePage, SetAsidePage
from deltamark.domain.history.report import ResourceReport
from deltamark.domain.resources.resource import Change, Created, Deleted, Resource, ResourceEvent, Updated
from deltamark.domain.runs.run import JobRun, SetAside, TaskRun
from deltamark.domain.suggestions import hint
from deltamark.domain.values import Values, shown
from deltamark.engine import Engine
from deltamark.interfaces.http.settings import MaskSettings
from deltamark.interfaces.http.users import User

MASK = "•••"

_PASSED = frozenset(
    {
        "checkpoint", "classifications", "configuration", "configuration_at", "configurations", "consumers", "counts",
        "derivations", "dirty", "dirty_counts", "epoch", "health", "held_back", "horizons", "links",
        "audit_association", "pending_counts", "places", "plan", "position", "sinks", "space", "type_model",
        "verifications", "wait",
    }
)  # fmt: skip
"""What holds no values of properties."""

_Change = TypeVar("_Change", LoggedChange, PendingChange)


class Masks:
    """Gives each user the engine as they may see it.

    :raises UsageError: for properties that there are not, or that are keys.
    """

    def __init__(self, engine: Engine, settings: MaskSettings | None) -> None:
        self._engine, self._settings = engine, settings
        self._masked: MaskedEngine | None = None
        if settings is not None:
            _refuse_unknown(engine, settings)

    def engine_for(self, user: User | None) -> Any:
        """The engine for a user; without a user, it shows no values anyway."""
        if self._settings is None or user is None or not self._settings.hides_from(user):
            return self._engine
        if self._masked is None:
            self._masked = MaskedEngine(self._engine, self._settings)
        return self._masked

    def is_hidden_from(self, user: User | None) -> bool:
        """Whether a user sees masks."""
        return self._settings is not None and user is not None and self._settings.hides_from(user)


class MaskedEngine:
    """An engine that shows masks in place of the values of some properties."""

    def __init__(self, engine: Engine, settings: MaskSettings) -> None:
        self._engine = engine
        self._hidden, self._rules = hidden_with(settings.properties, engine.derivations())

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED:
            return getattr(self._engine, name)
        raise PermissionDeniedException("this is for those who see all properties; some are masked for you.")

    def resource(self, *args: Any, **named: Any) -> Resource | None:
        """As `Engine.resource`."""
        found = self._engine.resource(*args, **named)
        return None if found is None else self._resource(found)

    def resources(self, entity_type: str, **named: Any) -> ResourcePage:
        """As `Engine.resources`."""
        self._refuse_search(entity_type, named.get("where"))
        page = self._engine.resources(entity_type, **named)
        return evolve(page, resources=tuple(map(self._resource, page.resources)))

    def export_view(self, entity_type: str, *args: Any, **named: Any) -> tuple[TypeModel, Iterator[ExportedResource]]:
        """As `Engine.export_view`."""
        self._refuse_search(entity_type, named.get("where"))
        model, resources = self._engine.export_view(entity_type, *args, **named)
        return model, self._exported(entity_type, resources)

    def export_resources(self, entity_type: str, *args: Any, **named: Any) -> Iterator[ExportedResource]:
        """As `Engine.export_resources`."""
        self._refuse_search(entity_type, named.get("where"))
        return self._exported(entity_type, self._engine.export_resources(entity_type, *args, **named))

    def export_batches(self, entity_type: str, *args: Any, **named: Any) -> Any:
        """As `Engine.export_batches`, of a type of which nothing is masked."""
        refuse_masked_arrow(self, entity_type)
        return self._engine.export_batches(entity_type, *args, **named)

    def changes_page(self, **named: Any) -> ChangePage:
        """As `Engine.changes_page`."""
        page = self._engine.changes_page(**named)
        return evolve(page, changes=tuple(map(self.change, page.changes)))

    def changes(self, *args: Any, **named: Any) -> Any:
        """Refuses what `Engine.changes` gives as Arrow."""
        refuse_masked_arrow(self, None)
        raise AssertionError("it was refused")

    def history(self, *args: Any, **named: Any) -> list[LoggedChange]:
        """As `Engine.history`."""
        return list(map(self.change, self._engine.history(*args, **named)))

    def pending_page(self, *args: Any, **named: Any) -> PendingPage:
        """As `Engine.pending_page`."""
        page = self._engine.pending_page(*args, **named)
        return evolve(page, changes=tuple(map(self.change, page.changes)))

    def diff(self, *args: Any, **named: Any) -> Iterator[ResourceDelta | LinkDelta]:
        """As `Engine.diff`."""
        for delta in self._engine.diff(*args, **named):
            if isinstance(delta, ResourceDelta):
                hidden = self._hidden.get(delta.ref.entity_type, frozenset())
                delta = evolve(delta, changes=_changes(delta.changes, hidden))
            yield delta

    def audit(self, entity_type: str, property_name: str, *args: Any, **named: Any) -> Iterator[HeldValue]:
        """As `Engine.audit`."""
        return map(self._held, self._engine.audit(entity_type, property_name, *args, **named))

    def report(self, *args: Any, **named: Any) -> ResourceReport:
        """As `Engine.report`."""
        found = self._engine.report(*args, **named)
        return evolve(
            found,
            existence=[
                evolve(each, since=self._maybe(each.since), until=self._maybe(each.until)) for each in found.existence
            ],
            values=[evolve(each, held=self._held(each.held)) for each in found.values],
            links=[evolve(each, since=self._maybe(each.since), until=self._maybe(each.until)) for each in found.links],
            keys=map(self._key, found.keys),
            matches=map(self._key, found.matches),
        )

    def why(self, *args: Any, **named: Any) -> Explanation:
        """As `Engine.why`."""
        found = self._engine.why(*args, **named)
        return evolve(found, causes=[self._cause(cause) for cause in found.causes])

    def keys(self, *args: Any, **named: Any) -> Iterator[CorrelationKey]:
        """As `Engine.keys`."""
        return map(self._key, self._engine.keys(*args, **named))

    def matches(self, *args: Any, **named: Any) -> Iterator[MatchedPair]:
        """As `Engine.matches`."""
        return map(self._key, self._engine.matches(*args, **named))

    def ambiguous(self, rule: str, **named: Any) -> list[AmbiguousKey]:
        """As `Engine.ambiguous`, of a rule that reads nothing that is masked: its pages go on after a value."""
        if self._is_hidden_rule(rule):
            raise PermissionDeniedException(f"the keys of rule {rule} are masked for you.")
        return self._engine.ambiguous(rule, **named)

    def runs(self, *args: Any, **named: Any) -> list[JobRun]:
        """As `Engine.runs`."""
        return [masked_run(run) for run in self._engine.runs(*args, **named)]

    def run(self, *args: Any, **named: Any) -> JobRun:
        """As `Engine.run`."""
        return masked_run(self._engine.run(*args, **named))

    def set_aside(self, *args: Any, **named: Any) -> SetAsidePage:
        """As `Engine.set_aside`: of rows that were set aside it is not known which property a value is of."""
        page = self._engine.set_aside(*args, **named)
        return evolve(page, rows=tuple(evolve(each, row=_masked_row(each.row)) for each in page.rows))

    def hides_of(self, entity_type: str | None) -> bool:
        """Whether a property of a type is masked, or of any type."""
        return entity_type is None or bool(self._hidden.get(entity_type))

    def change(self, change: _Change) -> _Change:
        """A change with masks."""
        event = change.event
        hidden = self._hidden.get(event.ref.entity_type) if isinstance(event, ResourceEvent) else None
        if not hidden:
            return change
        if isinstance(event, Created):
            event = evolve(event, values=_values(event.values, hidden))
        elif isinstance(event, Deleted):
            event = evolve(event, values=_values(event.values, hidden), computed=_values(event.computed, hidden))
        elif isinstance(event, Updated):
            event = evolve(event, updates=_changes(event.updates, hidden))
        else:
            raise AssertionError(f"nothing is known of what {type(event).__name__} holds.")
        return evolve(change, event=event)

    def _maybe(self, change: LoggedChange | None) -> LoggedChange | None:
        return None if change is None else self.change(change)

    def _resource(self, resource: Resource) -> Resource:
        hidden = self._hidden.get(resource.ref.entity_type, frozenset())
        return evolve(
            resource,
            synchronized=_values(resource.synchronized, hidden),
            computed=_values(resource.computed, hidden),
        )

    def _exported(self, entity_type: str, resources: Iterable[ExportedResource]) -> Iterator[ExportedResource]:
        hidden = self._hidden.get(entity_type, frozenset())
        try:
            for resource in resources:
                yield evolve(resource, values=_values(resource.values, hidden))
        finally:
            close = getattr(resources, "close", None)
            if close is not None:
                close()

    def _held(self, held: HeldValue) -> HeldValue:
        found = evolve(held, since=self._maybe(held.since), until=self._maybe(held.until))
        return evolve(found, value=MASK) if held.property in self._hidden.get(held.ref.entity_type, ()) else found

    def _key(self, key: Any) -> Any:
        """A key or a pair, without its value where its rule reads what is masked."""
        return evolve(key, value=MASK) if self._is_hidden_rule(key.rule) else key

    def _is_hidden_rule(self, rule: str) -> bool:
        """Rules without a name of their own are numbered behind an underscore."""
        return rule in self._rules or rule.rpartition("_")[0] in self._rules

    def _cause(self, cause: FlagCause) -> FlagCause:
        return evolve(cause, change=self._maybe(cause.change))

    def _refuse_search(self, entity_type: str, where: Mapping[str, Any] | None) -> None:
        hidden = self._hidden.get(entity_type, frozenset()) & set(where or ())
        if hidden:
            raise PermissionDeniedException(f"{min(hidden)} is masked for you, so you cannot search by it.")


def refuse_masked_arrow(engine: Any, entity_type: str | None) -> None:
    """Refuses Arrow, whose columns have types, where properties are masked.

    :param entity_type: of the resources; None for changes of all.
    :raises PermissionDeniedException: if some are.
    """
    if isinstance(engine, MaskedEngine) and engine.hides_of(entity_type):
        raise PermissionDeniedException(
            "properties are masked for you. Ask for JSON, JSON lines or CSV instead of Arrow."
        )


class MaskedRuns:
    """Starts, resumes and decides about runs for users who see masks: of what they are answered, too."""

    def __init__(self, runs: Any) -> None:
        self._runs = runs

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._runs, name)

        def called(*args: Any, **named: Any) -> Any:
            answer = method(*args, **named)
            return masked_run(answer) if isinstance(answer, JobRun) else answer

        return called


class MaskedReports:
    """Refuses reports, which are made by processes that know no masks."""

    def __init__(self, reports: Any) -> None:
        self._reports = reports

    def __getattr__(self, name: str) -> Any:
        if name == "faults":
            return self._reports.faults
        if name == "all":  # what pages list beside what they show
            return lambda *args, **named: []
        if name == "newest":
            return lambda *args, **named: None
        raise PermissionDeniedException("reports are for those who see all properties; some are masked for you.")


def masked_run(run: JobRun) -> JobRun:
    """A run without what may quote values: the messages of its tasks, and the rows that it set aside."""
    adoption = None if run.adoption is None else _masked_task(run.adoption)
    return evolve(run, tasks=tuple(map(_masked_task, run.tasks)), adoption=adoption)


def _masked_task(task: TaskRun) -> TaskRun:
    return evolve(
        task,
        messages=tuple(MASK for _ in task.messages),
        set_aside=tuple(map(_masked_row, task.set_aside)),
    )


def _masked_row(row: SetAside) -> SetAside:
    return evolve(row, value=None if row.value is None else MASK, reason=MASK)


def _values(values: Values, hidden: frozenset[str]) -> Values:
    return {name: MASK if name in hidden and value is not None else value for name, value in values.items()}


def _changes(changes: Mapping[str, Change], hidden: frozenset[str]) -> dict[str, Change]:
    return {
        name: Change(_hidden(change.before), _hidden(change.after)) if name in hidden else change
        for name, change in changes.items()
    }


def _hidden(value: Any) -> Any:
    return None if value is None else MASK


def _refuse_unknown(engine: Engine, settings: MaskSettings) -> None:
    for entity_type, names in settings.properties.items():
        defined = engine.configuration.entity_type(entity_type)
        if defined is None:
            known = [each.identifier for each in engine.configuration.entity_types]
            raise UsageError(
                f"[deltamark.serve.masks] names an unknown entity type {shown(entity_type)}{hint(entity_type, known)}."
            )
        properties = {each.identifier: each for each in engine.configuration.valued_properties(defined)}
        for name in sorted(names):
            if name not in properties:
                raise UsageError(
                    f"[deltamark.serve.masks] names an unknown property {shown(name)} of {entity_type}"
                    f"{hint(name, properties)}."
                )
            if properties[name].is_key:
                raise UsageError(
                    f"[deltamark.serve.masks] names {name}, the key of {entity_type}, which stands in every answer and "
                    "cannot be masked."
                )
