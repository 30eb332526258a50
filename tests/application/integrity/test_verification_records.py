"""What came of verifications can be kept, and is no change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from deltamark import UsageError, VerifiedPart
from tests.scenarios.staff import Staff, expressions_task, people_model

NewStaff = Callable[..., Staff]


def computed(new_staff: NewStaff) -> Staff:
    staff = new_staff(people_model([expressions_task()], {"Label": "p.Name || '!'"}))
    staff.person("1", "Ann").person("2", "Bo")
    staff.run()
    return staff


@pytest.mark.on_every_store
def test_verifications_are_on_record_the_newest_first(new_staff: NewStaff) -> None:
    engine = computed(new_staff).engine
    head = engine.position()

    engine.record_verification(engine.verify())
    engine.record_verification(engine.verify_derived(sample=1))
    kept = engine.record_verification(evolve(engine.verify(), log_faults=1, differences=2))

    records = engine.verifications()
    assert [(record.part, record.faults, record.sample, record.is_sound) for record in records] == [
        (VerifiedPart.LOG, 3, None, False),
        (VerifiedPart.DERIVED, 0, 1, True),
        (VerifiedPart.LOG, 0, None, True),
    ]
    assert records[0] == kept
    assert {record.position for record in records} == {head} == {engine.position()}, "to look is no change"
    assert engine.verify().is_sound


def test_the_newest_hundred_are_kept(new_staff: NewStaff) -> None:
    engine = computed(new_staff).engine
    found = engine.verify()
    for number in range(103):
        engine.record_verification(evolve(found, differences=number))

    assert [record.faults for record in engine.verifications()] == list(range(102, 2, -1))
    assert engine.verify().is_sound


def test_what_is_no_verification_is_refused(new_staff: NewStaff) -> None:
    engine = computed(new_staff).engine

    with pytest.raises(UsageError, match="verification is what verify or verify_derived gave, not bool"):
        engine.record_verification(True)
    assert engine.verifications() == []
