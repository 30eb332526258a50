"""A store that follows transformed deltas equals one that reads everything transformed, and an oracle in Python."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deltamark import Delta, Engine, TaskState
from tests.scenarios.transformed import COLUMNS, RIGHT_COLUMNS, TAG_KEYS, RawTables, configuration, table
from tests.tiers import law

IDS = ("1", "2", "3", "4")
EDITS = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from(IDS),
        st.fixed_dictionaries(
            {
                "Name": st.sampled_from(["ann", "bob", None]),
                "Status": st.sampled_from(["left", "new", None]),
                "Start": st.sampled_from(["2024-02-28", None]),
                "Tag1": st.sampled_from([*TAG_KEYS, None]),
                "Tag2": st.sampled_from(["A", "B", None]),
                "Team": st.sampled_from(["A", "C", None]),
            }
        ),
    ),
    st.tuples(st.just("remove"), st.sampled_from(IDS)),
    st.tuples(
        st.just("grant"), st.sampled_from(TAG_KEYS), st.sampled_from(TAG_KEYS), st.sampled_from(["2023", "2025", None])
    ),
    st.tuples(st.just("revoke"), st.sampled_from(TAG_KEYS), st.sampled_from(TAG_KEYS)),
)


def edit(raw: RawTables, change: tuple[Any, ...]) -> None:
    what, key, *rest = change
    if what == "put":
        raw.put({"Id": key, **rest[0]})
    elif what == "grant":
        raw.grant({"Id": key, "Tag": rest[0], "Until": rest[1]})
    else:
        getattr(raw, what)(key, *rest)


def held(engine: Engine) -> tuple[dict[str, dict[str, Any]], set[tuple[str, str, str]]]:
    """The people and links of a store, as `RawTables.expected` gives them."""
    people, links = {}, set()
    for entity_type in ("Person", "Tag"):
        for item in engine.export_resources(entity_type):
            if entity_type == "Person":
                people[item.key] = dict(item.values)
            links |= {(name, item.key, key) for name, keys in item.links.items() for key in keys}
    return people, links


def run(engine: Engine, job: str, raw: RawTables) -> None:
    rows: dict[str, Any] = {"TagList": [{"Id": key} for key in TAG_KEYS]}
    if job == "Complete":
        rows["Raw"] = table(raw.people.values(), COLUMNS) or empty(COLUMNS)
        rows["RawRight"] = table(raw.rights.values(), RIGHT_COLUMNS) or empty(RIGHT_COLUMNS)
    else:
        rows["Raw"] = Delta(table(raw.changed, ("command", *COLUMNS)) or empty(("command", *COLUMNS)))
        rights = table(raw.changed_rights, ("command", *RIGHT_COLUMNS))
        rows["RawRight"] = Delta(rights or empty(("command", *RIGHT_COLUMNS)))
    done = engine.run_job(job, extracts=rows, force=True)
    assert done.state is TaskState.COMPLETED, [task.messages for task in done.tasks]
    assert not done.counts.set_aside


def empty(columns: tuple[str, ...]) -> Any:
    import pyarrow as pa

    return pa.table({name: pa.array([], pa.string()) for name in columns})


@law(4)
@given(rounds=st.lists(st.lists(EDITS, min_size=1, max_size=8), min_size=1, max_size=2))
def test_transformed_deltas_leave_what_a_complete_reading_leaves(rounds: list[list[tuple[Any, ...]]]) -> None:
    raw = RawTables()
    with (
        Engine.open("sqlite://", configuration=configuration()) as by_deltas,
        Engine.open("sqlite://", configuration=configuration()) as by_everything,
    ):
        for edits in rounds:
            raw.changed.clear()
            raw.changed_rights.clear()
            for change in edits:
                edit(raw, change)
            run(by_deltas, "Incremental", raw)
            run(by_everything, "Complete", raw)
            assert held(by_deltas) == raw.expected()
            assert held(by_everything) == raw.expected()
