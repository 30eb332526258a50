"""A property whose type is changed in the configuration: the state holds what its events say, as a new store would.

Every pair of types has a property of its own, and resources of its own: in some of them only the type changes, in
others another value changes, too.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    Thresholds,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.values import has_type
from tests.stores import NewStore
from tests.tiers import SOAK

GUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
WHOLE = ("3", "1", "0")
SAMPLES: dict[str, tuple[str, ...]] = {
    "String": ("3", "3.5", "1", "true", GUID, "2024-01-02T03:04:05Z", "2024-01-02", "AAAA"),
    "ForeignKey": ("3", "3.5", "1", "true", GUID, "2024-01-02T03:04:05Z", "2024-01-02", "AAAA"),
    "Byte": WHOLE,
    "Int16": WHOLE,
    "Int32": WHOLE,
    "Int64": WHOLE,
    "Double": ("3", "3.5", "1", "0"),
    "Decimal": ("3", "3.5", "1", "0"),
    "Bool": ("1", "true", "0"),
    "Guid": (GUID,),
    "DateTime": ("2024-01-02T03:04:05Z", "2024-01-02"),
    "Date": ("2024-01-02",),
    "Bytes": ("AAAA", "true"),
    "Binary": ("AAAA", "true"),
}
"""Texts of each type, most of them of other types, too."""

LITERALS = {
    "Bool": lambda text: "true" if text in ("1", "true") else "false",
    "DateTime": lambda text: "p.Day",
    **dict.fromkeys(("Byte", "Int16", "Int32", "Int64", "Double", "Decimal"), lambda text: text),
}
"""How a text of a type is written in an expression that gives the type; a text in quotes otherwise."""

_LIKE_OTHERS = set() if SOAK else {PropertyType.BYTE, PropertyType.INT16, PropertyType.INT64, PropertyType.BINARY}
TYPES = [kind for kind in PropertyType if kind.label in SAMPLES and kind not in _LIKE_OTHERS]
COMPUTED = set(TYPES) - {PropertyType.FOREIGN_KEY, PropertyType.INT16, PropertyType.INT64, PropertyType.BINARY}
"""Links are not computed; the others are evaluated as those of another width or name."""

PAIRS = list(product(TYPES, TYPES))
HEADER = "id,name,day,command," + ",".join(f"v{number}" for number in range(len(PAIRS)))


def texts(before: PropertyType, after: PropertyType) -> list[tuple[str, str]]:
    """The texts to try for a pair of types: those that both can read, or else one of each."""
    common = [text for text in SAMPLES[before.label] if text in SAMPLES[after.label]]
    return [(text, text) for text in common] or [(SAMPLES[before.label][0], SAMPLES[after.label][0])]


ROWS = [
    (f"{number}-{n}-{how}", number, pair, how)
    for number, types in enumerate(PAIRS)
    for n, pair in enumerate(texts(*types))
    for how in ("alone", "beside")
]


def configuration(step: int, *, is_computing: bool = False) -> Configuration:
    """All properties with the first or the second type of their pair, mapped or computed."""
    kinds = [pair[step] for pair in PAIRS]
    literals = [_literal(kind, texts(*pair)[0][step]) for kind, pair in zip(kinds, PAIRS, strict=True)]
    return Configuration(
        connectors=[Connector("S", thresholds=Thresholds())],
        entity_types=[
            EntityType(
                "P",
                [
                    Property("K", is_key=True),
                    Property("N"),
                    Property("Day", PropertyType.DATE_TIME),
                    *(Property(f"V{number}", kind) for number, kind in enumerate(kinds)),
                ],
            )
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "P",
                "S",
                "p",
                [
                    PropertyMapping("K", "id", is_primary_key=True),
                    PropertyMapping("N", "name"),
                    PropertyMapping("Day", "day"),
                    *(PropertyMapping(f"V{n}", f"v{n}") for n in range(0 if is_computing else len(PAIRS))),
                ],
            )
        ],
        property_expressions=[
            EntityPropertyExpression(f"V{number}", "P", f"V{number}", expression=f"SQL:p: {literal}")
            for number, literal in enumerate(literals)
            if is_computing and COMPUTED.issuperset(PAIRS[number])
        ],
        tasks=[
            PrepareSynchronizationTask(
                connector="S", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="command"
            ),
            SynchronizeTask(connector="S", do_not_delete_changes=True),
            SetRecentlyModifiedFlagTask(identifier="Flag"),
            UpdateEntityPropertyExpressionsTask(identifier="Compute", all_entity_type=True, dirty=True),
        ],
        jobs=[
            Job("Complete", [Step("SynchronizeS"), Step("Flag"), Step("Compute")]),
            Job("Delta", [Step(name) for name in ("PrepareSynchronizationS", "SynchronizeS", "Flag", "Compute")]),
        ],
    )


def _literal(kind: PropertyType, text: str) -> str:
    return LITERALS.get(kind.label, lambda text: f"'{text}'")(text)


def extract(folder: Path, step: int, *, is_delta: bool = False) -> Path:
    """The extract of a step; as a delta, with the rows in which another value changes, too."""
    lines = [HEADER]
    for row, (key, number, pair, how) in enumerate(ROWS):
        if how == "beside" or not is_delta:
            name = "changed" if step and how == "beside" else "same"
            cells = [pair[step] if n == number else "" for n in range(len(PAIRS))]
            lines.append(",".join([key, name, "2024-01-02T03:04:05Z", ("update", "merge", "insert")[row % 3], *cells]))
    folder.mkdir()
    (folder / "p.csv").write_text("\n".join(lines) + "\n")
    return folder


State = dict[str, dict[str, Any]]


def ran(url: str, settings: Configuration, folder: Path, job: str = "Complete") -> State:
    """Runs a job, checks that the state is what the events say, and returns it."""
    with Engine.open(url, configuration=settings, export_output=folder) as engine:
        run = engine.run_job(job)
        assert run.state.value == "completed", run
        verified = engine.verify()
        assert verified.is_sound, verified.discrepancies[:3]
        assert engine.replay().verified.differences == 0
        derived = engine.verify_derived()
        assert not derived.differences, derived.differences[:3]
        state = {resource.key: typed(resource.values) for resource in engine.export_resources("P")}
        assert folded(engine) == state
        return state


def typed(values: Any) -> dict[str, Any]:
    """Values with their types: to Python, 3 and 3.0 are equal, and so are 1 and true."""
    return {name: (type(value).__name__, value) for name, value in values.items()}


def folded(engine: Engine) -> State:
    state: dict[str, dict[str, Any]] = {}
    for change in engine.changes():
        values = state.setdefault(change.event.ref.key, {})
        before = {name: values.get(name) for name in change.event.changes}
        assert typed(before) == typed({name: c.before for name, c in change.event.changes.items()})
        values.update({name: c.after for name, c in change.event.changes.items()})
    return {key: typed({n: v for n, v in values.items() if v is not None}) for key, values in state.items()}


def differing(before: State, after: State) -> set[tuple[str, str]]:
    return {
        (key, name)
        for key, values in after.items()
        for name in {*values, *before[key]}
        if values.get(name) != before[key].get(name)
    }


@pytest.mark.slow  # every pair of types, seconds on each store
def test_after_a_complete_extract_the_state_is_what_a_new_store_would_hold(new_store: NewStore, tmp_path: Path) -> None:
    url = new_store()
    before = ran(url, configuration(0), extract(tmp_path / "1", 0))

    after = ran(url, configuration(1), extract(tmp_path / "2", 1))

    assert after == ran(new_store(), configuration(1), tmp_path / "2")
    with Engine.open(url, configuration=configuration(1)) as engine:
        changed = {(c.event.ref.key, name) for c in engine.changes(run=2) for name in c.event.changes}
    assert changed == differing(before, after), "a change is recorded for what differs, and for nothing else"


@pytest.mark.slow  # every pair of types, for each command
def test_a_delta_gives_the_rows_that_it_names_the_new_type(new_store: NewStore, tmp_path: Path) -> None:
    url = new_store()
    before = ran(url, configuration(0), extract(tmp_path / "1", 0))

    after = ran(url, configuration(1), extract(tmp_path / "2", 1, is_delta=True), "Delta")

    new = ran(new_store(), configuration(1), extract(tmp_path / "3", 1))
    assert after.keys() == before.keys()
    for key, number, _, how in ROWS:
        name, (_, value) = f"V{number}", after[key].get(f"V{number}", ("", None))
        if how == "beside":
            assert after[key] == new[key]
        else:  # converted by the adoption of the new type, from the text of the stored value, or removed
            assert has_type(value, PAIRS[number][1]), key
            assert {**after[key], name: None} == {**before[key], name: None}
    assert ran(url, configuration(1), tmp_path / "3") == new, "the next complete extract gives all others the new type"


@pytest.mark.slow  # runs many jobs
def test_computed_values_get_the_new_type(new_store: NewStore, tmp_path: Path) -> None:
    url = new_store()
    (tmp_path / "p.csv").write_text("id,name,day\n1,same,2024-01-02T03:04:05Z\n")
    ran(url, configuration(0, is_computing=True), tmp_path)

    after = ran(url, configuration(1, is_computing=True), tmp_path)

    assert after == ran(new_store(), configuration(1, is_computing=True), tmp_path)


KEYS = [
    ("String", "Int32", "1"),
    ("Int32", "String", "1"),
    ("Byte", "Int64", "1"),
    ("String", "Guid", GUID),
    ("String", "Decimal", "1.5"),
    ("Int64", "Decimal", "1"),
    ("Date", "String", "2024-01-02"),
]


@pytest.mark.parametrize(("before", "after", "key"), KEYS)
def test_a_key_that_stays_the_same_in_another_type_is_the_same_resource(
    before: str, after: str, key: str, new_store: NewStore, tmp_path: Path
) -> None:
    def keyed(label: str) -> Configuration:
        kind = PropertyType.named(label)
        assert kind is not None
        return Configuration(
            connectors=[Connector("S", thresholds=Thresholds())],
            entity_types=[EntityType("P", [Property("K", kind, is_key=True)])],
            entity_type_mappings=[
                EntityTypeMapping("P", "S", "p", [PropertyMapping("K", "id", is_primary_key=True)]),
            ],
            jobs=[Job("Complete", [SynchronizeTask(connector="S", do_not_delete_changes=True)])],
        )

    (tmp_path / "p.csv").write_text(f"id\n{key}\n")
    url = new_store()
    ran(url, keyed(before), tmp_path)

    assert ran(url, keyed(after), tmp_path) == ran(new_store(), keyed(after), tmp_path)
    with Engine.open(url, configuration=keyed(after)) as engine:
        assert {change.kind for change in engine.changes(run=2)} <= {"updated"}
