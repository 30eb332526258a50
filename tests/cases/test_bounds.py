"""Limits of the expression language: what is within them is quick and small, what is not is refused by name."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.cases.conftest import NewCase
from tests.cli.processes import COMMAND


def test_sixteen_functions_in_a_pipe(case: NewCase) -> None:
    pipe = case("44-sixteen-functions")

    assert pipe.command("validate").status == 0
    assert pipe.run(1).status == 0
    assert pipe.exported("P")[0]["properties"]["F"] == "Ann"


def test_long_texts_in_an_expression_that_repeats(case: NewCase) -> None:
    repeats = case("45-memory-of-an-expression")
    repeats.extract(1, p="id,name\n" + "".join(f"{number},{'x' * 5000}\n" for number in range(200)))

    assert repeats.run(1).status == 0
    assert {row["properties"]["X"] for row in repeats.exported("P")} == {"xxx"}


@pytest.mark.slow  # a process of its own, over ten megabytes of names
def test_long_texts_need_bounded_memory(case: NewCase) -> None:
    repeats = case("45-memory-of-an-expression")
    repeats.extract(1, p="id,name\n" + "".join(f"{number},{'x' * 5000}\n" for number in range(2048)))
    options = ["--store", repeats.store, "--configuration", str(repeats.configuration(1))]
    command = [*COMMAND, *options, "--export-output", str(repeats.exports(1)), "run", "Load"]

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert usage.ru_maxrss < 1_000_000, "kilobytes; the texts of all names at once are more than two gigabytes"


def test_a_long_list_joined(case: NewCase) -> None:
    joined = case("46-growth-of-a-list")
    rows = "".join(f"{number},{'x' * 100},0\n" for number in range(1, 6001))
    joined.extract(1, p=f"id,name,boss\n0,boss,\n{rows}")

    run = joined.run(1)

    assert run.status == 0
    assert 'the expression of P:X has no value for 1 resource of P ("0"): the text is longer than 1 MiB' in run.err
    assert all("X" not in row["properties"] for row in joined.exported("P"))


def test_one_huge_value_fails_no_job(case: NewCase) -> None:
    repeats = case("45-memory-of-an-expression")
    repeats.extract(1, p=f"id,name\n0,{'x' * 200_000}\n1,Ann\n")
    repeats.extract(2, p=f"id,name\n0,Bob\n1,{'x' * 200_000}\n")

    run = repeats.run(1, "Load", "--format", "jsonl")
    assert run.status == 0
    assert run.documents[-1]["state"] == "warning"
    assert [row["properties"].get("X") for row in repeats.exported("P")] == [None, "Ann"]

    assert repeats.run(2).status == 0
    assert [row["properties"].get("X") for row in repeats.exported("P")] == ["Bob", None]
    assert repeats.command("verify", "--derived").status == 0
