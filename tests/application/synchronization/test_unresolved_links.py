"""Where several associations read one column, a value that one of them finds is no orphan of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from deltamark import (
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    Job,
    JobRun,
    PropertyRef,
    SynchronizeTask,
    TaskState,
)
from tests.application.synchronization.row_order import Source, configuration
from tests.stores import NewStore

pytestmark = pytest.mark.on_every_store

GROUP, USER = PropertyRef("Group", "Name"), PropertyRef("User", "Login")


@pytest.fixture
def source(new_store: NewStore, tmp_path: Path) -> Iterator[Source]:
    """Groups whose members are users and groups, named by one column of one table."""
    many = configuration(["Many"])
    nested = EntityAssociation(
        "Nested",
        PropertyRef("Group", "Nested"),
        PropertyRef("Group", "Within"),
        is_property1_collection=True,
        is_property2_collection=True,
    )
    (load, delta) = many.jobs
    configured = evolve(
        many,
        associations=[*many.associations, nested],
        association_mappings=[
            *many.association_mappings,
            EntityAssociationMapping("Nested", "S", "many", "group", "user", GROUP, GROUP),
        ],
        jobs=[
            load,
            delta,
            Job(
                "Orphans",
                [SynchronizeTask(identifier="Report", connector="S", orphans=True, do_not_delete_changes=True)],
            ),
        ],
    )
    made = Source(new_store(), tmp_path / "source", configured)
    yield made
    made.engine.close()


def reported(engine: Engine, run: JobRun) -> list[tuple[int | None, str | None, str]]:
    return [(row.line, row.value, row.reason) for row in engine.run(run.number).set_aside]


WORLD = {"groups": [["g"], ["h"]], "users": [["a"], ["b"]]}
UNKNOWN = "no User has this Login and no Group has this Name"


def test_a_member_that_is_a_user_or_a_group_is_no_orphan(source: Source) -> None:
    run = source.run("Load", **WORLD, many=[["g", "a"], ["g", "h"], ["h", "b"]])

    assert (run.state, reported(source.engine, run)) == (TaskState.COMPLETED, [])
    assert source.links("Group", "Many") == {"g": ["a"], "h": ["b"]}
    assert source.links("Group", "Nested") == {"g": ["h"]}


def test_a_member_that_is_neither_is_reported_once_with_what_was_searched(source: Source) -> None:
    run = source.run("Orphans", **WORLD, many=[["g", "a"], ["g", "x"], ["h", "G"], ["y", "a"]])

    assert run.counts.set_aside == 3
    assert reported(source.engine, run) == [
        (3, "x", UNKNOWN),
        (4, "G", f'{UNKNOWN}; it differs from "g" in letter case'),
        (5, "y", "no Group has this Name"),
    ]
    orphans = sorted((source.folder / "orphans").iterdir())
    assert [file.name for file in orphans] == [f"Many-run{run.number}.csv", f"Nested-run{run.number}.csv"]
    assert ["g,h" in file.read_text() for file in orphans] == [False, False]


def test_the_same_holds_for_deltas(source: Source) -> None:
    source.run("Load", **WORLD)

    run = source.run("Delta", many=[["g", "a", "insert"], ["g", "h", "insert"], ["h", "x", "merge"]])

    assert reported(source.engine, run) == [(4, "x", UNKNOWN)]
    assert source.links("Group", "Many") == {"g": ["a"]}
    assert source.links("Group", "Nested") == {"g": ["h"]}


def test_a_member_that_becomes_a_user_too_is_linked_as_in_a_complete_extract(source: Source) -> None:
    rows = [["g", "h"]]
    source.run("Load", **WORLD)
    source.run("Delta", many=[["g", "h", "insert"]])

    source.run("Delta", users=[["h", "insert"]])

    expected = [{"g": ["h"]}, {"g": ["h"]}]
    assert [source.links("Group", name) for name in ("Many", "Nested")] == expected
    again = source.run("Load", groups=WORLD["groups"], users=[*WORLD["users"], ["h"]], many=rows)
    assert again.counts.changed == 0


def test_members_that_the_other_association_finds_are_no_change_of_keys(source: Source) -> None:
    # Of twenty-one members more than half are gone, while as many rows name groups.
    users = [[f"u{number}"] for number in range(21)]
    groups = [[f"g{number}"] for number in range(21)]
    everyone = [["g0", user] for (user,) in users]
    nested = [["g1", group] for (group,) in groups]
    source.run("Load", users=users, groups=groups, many=[*everyone, *nested])
    source.folder.joinpath("many.csv").write_text(
        "\n".join(["group,user", *(",".join(row) for row in [*everyone[:8], *nested]), ""])
    )

    run = source.engine.run_job("Load")

    assert run.state is TaskState.COMPLETED
    assert run.counts.unlinked == 13


def test_a_row_whose_first_end_another_association_finds_is_its_row(new_store: NewStore, tmp_path: Path) -> None:
    # A grant goes to a user or to a group; what is granted is the same for both.
    base = configuration()
    item = PropertyRef("Item", "Key")
    ends = {"OfUser": USER, "OfGroup": GROUP}
    configured = evolve(
        base,
        associations=[
            EntityAssociation(
                name,
                PropertyRef(who.entity_type, name),
                PropertyRef("Item", f"To{name}"),
                is_property1_collection=True,
                is_property2_collection=True,
            )
            for name, who in ends.items()
        ],
        association_mappings=[
            EntityAssociationMapping(name, "S", "grants", "who", "what", who, item) for name, who in ends.items()
        ],
    )
    source = Source(new_store(), tmp_path / "source", configured)

    with source.engine:
        grants = [["a", "1"], ["g", "1"], ["a", "9"], ["g", "9"], ["x", "1"]]
        run = source.run("Load", **WORLD, items=[["1", "", "", ""]], grants=grants)

        assert reported(source.engine, run) == [
            (4, "9", "no Item has this Key"),
            (6, "x", UNKNOWN),
            (5, "9", "no Item has this Key"),
        ]
        assert source.links("User", "OfUser") == {"a": ["1"]}
        assert source.links("Group", "OfGroup") == {"g": ["1"]}
