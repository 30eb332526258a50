"""No link is removed on the word of an extract that is not whole, or that names its ends otherwise."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cases.case import Case
from tests.cases.conftest import NewCase

LIMITS = "".join(
    f' {name}="0"'
    for name in (
        "MaxPercentageInsertedLines",
        "MaxPercentageUpdatedLines",
        "MaxPercentageDeletedLines",
        "MaxLinkPercentageInsertedLines",
        "MaxLinkPercentageDeletedLines",
    )
)
CONFIGURATION = f"""<ConfigurationFile>
  <Connector Identifier="S" DisplayName_L1="Source"{LIMITS} />
  <EntityType Identifier="U">
    <Property Identifier="K" IsKey="true" />
    <Property Identifier="Mail" />
  </EntityType>
  <EntityType Identifier="G"><Property Identifier="K" IsKey="true" /></EntityType>
  <EntityTypeMapping Identifier="U" Connector="S" ConnectionTable="u">
    <Property Identifier="K" ConnectionColumn="id" IsPrimaryKey="true" />
    <Property Identifier="Mail" ConnectionColumn="mail" IsUniqueKey="true" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="G" Connector="S" ConnectionTable="g">
    <Property Identifier="K" ConnectionColumn="id" IsPrimaryKey="true" />
  </EntityTypeMapping>
  <EntityAssociation Identifier="Members" Property1="G:Members" Property2="U:Groups"
                     IsProperty1Collection="true" IsProperty2Collection="true" />
  <EntityAssociation Identifier="Manager" Property1="U:Manager" Property2="U:Reports" IsProperty2Collection="true" />
  <EntityAssociation Identifier="Office" Property1="G:Office" Property2="U:Office" IsProperty1Collection="true" />
  <EntityAssociationMapping Identifier="Members" Connector="S" ConnectionTable="m" Column1="group" Column2="member"
                            EntityPropertyMapping1="G:K" EntityPropertyMapping2="U:{{named}}" />
  <EntityAssociationMapping Identifier="Manager" Connector="S" ConnectionTable="u" Column1="id" Column2="manager"
                            EntityPropertyMapping1="U:K" EntityPropertyMapping2="U:K" />
  <EntityAssociationMapping Identifier="Office" Connector="S" ConnectionTable="u" Column1="office" Column2="mail"
                            EntityPropertyMapping1="G:K" EntityPropertyMapping2="U:Mail" />
  <Job Identifier="Load" DisplayName_L1="Load">
    <SynchronizeTask Identifier="SyncS" DisplayName_L1="Source" Connector="S" DoNotDeleteChanges="true" />
  </Job>
</ConfigurationFile>
"""

USERS = "id,mail,manager,office\n1,a@x,,g1\n2,b@x,1,g1\n3,c@x,1,g2\n4,,,\n"
GROUPS = "id\ng1\ng2\n"
MEMBERS = "group,member\ng1,1\ng1,2\ng2,3\n"
LINKS = {
    "g1 Members 1",
    "g1 Members 2",
    "g2 Members 3",
    "2 Manager 1",
    "3 Manager 1",
    "g1 Office 1",
    "g1 Office 2",
    "g2 Office 3",
}


def links(case: Case) -> set[str]:
    return {
        f"{row['key']} {association} {other}"
        for entity_type in ("U", "G")
        for row in case.exported(entity_type)
        for association, others in row["links"].items()
        for other in others
    }


@pytest.fixture
def loaded(case: NewCase) -> Case:
    """Users with managers and offices in their own extract, and members of groups in an extract of pairs."""
    new = case("01-empty-key-cell")
    new.configuration(1).write_text(CONFIGURATION.format(named="K"))
    return first_day(new)


@pytest.fixture
def by_mail(case: NewCase) -> Case:
    """The same, with members named by their mail addresses."""
    new = case("01-empty-key-cell")
    new.configuration(1).write_text(CONFIGURATION.format(named="Mail"))
    return first_day(new, MEMBERS.replace("1\n", "a@x\n").replace("2\n", "b@x\n").replace("3\n", "c@x\n"))


def first_day(case: Case, members: str = MEMBERS) -> Case:
    case.extract(1, u=USERS, g=GROUPS, m=members)
    assert case.run(1).status == 0
    assert links(case) == LINKS
    return case


def next_day(case: Case, users: str = USERS, groups: str = GROUPS, members: str = MEMBERS):
    case.extract(2, u=users, g=groups, m=members)
    return case.run(2)


@pytest.mark.many
@pytest.mark.parametrize(
    "members",
    [
        "group,member\n,1\ng1,2\n",
        "group,member\ng1,\ng1,2\n",
        "group,member\ng1,\u00a0\ng1,2\n",
        'group,member\n"  ",1\ng1,2\n',
        "group,member\n,1\n,2\n,3\n",
        "group,member\ng1,\ng2,\n",
        "group,member\ngroup,member\ng1,1\n",
        "group,member\ng1\ng1,1\n",
    ],
)
def test_a_row_with_one_side_missing_removes_no_link(loaded: Case, members: str) -> None:
    answer = next_day(loaded, members=members)

    assert answer.status == 0
    assert "Run 2: warning" in answer.err
    assert "Members: this extract deletes nothing" in answer.err
    assert links(loaded) == LINKS

    next_day(loaded, members="group,member\ng1,1\n")
    assert links(loaded) == LINKS - {"g1 Members 2", "g2 Members 3"}


def test_a_null_in_parquet_removes_no_link(loaded: Case) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"group": ["g1", None], "member": [1.0, 2.0]}), sink)
    loaded.extract(2, u=USERS, g=GROUPS)
    (loaded.exports(2) / "m.parquet").write_bytes(sink.getvalue())

    answer = loaded.run(2)

    assert "m.parquet:2:group: the key is empty" in answer.err
    assert links(loaded) == LINKS


def test_empty_rows_among_links_protect_nothing(loaded: Case) -> None:
    answer = next_day(loaded, members="group,member\ng1,1\n,\n \n")

    assert "Run 2: completed" in answer.err
    assert links(loaded) == LINKS - {"g1 Members 2", "g2 Members 3"}


def test_a_group_that_never_had_members_may_have_a_row_without_one(loaded: Case) -> None:
    answer = next_day(loaded, groups=GROUPS + "g3\n", members="group,member\ng1,1\ng3,\n")

    assert "Run 2: completed" in answer.err
    assert links(loaded) == LINKS - {"g1 Members 2", "g2 Members 3"}


def test_an_empty_cell_in_the_row_of_a_resource_means_no_link(loaded: Case) -> None:
    answer = next_day(loaded, users=USERS.replace("2,b@x,1,g1", "2,b@x,,"))

    assert "Run 2: completed" in answer.err
    assert links(loaded) == LINKS - {"2 Manager 1", "g1 Office 2"}


def test_a_resource_without_the_value_that_names_it_keeps_its_links(loaded: Case) -> None:
    answer = next_day(loaded, users=USERS.replace("2,b@x,1,g1", "2,,1,g1"))

    assert "Run 2: completed" in answer.err
    assert links(loaded) == LINKS


def test_a_row_without_the_key_of_its_resource_removes_no_link_of_it(loaded: Case) -> None:
    answer = next_day(loaded, users=USERS.replace("2,b@x,1,g1", ",b@x,,g1").replace("3,c@x,1,g2\n", ""))

    assert "Run 2: warning" in answer.err
    assert links(loaded) == LINKS
    assert loaded.keys("U") == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "members",
    [
        "group,member\ng1,1.0\ng1,2.0\ng2,3.0\n",
        "group,member\nG1,1\nG1,2\nG2,3\n",
        "group,member\ng1,01\ng1,2\ng2,3\n",
        "group,member\ng1,1\ng1,2\ng\u200b2,3\n",
    ],
)
def test_links_whose_ends_are_only_written_otherwise_are_held_back(loaded: Case, members: str) -> None:
    answer = next_day(loaded, members=members)

    assert answer.status == 3
    assert "keys of Members changed: " in answer.err
    assert links(loaded) == LINKS


def test_links_by_another_property_than_the_key_are_held_back_too(by_mail: Case) -> None:
    answer = next_day(by_mail, members="group,member\ng1,A@X\ng1,B@X\ng2,C@X\n")

    assert answer.status == 3
    assert 'most keys of Members changed: "g1" "a@x" → "g1" "A@X"' in answer.err
    assert links(by_mail) == LINKS


@pytest.mark.parametrize("mail", ["a@x\u00a0", " a@x", "\ufeffa@x"])
def test_blanks_around_what_names_a_resource_are_no_part_of_it(by_mail: Case, mail: str) -> None:
    answer = next_day(by_mail, members=f"group,member\ng1,{mail}\n g1,b@x\ng2,c@x\n", users=USERS.replace("a@x", mail))

    assert "Run 2: completed" in answer.err
    assert links(by_mail) == LINKS


def test_links_that_lead_elsewhere_are_a_normal_day(loaded: Case) -> None:
    answer = next_day(loaded, members="group,member\ng2,1\ng2,2\ng1,3\n")

    assert "Run 2: completed" in answer.err
    assert "g1 Members 3" in links(loaded)


def test_pairs_that_are_resources_too_lose_none_where_a_row_lacks_their_key(loaded: Case) -> None:
    groups = 'Connector="S" ConnectionTable="{}">\n    <Property Identifier="K" ConnectionColumn="{}" IsPrimaryKey'
    text = loaded.configuration(1).read_text()
    assert groups.format("g", "id") in text
    loaded.configuration(1).write_text(text.replace(groups.format("g", "id"), groups.format("m", "group")))

    next_day(loaded, members="group,member\ng1,1\ng1,2\n,3\n")

    assert loaded.keys("G") == ["g1", "g2"]
    assert "g2 Members 3" in links(loaded)
