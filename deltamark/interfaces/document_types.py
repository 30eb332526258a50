"""The shapes of documents: their members, for the command line, the API and its description."""

from typing import NotRequired, TypeAlias, TypedDict

Plain: TypeAlias = str | int | float | bool | None
"""A value of a property. Decimal numbers and times are texts."""


class ValueChange(TypedDict):
    """The value of a property before and after a change."""

    before: Plain
    after: Plain


class RefDocument(TypedDict):
    """A resource by its name."""

    entity_type: str
    key: str


class GroundsDocument(TypedDict):
    """Why a change was made; only the members that say something."""

    kind: str
    file: NotRequired[str]
    line: NotRequired[int]
    ends: NotRequired[list[RefDocument]]
    first: NotRequired[int]
    last: NotRequired[int]
    whole: NotRequired[str]
    configuration: NotRequired[str]
    adopted: NotRequired[int]
    task: NotRequired[str]
    words: NotRequired[str]


class OriginDocument(TypedDict):
    """Where a change comes from."""

    run: int
    job: str
    task: str
    user: str
    trigger: str
    by: NotRequired[str]
    reason: NotRequired[str]
    file: NotRequired[str]
    line: NotRequired[int | None]
    grounds: NotRequired[GroundsDocument]


class ChangeDocument(OriginDocument):
    """A change of a resource (with `changes`) or of a link (with `association`)."""

    position: int | None
    at: str | None
    change: str
    entity_type: str
    key: str
    changes: NotRequired[dict[str, ValueChange]]
    association: NotRequired[str]
    other_entity_type: NotRequired[str]
    other_key: NotRequired[str]


class DeltaDocument(TypedDict):
    """A difference between two moments."""

    change: str
    entity_type: str
    key: str
    changes: NotRequired[dict[str, ValueChange]]
    association: NotRequired[str]
    other_entity_type: NotRequired[str]
    other_key: NotRequired[str]


class ListedResource(TypedDict):
    """A resource of those that were looked for, without its links."""

    key: str
    properties: dict[str, Plain]
    computed: list[str]


class ExportedDocument(TypedDict):
    """A resource of a list, with the keys that its links lead to."""

    key: str
    properties: dict[str, Plain]
    links: dict[str, list[str]]


class ResourceDocument(TypedDict):
    """A resource with its links in both directions."""

    entity_type: str
    key: str
    properties: dict[str, Plain]
    computed: list[str]
    links: dict[str, list[str]]
    linked_from: dict[str, list[str]]


class LeftOutDocument(TypedDict):
    """A connector that is left out because a run holds its changes back."""

    connector: str
    run: int
    since: str | None


class PlaceDocument(TypedDict):
    """Where something happened; only the members that are known."""

    file: NotRequired[str]
    line: NotRequired[int]
    column: NotRequired[str]
    position: NotRequired[int]
    connector: NotRequired[str]
    entity_type: NotRequired[str]
    property: NotRequired[str]
    key: NotRequired[str]


class MessageDocument(TypedDict):
    """A message in its parts: what happened, where, and what to do about it."""

    what: str
    where: PlaceDocument
    advice: str | None


class TaskDocument(TypedDict):
    """A task of a run, with its counts."""

    task: str
    state: str
    read: int
    inserted: int
    updated: int
    deleted: int
    linked: int
    unlinked: int
    set_aside: int
    flagged: int
    computed: int
    executed: int
    necessary: int
    written: int
    seconds: float
    messages: list[str]
    message_parts: list[MessageDocument]
    left_out: NotRequired[LeftOutDocument]


class OperatorDocument(TypedDict):
    """Who did something, where, for whom and why."""

    user: str
    host: str
    by: NotRequired[str]
    reason: NotRequired[str]
    via: NotRequired[str]


class ResumptionDocument(OperatorDocument):
    """That a run was resumed."""

    at: str | None
    again: list[int]


class SetAsideDocument(TypedDict):
    """A row that was not applied."""

    file: str
    line: int | None
    column: str | None
    value: str | None
    reason: str
    key: NotRequired[str | None]


class RunDocument(TypedDict):
    """A run with its tasks."""

    run: int | None
    job: str
    state: str
    started_at: str | None
    ended_at: str | None
    user: str
    host: str
    by: NotRequired[str]
    reason: NotRequired[str]
    via: NotRequired[str]
    forced: bool
    trigger: str
    due_at: str | None
    late: bool
    resumed: list[ResumptionDocument]
    cancelled_by: NotRequired[OperatorDocument]
    dry_run: bool
    adoption: NotRequired[TaskDocument]
    tasks: list[TaskDocument]
    set_aside: NotRequired[list[SetAsideDocument]]


class DirtyDocument(TypedDict):
    """A resource that a task would compute."""

    task: str
    entity_type: str
    key: str
    since: int
    through: NotRequired[list[str]]


class CauseDocument(TypedDict):
    """Why a task would compute a resource."""

    position: int | None
    at: str | None
    change: str | None
    entity_type: str | None
    key: str | None
    changes: NotRequired[dict[str, ValueChange]]
    association: NotRequired[str]
    other_entity_type: NotRequired[str]
    other_key: NotRequired[str]
    path: str
    property: str | None
    task: str
    computes: list[str]
    reason: str
    through: NotRequired[list[str]]
    run: NotRequired[int]
    job: NotRequired[str]
    changed_by: NotRequired[str]
    user: NotRequired[str]
    trigger: NotRequired[str]
    by: NotRequired[str]
    file: NotRequired[str]
    line: NotRequired[int | None]
    grounds: NotRequired[GroundsDocument]
    run_reason: NotRequired[str]


class KeyDocument(TypedDict):
    """A correlation key."""

    rule: str
    side: str
    entity_type: str
    key: str
    value: str


class PairDocument(TypedDict):
    """A matched pair."""

    rule: str
    value: str
    source_entity_type: str
    source_key: str
    target_entity_type: str
    target_key: str
    confidence: int


class ClassificationDocument(TypedDict):
    """The resource type of a resource."""

    entity_type: str
    key: str
    resource_type: str
    rule: str
    confidence: int


class FaultDocument(MessageDocument):
    """A fault or a warning of a configuration, whole and in its parts."""

    severity: str
    file: str | None
    line: int | None
    column: str | None
    message: str


class NextStepDocument(TypedDict):
    """What can be done next; `subject` is a run, a position or a job."""

    action: str
    words: str
    subject: int | str | None


class ErrorDocument(MessageDocument):
    """An error: its kind, its whole message and its parts, the faults of a configuration, and what can be done next."""

    error: str
    message: str
    faults: NotRequired[list[FaultDocument]]
    next_steps: NotRequired[list[NextStepDocument]]


class JobDocument(TypedDict):
    """A job of the configuration; `left_out` is there only where it leaves a connector out."""

    job: str
    display_name: str
    is_incremental: bool
    schedule: str | None
    next_at: str | None
    tasks: int
    user_start_denied: bool
    left_out: NotRequired[list[LeftOutDocument]]


class PropertyDocument(TypedDict):
    """A property of an entity type."""

    name: str
    type: str
    is_key: bool


class EntityTypeDocument(TypedDict):
    """An entity type: how many resources it has, what feeds it, and below which position its changes were discarded."""

    entity_type: str
    display_name: str | None
    resources: int
    connectors: list[str]
    horizon: int | None
    properties: list[PropertyDocument]


class JobHealthDocument(TypedDict):
    """A job that has a schedule."""

    job: str
    run: int | None
    state: str | None
    next_at: str | None


class FreezeDocument(TypedDict):
    """Since when something is frozen, and why."""

    since: str | None
    run: int
    by: str | None
    reason: str


class UnfedDocument(TypedDict):
    """What the store holds and nothing feeds any more."""

    kind: str
    name: str
    because: str
    connector: str | None
    frozen: FreezeDocument | None


class HealthDocument(TypedDict):
    """The state of the schedule and of what feeds the store."""

    well: bool
    scheduler: bool
    problems: list[str]
    jobs: list[JobHealthDocument]
    held_back: list[LeftOutDocument]
    unfed: list[UnfedDocument]


class CloudEventDocument(TypedDict):
    """A change as a CloudEvent 1.0."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str | None
    datacontenttype: str
    data: ChangeDocument
