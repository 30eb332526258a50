"""What users read about a store that is damaged has one shape."""

from __future__ import annotations

from deltamark.domain.errors import StoreError, store_damaged


def test_the_message_says_what_is_wrong_what_did_not_happen_and_what_to_do() -> None:
    error = store_damaged("run 3 cannot be read", effect="Nothing was changed.", alternative="run the job again")

    assert isinstance(error, StoreError)
    assert str(error) == (
        "run 3 cannot be read. Nothing was changed. The store was altered or is damaged. Restore a backup, or run the "
        "job again."
    )


def test_a_message_without_more_ends_with_the_backup() -> None:
    error = store_damaged("run 3 cannot be read")

    assert str(error) == "run 3 cannot be read. The store was altered or is damaged. Restore a backup."
