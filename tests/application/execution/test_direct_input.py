"""Tables that a program gives in the place of files: what a run does with them."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest

from deltamark import CannotResume, Delta, Observer, TaskState, Thresholds, UsageError
from deltamark.domain.runs.run import JobRun
from tests.scenarios.shop import (
    CHANGED,
    INPUTS,
    ITEMS,
    SCHEMA,
    configuration,
    csv_text,
    item,
    parquet,
    table,
)

ONE_STORE = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)


def log(shop, *, lines):
    """The changes, as the log has them; without lines where these differ by nature."""
    changes = [repr(change.event) for change in shop.engine.changes()]
    return changes if lines else [_without_line(change) for change in changes]


def _without_line(change):
    before, _, after = change.partition("line=")
    return before + after.partition(")")[2]


def aside(run, *, lines=True):
    return [(row.line if lines else None, row.column, row.key, row.value) for row in run.set_aside]


def fed(shop, kind, rows):
    """The record of a run that was given the rows in a way."""
    if kind in INPUTS:
        run = shop.engine.run_job("All", extracts={"items": INPUTS[kind](rows)})
    else:
        (shop.folder / f"items.{kind}").write_bytes({"csv": csv_text, "parquet": parquet}[kind](rows))
        run = shop.engine.run_job("All")
    return shop.engine.run(run.number)


@pytest.fixture(scope="module")
def read_from_files():
    """Ending -> the log, and the runs, of the same rows in files; each is made once."""
    return {}


@pytest.mark.many
@pytest.mark.law
@pytest.mark.parametrize("kind", INPUTS)
def test_the_same_rows_leave_the_same_log_however_they_are_given(kind, new_shop, read_from_files):
    if kind in ("pandas", "polars"):
        pytest.importorskip(kind)
    shop = new_shop()
    for ending in {"csv", "parquet"} - set(read_from_files):
        from_file = new_shop()
        runs = [fed(from_file, ending, rows) for rows in (ITEMS, CHANGED)]
        read_from_files[ending] = log(from_file, lines=ending == "parquet"), runs

    runs = [fed(shop, kind, rows) for rows in (ITEMS, CHANGED)]

    assert log(shop, lines=True) == read_from_files["parquet"][0]
    assert log(shop, lines=False) == read_from_files["csv"][0]
    assert len(log(shop, lines=True)) == 12
    for run, of_parquet, of_csv in zip(runs, read_from_files["parquet"][1], read_from_files["csv"][1], strict=True):
        assert aside(run) == aside(of_parquet)
        assert aside(run, lines=False) == aside(of_csv, lines=False)
        assert run.counts == of_parquet.counts == of_csv.counts


@ONE_STORE
def test_the_origin_of_a_change_is_the_row_of_the_table_that_the_program_gave(new_shop):
    shop = new_shop()

    run = shop.engine.run_job("All", extracts={"items": [item(7, "seven"), item(8, "eight"), item(None, "none")]})
    shop.engine.run_job("All", extracts={"items": [item(7, "seven")]})

    created, deleted = shop.engine.changes(key="8")
    assert created.event.cause.line == 2
    assert deleted.grounds.words == "its row is missing in items (given by the program)"
    assert run.tasks[0].extracts[0].file == "items (given by the program)"
    assert [(row.file, row.line) for row in run.set_aside] == [("items (given by the program)", 3)]


@ONE_STORE
@pytest.mark.parametrize("as_batches", [True, False])
def test_a_generator_that_raises_fails_its_task_and_changes_nothing(as_batches, new_shop):
    shop = new_shop()
    shop.engine.run_job("All", extracts={"items": ITEMS})
    before = log(shop, lines=True)

    def broken():
        for row in CHANGED[:2]:
            yield table([row]) if as_batches else row
        raise OSError("the connection was lost")

    run = shop.engine.run_job("All", extracts={"items": broken()})

    assert run.state is TaskState.FAILED
    assert (
        run.tasks[0]
        .messages[0]
        .startswith(
            "items (given by the program): the program that gives the rows failed (OSError: the connection was lost)"
        )
    )
    assert log(shop, lines=True) == before


@ONE_STORE
def test_a_run_whose_generator_raised_is_resumed_with_a_new_one(new_shop):
    shop = new_shop()
    failed = shop.engine.run_job("All", extracts={"items": (1 / 0 for _ in "x")})

    again = shop.engine.resume(failed.number)
    resumed = shop.engine.resume(failed.number, extracts={"items": [item(1, "Lamp")]})

    assert "was read before. Nothing was changed. Give it again when you resume the run" in again.tasks[0].messages[0]
    assert resumed.state is TaskState.COMPLETED
    assert shop.names() == {"1": "Lamp"}


def stopped_after_preparing(shop, rows) -> JobRun:
    """A run that prepared its extracts, and was stopped before it synchronized them."""

    class Stop(Observer):
        def task_ended(self, run, ordinal):
            raise OSError("stopped")

    with pytest.raises(OSError, match="stopped"):
        shop.engine.run_job("Prepared", extracts={"items": rows}, observer=Stop())
    return shop.engine.runs()[-1]


@ONE_STORE
def test_a_resumed_run_has_the_rows_that_were_read_although_the_generator_is_used_up(new_shop):
    shop = new_shop()
    stopped = stopped_after_preparing(shop, (item(number) for number in (1, 2)))

    resumed = shop.engine.resume(stopped.number)

    assert resumed.state is TaskState.COMPLETED
    assert set(shop.names()) == {"1", "2"}


@ONE_STORE
def test_another_engine_resumes_a_run_only_if_it_is_given_the_table_again(new_shop):
    shop = new_shop()
    (shop.folder / "items.csv").write_bytes(csv_text([item(9)]))
    stopped = stopped_after_preparing(shop, [item(1), item(2)])
    assert stopped.direct_input == ("items",)

    with shop.another() as other:
        with pytest.raises(CannotResume, match='it reads "items", given by a program that is not this one'):
            other.resume(stopped.number)
        resumed = other.resume(stopped.number, extracts={"items": [item(1), item(2)]})

    assert resumed.state is TaskState.COMPLETED
    assert set(shop.names()) == {"1", "2"}


@ONE_STORE
def test_what_a_threshold_held_back_is_applied_without_the_table(new_shop):
    shop = new_shop(configuration=configuration(Thresholds(maximum_deleted_lines=1)))
    shop.engine.run_job("All", extracts={"items": [item(number) for number in range(6)]}, force=True)

    blocked = shop.engine.run_job("All", extracts={"items": (item(number) for number in range(3))})
    with shop.another() as other:
        resumed = other.resume(blocked.number)

    assert blocked.tasks[0].state is TaskState.BLOCKED
    assert resumed.state is TaskState.COMPLETED
    assert set(shop.names()) == {"0", "1", "2"}


@ONE_STORE
def test_an_empty_table_is_blocked_as_an_empty_file_is(new_shop):
    shop = new_shop(configuration=configuration(Thresholds()))
    shop.engine.run_job("All", extracts={"items": [item(1)]}, force=True)

    run = shop.engine.run_job("All", extracts={"items": []})

    assert run.tasks[0].state is TaskState.BLOCKED
    assert "items (given by the program) holds a header and no row" in run.tasks[0].messages[-2]


@ONE_STORE
def test_a_dry_run_reads_the_table_and_changes_nothing(new_shop):
    shop = new_shop()
    seen = []

    run = shop.engine.run_job(
        "All", extracts={"items": iter([item(1)])}, dry_run=True, rehearsed=lambda changes: seen.extend(changes)
    )

    assert run.counts.inserted == 1
    assert [change.event.ref.key for change in seen] == ["1"]
    assert shop.names() == {}


@ONE_STORE
def test_a_source_of_an_engine_is_called_once_for_each_run_that_needs_it(new_shop):
    calls = itertools.count(1)
    shop = new_shop(sources={"items": lambda: (item(number) for number in range(next(calls)))})

    for _ in range(2):
        shop.engine.run_job("All")
    both = shop.engine.run_job("Both", extracts={"items": [item(7)], "notes": [{"code": "n"}]})

    assert set(shop.names()) == {"7"}
    assert next(calls) == 3
    assert both.direct_input == ("items", "notes")


@ONE_STORE
def test_names_that_are_no_connection_table_of_the_job_are_refused_with_those_that_are(new_shop):
    shop = new_shop()

    with pytest.raises(UsageError, match='"notes" is no connection table of job All, which has "items"'):
        shop.engine.run_job("All", extracts={"notes": []})
    with pytest.raises(
        UsageError, match=r'"item" is no .* of job Both, which has "items", "notes". Did you mean "items"'
    ):
        shop.engine.run_job("Both", extracts={"item": []})
    with pytest.raises(UsageError, match='"Shop" is no connection table of the configuration'):
        new_shop(sources={"Shop": list})
    assert shop.engine.runs() == []


async def coroutine():
    return []


async def asynchronous_generator():
    yield {}


def begun(generator):
    """The generator, after its first item was taken."""
    next(generator)
    return generator


@ONE_STORE
@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (lambda: {"number": 1}, "one mapping. Give a list of rows"),
        (lambda: "items.csv", "str, which is one value"),
        (lambda: 7, "int. Give an Arrow table or stream, a list"),
        (asynchronous_generator, r"\[row async for row in …\]"),
        (lambda: begun(item(number) for number in (1, 2)), "a generator that was read already. Give a new one"),
        (lambda: __import__("duckdb").connect(), r"an open DuckDB connection. Give one of its queries: connection.sql"),
        (lambda: pytest.importorskip("polars").LazyFrame({"number": [1]}), r"a LazyFrame, .* Give its .collect\(\)"),
    ],
)
def test_what_is_no_table_is_refused_with_the_call_that_helps(source, advice, new_shop):
    shop = new_shop()

    with pytest.raises(UsageError, match=advice):
        shop.engine.run_job("All", extracts={"items": source()})

    assert shop.engine.runs() == []


@ONE_STORE
def test_a_coroutine_is_refused(new_shop):
    shop, given = new_shop(), coroutine()

    with pytest.raises(UsageError, match="await it first"):
        shop.engine.run_job("All", extracts={"items": given})

    given.close()


@ONE_STORE
def test_what_can_be_read_once_is_no_source_of_an_engine(new_shop):
    with pytest.raises(UsageError, match="is given as generator, which can be read once, and every run reads it"):
        new_shop(sources={"items": (row for row in ITEMS)})
    with pytest.raises(UsageError, match="is given as RecordBatchReader, which can be read once"):
        new_shop(sources={"items": table(ITEMS).to_reader()})


@ONE_STORE
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"number": 1}, {"number": 2, "nmae": "x"}],
            ':2: the row has the key "nmae", which no mapping names (the nearest is "name")',
        ),
        ([{"number": 1, "name": ["a", "b"]}], ":1:name: the value is list, which is no single value"),
        ([(1, "x")], "the first item is tuple, which is neither a row nor a batch"),
        ([{"number": 1}, None], ":2: the row is NoneType, which has no named columns"),
        ([table([item(1)]), {"number": 2}], "item 2 is dict, and no batch as those before"),
        (pa.chunked_array([[1]]), "Cannot import schema"),
        ([{"number": 1, "picture": b"x"}, {"number": 2, "picture": "x"}], "bytes in some rows and other values"),
        (
            pa.table({"number": [1], "name": [["a"]], **{name: pa.nulls(1) for name in SCHEMA.names[2:]}}),
            "the column holds nested values (list<item: string>)",
        ),
        (pa.table({"number": [1], "Name": ["a"]}), 'there is no column "name" (there is "Name"'),
        ([table([item(1)]), pa.table({"number": [1]})], "the batches have other columns"),
        (lambda: {"number": 1}, "is given as one mapping"),
    ],
)
def test_rows_that_cannot_be_read_fail_the_task_by_row_and_column(rows, message, new_shop):
    shop = new_shop()

    run = shop.engine.run_job("All", extracts={"items": rows})

    assert run.state is TaskState.FAILED
    assert message in run.tasks[0].messages[0]
    assert shop.names() == {}


@ONE_STORE
@pytest.mark.parametrize("job", ["All", "Changes"])
def test_a_delta_changes_what_its_rows_name_and_a_table_without_it_is_whole_in_any_job(job, new_shop):
    shop = new_shop()
    shop.engine.run_job(job, extracts={"items": [item(1, "Lamp"), item(2, "Bulb"), item(3, "Cord")]})
    assert set(shop.names()) == {"1", "2", "3"}

    delta = Delta([{"command": "delete", "number": 1}, {"command": "merge", "number": 2, "name": "LED"}])
    run = shop.engine.run_job(job, extracts={"items": delta})
    assert run.state is TaskState.COMPLETED, run.tasks
    assert shop.names() == {"2": "LED", "3": "Cord"}

    shop.engine.run_job(job, extracts={"items": Delta(pa.table({"op": ["insert"], **given(4)}), column="op")})
    assert set(shop.names()) == {"2", "3", "4"}

    shop.engine.run_job(job, extracts={"items": [item(4)]})
    assert set(shop.names()) == {"4"}


def given(number):
    return {name: [value] for name, value in item(number).items()}


@ONE_STORE
def test_a_table_with_the_command_column_of_the_job_must_say_that_it_is_a_delta(new_shop):
    shop = new_shop()
    shop.engine.run_job("All", extracts={"items": [item(1)]})

    run = shop.engine.run_job("Changes", extracts={"items": pa.table({"command": ["insert"], **given(2)})})

    assert run.state is TaskState.FAILED
    assert "Give Delta(rows) where each row is a command" in run.tasks[0].messages[0]
    assert set(shop.names()) == {"1"}


@ONE_STORE
def test_a_delta_waits_while_a_connector_is_blocked_also_in_a_complete_job(new_shop):
    shop = new_shop(configuration=configuration(Thresholds(maximum_deleted_lines=1)))
    shop.engine.run_job("All", extracts={"items": [item(number) for number in range(6)]}, force=True)
    shop.engine.run_job("All", extracts={"items": [item(0)]})

    run = shop.engine.run_job("All", extracts={"items": Delta([{"command": "insert", "number": 9}])})

    assert run.left_out[0].connector == "Shop"
    assert "9" not in shop.names()
