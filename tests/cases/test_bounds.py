"""Limits of the expression language: what is within them is quick and small, what is not is refused by name."""

from __future__ import annotations

from tests.cases.conftest import NewCase


def test_sixteen_functions_in_a_pipe(case: NewCase) -> None:
    pipe = case("44-sixteen-functions")

    assert pipe.command("validate").status == 0
    assert pipe.run(1).status == 0
    assert pipe.exported("P")[0]["properties"]["F"] == "Ann"
