"""Links are compared while nobody waits, and again where somebody else changed their ends meanwhile."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from deltamark import Engine, TaskState
from deltamark.infrastructure.store.queries.repetitions import RepetitionQueries
from tests.laws.test_repetitions import TABLES, two_connectors
from tests.stores import NewStore


@define
class Company:
    """Users, groups and members; `meanwhile` happens once links were compared."""

    url: str
    folder: Path
    engine: Engine
    meanwhile: Callable[[], object] = lambda: None
    compared: int = 0

    def write(self, **tables: Iterable[Sequence[str]]) -> Company:
        for table, rows in tables.items():
            with (self.folder / f"{table}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([TABLES[table], *rows])
        return self

    def run(self, job: str) -> None:
        run = self.engine.run_job(job, force=True, force_read=True)
        assert run.state in (TaskState.COMPLETED, TaskState.WARNING), [task.messages for task in run.tasks]

    def links(self) -> dict[str, list[str]]:
        rows = self.engine.export_resources("Group")
        return {row.key: sorted(row.links["Many"]) for row in rows if row.links.get("Many")}

    def watch(self) -> None:
        services = self.engine._services
        comparer, company = services.comparer, self

        class Watching:
            def links(self, extract: Any, sides: Any, association: Any, **options: Any) -> Any:
                found = comparer.links(extract, sides, association, **options)
                company.compared += 1
                company.meanwhile()
                company.meanwhile = lambda: None
                return found

            def __getattr__(self, name: str) -> Any:
                return getattr(comparer, name)

        self.engine._services = evolve(services, comparer=Watching())


@pytest.fixture
def company(new_store: NewStore, tmp_path: Path) -> Iterator[Company]:
    url = new_store()
    with Engine.open(url, configuration=two_connectors(), export_output=tmp_path) as engine:
        made = Company(url, tmp_path, engine)
        made.write(users=[["a"], ["b"]], groups=[["x", "1"], ["y", "1"]], many=[["x", "a"], ["y", "b"]])
        for job in ("Users", "Groups"):
            made.run(job)
        made.watch()
        yield made
        assert engine.verify().is_sound


def other(company: Company, job: str) -> Callable[[], None]:
    """Another process that runs a job, as it is allowed to while no transaction keeps it from writing."""

    def meanwhile() -> None:
        with Engine.open(company.url, configuration=two_connectors(), export_output=company.folder) as engine:
            assert engine.run_job(job, force=True).state is TaskState.COMPLETED

    return meanwhile


@pytest.mark.on_every_store
def test_others_may_write_while_links_are_compared(company: Company) -> None:
    company.write(groups=[["x", "2"], ["y", "1"]], many=[["x", "a"], ["x", "b"]], users=[["a"], ["b"], ["c"]])
    company.meanwhile = other(company, "Users")

    company.run("Groups")

    assert company.links() == {"x": ["a", "b"]}
    # The new user may be named by a row, so that all rows are compared again.
    assert company.compared == 2


@pytest.mark.on_every_store
def test_links_whose_end_was_deleted_meanwhile_are_compared_again(company: Company) -> None:
    company.write(users=[["b"]], many=[["x", "a"], ["x", "b"]])
    company.meanwhile = other(company, "Users")

    company.run("Groups")

    assert company.links() == {"x": ["b"]}
    company.write(users=[["a"], ["b"]])
    company.run("Users")
    assert company.links() == {"x": ["a", "b"]}


def test_without_the_second_look_the_deleted_end_is_found(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RepetitionQueries, "is_touched_since", lambda *_: False)
    with pytest.raises(AssertionError):
        test_links_whose_end_was_deleted_meanwhile_are_compared_again(company)


@pytest.mark.parametrize(
    ("tables", "links"),
    [
        ({"groups": [["x", "1"], ["z", "1"]], "many": [["z", "a"]]}, {"z": ["a"]}),
        ({"groups": [["y", "1"]], "many": [["y", "a"], ["x", "a"]]}, {"y": ["a"]}),
        ({"groups": [["x", "2"], ["y", "1"]], "many": [["y", "a"]]}, {"y": ["a"]}),
    ],
    ids=["created", "deleted", "updated"],
)
def test_links_follow_what_becomes_of_their_ends(company: Company, tables: Any, links: dict[str, list[str]]) -> None:
    company.write(**tables).run("Groups")

    assert company.links() == links
    assert company.compared == 1
