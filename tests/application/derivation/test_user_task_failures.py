"""A function of a user that fails, gives what cannot be written, or does what it must not: the task fails, whole."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from deltamark import DeltamarkError, TaskState, UserTaskFailed, task
from tests.scenarios.staff import calls, of, people_model


def failing(function, **declared):
    """A task of a function, with what it is usually declared to do."""
    said = {"entity_types": ["Person"], "reads": ["Name"], "writes": ["Score"], **declared}
    return task(**said)(function)


def failed(staff) -> str:
    """The message of the run of a task that failed and wrote nothing."""
    head = staff.engine.position()
    run = staff.tried()
    assert run.state is TaskState.FAILED
    assert of(run).state is TaskState.FAILED
    assert [c for c in staff.engine.changes(after=head) if c.task == "Rate"] == []
    assert staff.all("Score") == {}
    (message,) = staff.engine.run(run.number).tasks[-1].messages
    return message


def computing(new_staff, function, **declared):
    staff = new_staff(people_model([calls(failing(function, **declared))]))
    return staff.person("1", "Ann").person("2", "Bob")


def deeper(name: str) -> int:
    return len(name) // 0


def test_an_exception_is_reported_with_the_users_part_of_the_traceback(new_staff):
    def divides(batch):
        return [deeper(name) for name in batch["Name"].to_pylist()]

    message = failed(computing(new_staff, divides))

    first, *lines = message.split("\n")
    name = f"{__name__}:{divides.__qualname__}"
    assert first == (
        f"function {name} raised ZeroDivisionError. Nothing was changed. Correct the function and run the job again."
    )
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ZeroDivisionError: integer division or modulo by zero"
    assert next(line for line in lines if "File" in line).startswith(f'  File "{__file__}", line')
    assert not [line for line in lines if "/deltamark/application" in line]


def test_the_run_after_a_failure_computes_what_was_due(new_staff):
    is_broken = [True]

    def rated(batch):
        assert not is_broken[0], "not now"
        return pa.table({"key": batch["key"], "Score": [1] * len(batch)})

    staff = computing(new_staff, rated)
    failed(staff)
    is_broken.clear()
    is_broken.append(False)

    staff.run()

    assert staff.all("Score") == {"1": 1, "2": 1}


def test_a_failure_in_a_later_batch_undoes_earlier_batches(new_staff):
    def second_fails(batch):
        if "2" in batch["key"].to_pylist():
            raise ValueError("two")
        return pa.table({"key": batch["key"], "Score": [1] * len(batch)})

    assert "ValueError: two" in failed(computing(new_staff, second_fails, batch_size=1))


def test_a_traceback_is_escaped_and_cut(new_staff):
    def noisy(batch, depth=0):
        if depth < 60:
            return noisy(batch, depth + 1)
        raise ValueError("\x1b[31mred\x07\nsecond\tline" + "x" * 10_000)

    message = failed(computing(new_staff, noisy))

    lines = message.split("\n")
    assert len(lines) <= 21
    assert all(line.isprintable() and len(line) <= 500 for line in lines)
    assert "\\x1b[31mred\\x07" in message


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def raises(error):
    def raising(batch):
        raise error

    return raising


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(3), "called sys.exit(3)"),
        (SystemExit(), "called sys.exit(None)"),
        (GeneratorExit(), "raised GeneratorExit"),
        (MemoryError("much"), "raised MemoryError"),
        (Unspeakable(), "raised Unspeakable"),
        (StopIteration(), "raised StopIteration"),
        (DeltamarkError("mine"), "raised DeltamarkError"),
        (ExceptionGroup("several", [ValueError("a"), KeyError("b")]), "raised ExceptionGroup"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_exception_fails_only_the_task(new_staff, error, told):
    assert told in failed(computing(new_staff, raises(error)))


def test_an_interruption_of_a_function_interrupts_the_run(new_staff):
    staff = computing(new_staff, raises(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        staff.tried()

    (run,) = staff.engine.runs()
    assert run.state is TaskState.FAILED
    assert of(run).messages == ("interrupted",)


def test_a_function_that_verifies_its_own_values_is_refused_at_once(new_staff):
    def verifies(batch):
        staff.engine.repair(staff.engine.verify_derived())

    staff = computing(new_staff, verifies)

    message = failed(staff)

    assert "of a task calls Engine.verify_derived" in message
    assert "Let another task of the job do this, after it." in message
    assert len(staff.engine.runs()) == 1


def test_a_function_may_read_from_the_engine(new_staff):
    def looks(batch):
        assert staff.engine.resource("Person", "1") is not None
        return pa.table({"key": batch["key"], "Score": [len(list(staff.engine.changes()))] * len(batch)})

    staff = computing(new_staff, looks)

    staff.run()

    assert staff.all("Score") == {"1": 2, "2": 2}


ROWS = {"key": ["1", "2"], "Score": [1, 2]}
WRONG = {
    "nothing": (lambda b: None, "returned nothing (None) instead of a pyarrow.Table"),
    "a dict": (lambda b: ROWS, "returned a dict instead of a pyarrow.Table"),
    "no key": (lambda b: pa.table({"Score": [1]}), "without the column key"),
    "no column": (lambda b: pa.table({"key": ["1"]}), 'without the column "Score", which it is declared to write'),
    "another column": (
        lambda b: pa.table({**ROWS, "Scores": [1, 2]}),
        'the column "Scores", which it does not write of',
    ),
    "what it reads": (
        lambda b: b.append_column("Score", pa.array([1, 2])),
        'the column "Name", which it does not write',
    ),
    "a column twice": (lambda b: pa.table([["1"], [1], [1]], names=["key", "Score", "Score"]), '"Score" twice'),
    "an unknown key": (lambda b: pa.table({"key": ["1", "x"], "Score": [1, 2]}), 'outside the batch for Person "x"'),
    "a key twice": (lambda b: pa.table({"key": ["2", "2"], "Score": [1, 2]}), 'returned the key "2" twice'),
    "no key in a row": (lambda b: pa.table({"key": ["1", None], "Score": [1, 2]}), "without a key in row 2"),
    "numbers as keys": (lambda b: pa.table({"key": [1, 2], "Score": [1, 2]}), "keys of type int64, not texts"),
    "texts for numbers": (lambda b: pa.table({**ROWS, "Score": ["1", "2"]}), '"Score" as string, not int32'),
    "fractions": (lambda b: pa.table({**ROWS, "Score": [1.0, 2.0]}), '"Score" as double, not int32'),
    "Booleans": (lambda b: pa.table({**ROWS, "Score": [True, False]}), '"Score" as bool, not int32'),
    "too large": (lambda b: pa.table({**ROWS, "Score": [1, 2**31]}), '"Score" with "2147483648" for Person "2"'),
    "far too large": (
        lambda b: pa.table({"key": ["1"], "Score": pa.array([2**64 - 1], pa.uint64())}),
        '"Score" with "18446744073709551615" for Person "1"',
    ),
}


@pytest.mark.many
@pytest.mark.parametrize(("answer", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_result_is_reported_with_its_resource_and_nothing_is_written(new_staff, answer, told):
    message = failed(computing(new_staff, answer if answer.__name__ != "<lambda>" else named(answer)))

    assert told in message
    assert "Nothing was changed. " in message
    assert message.endswith(".")
    assert "\n" not in message


def named(answer):
    def answering(batch):
        return answer(batch)

    return answering


OTHER = {
    "a text with NUL": (
        "Label",
        pa.array(["a", "b\0"]),
        'with the character NUL, which no text may hold for Person "2"',
    ),
    "a time": ("Label", pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2), "not string"),
    "lists": ("Label", pa.array([["a"], []]), "as list<item: string>, not string"),
}


@pytest.mark.parametrize(("name", "values", "told"), OTHER.values(), ids=OTHER)
def test_a_wrong_text_is_reported(new_staff, name, values, told):
    def answering(batch):
        return pa.table({"key": batch["key"], name: values})

    assert told in failed(computing(new_staff, answering, writes=[name]))


def test_a_damaged_table_is_reported(new_staff):
    def damaged(batch):
        wrong = pa.Array.from_buffers(
            pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"\xff\xfeab")]
        )
        return pa.table({"key": batch["key"], "Label": wrong})

    assert "returned a table that is damaged" in failed(computing(new_staff, damaged, writes=["Label"]))


def test_an_empty_result_or_nulls_mean_no_value(new_staff):
    def empty(batch):
        return batch.select(["key"]).append_column("Score", pa.nulls(len(batch))).slice(0, 1)

    staff = computing(new_staff, empty)

    staff.run()

    assert staff.all("Score") == {}


def test_a_record_batch_and_a_dictionary_column_are_accepted(new_staff):
    def answering(batch):
        columns = {
            "key": batch["key"].combine_chunks().dictionary_encode(),
            "Label": pa.array(["", "b"], pa.large_string()),
        }
        return pa.RecordBatch.from_pydict(columns)

    staff = computing(new_staff, answering, writes=["Label"])

    staff.run()

    assert staff.all("Label") == {"2": "b"}


def test_the_error_carries_data():
    error = UserTaskFailed("company:score", "raised ValueError", ["Traceback", "ValueError"])

    assert (error.function, error.problem, error.traceback) == (
        "company:score",
        "raised ValueError",
        ("Traceback", "ValueError"),
    )


@pytest.mark.slow  # starts processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_process_that_a_function_forks_never_touches_the_store(new_store, tmp_path):
    program = textwrap.dedent("""
        import os, sys
        import pyarrow as pa
        from deltamark import task
        from tests.scenarios.staff import Staff, calls, people_model
        from tests.conftest import datetime, UTC

        @task(entity_types=["Person"], reads=["Name"], writes=["Score"])
        def forks(batch):
            child = os.fork()
            if child:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 70
            elif {raises}:
                raise SystemExit(0)
            return pa.table({{"key": batch["key"], "Score": [len(n) for n in batch["Name"].to_pylist()]}})

        from pathlib import Path
        staff = Staff({url!r}, Path({folder!r}), lambda: datetime.now(UTC), people_model([calls(forks)]))
        staff.person("1", "Ann").run()
        print(staff.all("Score"), len(staff.engine.runs()))
        staff.engine.close()
    """)
    for raising in ("False", "True"):
        text = program.format(raises=raising, url=new_store(), folder=str(tmp_path))
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert "forked a process that returned from it" in done.stderr
        assert done.stdout == "{'1': 3} 1\n"
