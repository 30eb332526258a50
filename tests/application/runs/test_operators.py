"""Who does something, by which program and why, is recorded; who waits for the log is woken."""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer

import pytest

from deltamark import RunMoment, UsageError
from deltamark.interfaces.documents import run_document
from tests.scenarios.house import House
from tests.scenarios.staff import Staff, people_model

NewStaff = Callable[..., Staff]


@pytest.mark.on_every_store
def test_what_a_person_does_by_a_program_is_recorded_with_both(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([]))
    staff.person("1", "Ann").write()
    web = staff.engine.as_operator("ann", via="web")
    web.run_job("Synchronize", reason="asked for")
    staff.run("Synchronize")
    web.close()

    first, second = staff.engine.runs()
    assert (first.by, first.reason, first.via) == ("ann", "asked for", "web")
    assert (second.by, second.via) == (None, None)
    assert first.starter.via == "web"
    assert run_document(first)["via"] == "web"
    assert "via" not in run_document(second)
    assert staff.engine.as_operator("bo").run_job("Synchronize", by="cy").by == "cy"
    for wrong in ("", "Web", "a b", "x" * 41):
        with pytest.raises(UsageError, match="no name of a program"):
            staff.engine.as_operator("ann", via=wrong)


@pytest.mark.on_every_store
def test_waiting_ends_when_the_log_grows_or_the_time_is_over(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([]))
    staff.person("1", "Ann").write()
    head = staff.engine.position()
    assert staff.engine.wait(head, timeout=0) == head
    later = Timer(0.01, lambda: staff.engine.run_job("Synchronize"))
    later.start()
    assert staff.engine.wait(head, timeout=60) > head
    later.join()


def test_the_last_run_that_ended_is_a_moment(house: House) -> None:
    with pytest.raises(UsageError, match="no run has ended"):
        house.engine.position(RunMoment(None))
    house.people({"1": "Ann"}).run()
    run = house.people({"1": "Anna"}).run().number
    assert house.engine.position(RunMoment(None)) == house.engine.position(RunMoment(run))
    with pytest.raises(UsageError, match="no fixed run"):
        house.engine.retain("HR", keep=RunMoment(None))
