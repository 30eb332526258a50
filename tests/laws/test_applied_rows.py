"""A run that looks only at rows that differ leaves what one leaves that looks at all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.application.ports.applied_rows import UnchangedRows
from deltamark.application.synchronization import applied_rows, synchronize
from deltamark.infrastructure.extracts.known_rows import KnownRows
from deltamark.infrastructure.extracts.typed_cells import TypedCells
from deltamark.infrastructure.store.commands import applied_rows as stored_rows
from deltamark.infrastructure.store.queries.repetitions import RepetitionQueries
from tests.laws.test_repetitions import GROUPS, TABLES, Step_, Twins, lived
from tests.stores import NewStore
from tests.tiers import law


@pytest.fixture
def new_twins(new_store: NewStore, tmp_path: Path) -> Callable[[], Twins]:
    numbers = count()
    return lambda: Twins.new(new_store, tmp_path / str(next(numbers)))


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets few rows be kept, too. Filled with the number of rows that were not looked at, for each comparison."""
    monkeypatch.setattr(applied_rows, "FEWEST", 1)
    monkeypatch.setattr(stored_rows, "_LARGEST_DIFFERENCE", 1)
    counts: list[int] = []
    original = synchronize.states_to_compare

    def states_to_compare(view: Any, name: str, extract: Any, unchanged: UnchangedRows) -> Any:
        counts.append(sum(unchanged.is_there.to_pylist()))
        return original(view, name, extract, unchanged)

    monkeypatch.setattr(synchronize, "states_to_compare", states_to_compare)
    return counts


KEYS = ["x", "y", "z", "Z", "é", "e\u0301", "x\u200b", "", "Grö ße", " y"]
GROUP_ROWS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(["", "1", "2", "a,b", 'q"', "n\nl"])), max_size=6
)
USER_ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", ""])), max_size=5)
PAIRS = st.lists(st.tuples(st.sampled_from(["x", "y", "z", ""]), st.sampled_from(["a", "b", "gone", ""])), max_size=5)
JOBS = st.sampled_from(["Groups", "Groups", "Groups", "Users", "Discard", "Prepared"])
STEPS = st.one_of(
    *3 * [st.tuples(st.just("write"), st.just("groups"), GROUP_ROWS)],
    st.tuples(st.just("write"), st.just("users"), USER_ROWS),
    st.tuples(st.just("write"), st.just("many"), PAIRS),
    *3 * [st.tuples(st.just("run"), JOBS, st.booleans())],
    st.tuples(st.just("kill"), st.just("Groups")),
    st.tuples(st.sampled_from(["delete", "erase"]), st.sampled_from(["a", "b"])),
    *2 * [st.tuples(st.just("record"), st.sampled_from(KEYS), st.sampled_from([None, "", "1", "2"]))],
    st.sampled_from([("retain",), ("resume",), ("cancel",), ("replay",), ("configure",)]),
)
USERS: Step_ = ("run", "Users", True)
FORCED: Step_ = ("run", "Groups", True)
FIRST = [["x", "1"], ["y", "2"], ["z", ""]]
EDITED = [["y", "2"], ["x", "9"], ["w", ""]]
BEGINNING: Sequence[Step_] = (
    ("write", "users", [["a"], ["b"], ["c"]]),
    ("write", "groups", FIRST),
    ("write", "many", [["x", "a"], ["y", "b"]]),
    USERS,
    FORCED,
    ("write", "groups", EDITED),
    FORCED,
)


@pytest.mark.slow  # runs jobs for each example
@law(16)
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
def test_runs_that_look_at_rows_that_differ_leave_the_same(
    new_twins: Callable[[], Twins], by_rows: list[int], steps: list[Step_]
) -> None:
    by_rows.clear()
    lived(new_twins(), [*BEGINNING, *steps, GROUPS])
    assert by_rows


def one_more(twins: Twins, by_rows: list[int], *steps: Step_) -> list[int]:
    """What the last of some steps did not look at."""
    for step in steps[:-1]:
        twins.step(step)
    by_rows.clear()
    twins.step(steps[-1])
    return list(by_rows)


def begun(twins: Twins) -> Twins:
    for step in BEGINNING:
        twins.step(step)
    return twins


@pytest.mark.many
@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([["y", "2"], ["x", "9"], ["w", ""], ["v", "1"]], [3]),
        ([["x", "9"], ["y", "3"]], [1]),
        ([["w", ""], ["x", "8"], ["", "7"], ["y", "2"]], [2]),
        ([["w", ""], ["x", "9"], ["y", "2"], ["y", "2"]], []),
        ([["w", ""], ["x", "9"], ["y", "2"], ["y", "3"]], []),
        ([["w", ""], ["x", "9"], ["y", "2"], ["x\u200b", "1"]], [3]),
        ([["w", ""], ['"x"', "9"], ["y ", "2"]], [1]),
    ],
    ids=["one more", "edited", "without a key", "twice the same", "a key twice", "a look-alike", "spelled otherwise"],
)
def test_only_rows_that_differ_are_looked_at(
    rows: list[list[str]], found: list[int], new_twins: Callable[[], Twins], by_rows: list[int]
) -> None:
    twins = begun(new_twins())
    if found and "x\u200b" in [key for key, _ in rows]:
        found = []  # all rows are read again
    assert one_more(twins, by_rows, ("write", "groups", rows), FORCED) == found
    twins.close()


CAUSES: dict[str, Sequence[Step_]] = {
    "another configuration": (("configure",), FORCED, ("configure",)),
    "an erasure": (("erase", "a"),),
    "changes held back": (("write", "groups", [["new", ""]]), GROUPS),
}


@pytest.mark.many
@pytest.mark.parametrize("cause", CAUSES)
def test_in_doubt_all_rows_are_looked_at(cause: str, new_twins: Callable[[], Twins], by_rows: list[int]) -> None:
    twins = begun(new_twins())
    assert one_more(twins, by_rows, *CAUSES[cause], ("write", "groups", [*EDITED, ["v", ""]]), FORCED) == []
    assert one_more(twins, by_rows, ("write", "groups", EDITED), FORCED) == [3]
    twins.close()


NUMBERS = pa.array([1, 2, 3])


@pytest.mark.many
@pytest.mark.parametrize(
    ("notes", "found"),
    [
        (pa.array([1, 2, 4]), [2]),
        (pa.array([1, 2, None]), [2]),
        (pa.array(["1", "2", "3"]), [3]),
        (pa.array([1.0, 2.0, 3.0]), [0]),
        (pa.array(["1", "2\0", "3"]), []),
        (pa.array([b"1", b"2", b"4"]), [2]),
    ],
    ids=["numbers", "none", "texts", "numbers with a fraction", "NUL", "bytes"],
)
@pytest.mark.parametrize("form", ["parquet", "given"])
def test_rows_of_typed_columns_are_looked_at_if_they_differ(
    form: str, notes: pa.Array, found: list[int], new_twins: Callable[[], Twins], by_rows: list[int]
) -> None:
    def steps(notes: pa.Array) -> Sequence[Step_]:
        columns = [pa.array(["x", "y", "z"]), notes]
        if form == "parquet":
            return ("parquet", "groups", columns), FORCED
        return (("given", "Groups", pa.table(columns, TABLES["groups"])),)

    twins = begun(new_twins())
    for step in steps(NUMBERS):
        twins.step(step)
    assert one_more(twins, by_rows, *steps(notes)) == found
    for step in steps(pa.array([1, 2, 5])):
        twins.step(step)
    assert one_more(twins, by_rows, *steps(NUMBERS)) == [2]
    twins.close()


def test_cells_with_nul_that_are_digested_are_found(
    new_twins: Callable[[], Twins], by_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TypedCells, "can_be_digested", lambda *_: True)
    first = pa.table([["x", "y"], ["1\0", "2"]], TABLES["groups"])
    twins = begun(new_twins())
    second = pa.table([["x", "y"], ["1\0\0", "2"]], TABLES["groups"])
    with pytest.raises(AssertionError):
        lived(twins, [("given", "Groups", first), ("given", "Groups", second)])


SINCE: dict[str, tuple[Sequence[Step_], list[int]]] = {
    "changed": ((("record", "y", "7"),), [2]),
    "changed and changed back": ((("record", "y", "7"), ("record", "y", "2")), [2]),
    "deleted": ((("record", "y", None),), [2]),
    "created": ((("record", "v", "7"),), [3]),
    "created as the extract has it": ((("record", "v", "1"),), [3]),
    "recorded by a key that looks like another": ((("record", "x\u200b", "7"),), [2]),
    "an extract that was prepared": ((("write", "groups", FIRST), ("run", "Prepared", True)), [1]),
}


@pytest.mark.many
@pytest.mark.parametrize("others", SINCE)
def test_what_others_changed_is_looked_at(others: str, new_twins: Callable[[], Twins], by_rows: list[int]) -> None:
    steps, found = SINCE[others]
    twins = begun(new_twins())
    assert one_more(twins, by_rows, *steps, ("write", "groups", [*EDITED, ["v", "1"]]), FORCED) == found
    assert one_more(twins, by_rows, ("write", "groups", [*EDITED, ["v", "1"], ["u", "1"]]), FORCED) == [4]
    twins.close()


def test_only_what_differs_is_written(new_twins: Callable[[], Twins], by_rows: list[int]) -> None:
    def pieces() -> list[tuple[int, int]]:
        with twins.engines[0]._services.store.reading() as view:
            return view._db.all("SELECT piece, position FROM applied_rows ORDER BY piece")

    twins = new_twins()
    rows = [[f"k{n}", "1"] for n in range(20)]
    for step in (("write", "groups", rows), FORCED):
        twins.step(step)
    ((piece, position),) = pieces()
    assert piece == 0
    assert one_more(twins, by_rows, ("write", "groups", [["k0", "2"], *rows[1:19]]), FORCED) == [18]
    assert pieces()[0] == (0, position)
    assert one_more(twins, by_rows, ("write", "groups", [["k0", "3"], *rows[2:20]]), FORCED) == [17]
    assert pieces()[0] == (0, position)
    assert one_more(twins, by_rows, ("write", "groups", [[f"k{n}", "5"] for n in range(20)]), FORCED) == [0]
    assert [piece for piece, _ in pieces()] == [0]
    assert one_more(twins, by_rows, ("write", "groups", [[f"k{n}", "5"] for n in range(21)]), FORCED) == [20]
    twins.close()


@pytest.mark.parametrize("position", [True, False])
def test_what_was_altered_or_put_back_is_not_trusted(
    position: bool, new_twins: Callable[[], Twins], by_rows: list[int]
) -> None:
    twins = begun(new_twins())
    with twins.engines[0]._services.store.transaction() as tx:
        if position:
            tx._db.execute("UPDATE applied_rows SET position = position + 1")
        else:
            (content,) = tx._db.row("SELECT content FROM applied_rows")
            tx._db.execute("UPDATE applied_rows SET content = ?1", (bytes(content)[:-1] + b"?",))
    assert one_more(twins, by_rows, ("write", "groups", [*EDITED, ["v", ""]]), FORCED) == []
    twins.close()


def test_a_store_put_back_says_what_it_says(memory: Path, by_rows: list[int], tmp_path: Path) -> None:
    """A copy of a store has its own rows, of its own time."""
    twins = begun(Twins.new(lambda: f"sqlite:///{tmp_path}/{len(by_rows)}{next(_NUMBERS)}.db", tmp_path / "extracts"))
    copies = [Path(url.removeprefix("sqlite:///")) for url in twins.urls]
    for engine in twins.engines:
        engine.close()
    saved = [path.read_bytes() for path in copies]
    twins.engines = [Twins._open(url, twins.folder, notes=True) for url in twins.urls]
    assert one_more(twins, by_rows, ("write", "groups", [["x", "7"], ["y", "2"], ["w", ""]]), FORCED) == [2]
    for engine in twins.engines:
        engine.close()
    for path, content in zip(copies, saved, strict=True):
        path.write_bytes(content)
    twins.engines = [Twins._open(url, twins.folder, notes=True) for url in twins.urls]
    twins.runs = [runs[:-1] for runs in twins.runs]
    assert one_more(twins, by_rows, ("write", "groups", [["x", "7"], ["y", "2"], ["w", "5"]]), FORCED) == [1]
    twins.close()


_NUMBERS = count()


@pytest.mark.parametrize("fault", ["trusted in any case", "a new resource is not looked at", "found in any case"])
def test_rows_trusted_wrongly_are_found(
    fault: str, new_twins: Callable[[], Twins], by_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: Sequence[Step_] = (("write", "groups", FIRST), ("run", "Prepared", True), ("write", "groups", EDITED))
    if fault == "trusted in any case":
        monkeypatch.setattr(RepetitionQueries, "keys_touched_since", lambda *_: [])
    elif fault == "a new resource is not looked at":
        original = RepetitionQueries.keys_touched_since
        monkeypatch.setattr(RepetitionQueries, "keys_touched_since", lambda *a: [k for k in original(*a) if k != "v"])
        steps = (("record", "v", "7"), ("write", "groups", [*EDITED, ["u", "1"]]))
    else:
        monkeypatch.setattr(KnownRows, "have_repeated_keys", lambda *_: False)
        steps = (("write", "groups", [*EDITED, ["y", "3"]]),)
    with pytest.raises(AssertionError):
        lived(new_twins(), (*BEGINNING, *steps, FORCED))
