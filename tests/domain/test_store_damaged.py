"""Messages about a damaged store have one form."""

from __future__ import annotations

from deltamark.domain.errors import StoreError, store_damaged


def test_the_message_has_the_problem_its_effect_and_the_advice() -> None:
    error = store_damaged("run 3 cannot be read", effect="Nothing was changed.", alternative="run the job again")

    assert isinstance(error, StoreError)
    assert str(error) == (
        "run 3 cannot be read. Nothing was changed. The store was altered or is damaged. Verify it, or run the job "
        "again."
    )


def test_a_message_without_alternative_advises_to_verify_the_store() -> None:
    error = store_damaged("run 3 cannot be read")

    assert str(error) == "run 3 cannot be read. The store was altered or is damaged. Verify it: that names the damage."
