"""No mistake hides another: each of several is told with its line, and nothing else is.

A valid configuration is taken, mistakes are planted in it, and each must be told: all pairs of kinds, and all at once.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from deltamark.bootstrap import judged_configuration
from tests.tiers import examples

WHOLE = """\
<ConfigurationFile>
  <Agent Identifier="Here" DisplayName_L1="Here" />
  <Policy Identifier="Default" />
  <Connector Identifier="HR" Agent="Here" MaximumDeletedLines="50" />
  <Connector Identifier="AD" IsDeactivated="false" />
  <EntityType Identifier="Person">
    <Property Identifier="Number" IsKey="true" />
    <Property Identifier="Mail" />
    <Property Identifier="Hired" Type="DateTime" />
    <Property Identifier="Size" Type="Int32" />
    <Property Identifier="Login" />
    <Property Identifier="Label" />
    <Property Identifier="Grade" Type="Int32" />
    <Property Identifier="Chief" Type="ForeignKey" />
  </EntityType>
  <EntityType Identifier="Account">
    <Property Identifier="Name" IsKey="true" />
    <Property Identifier="Kind" />
  </EntityType>
  <EntityAssociation Identifier="Boss" Property1="Person:Chief" Property2="Person:Reports"
      IsProperty2Collection="true" />
  <EntityTypeMapping Identifier="Person" Connector="HR" ConnectionTable="people">
    <Property Identifier="Number" ConnectionColumn="number" IsPrimaryKey="true" />
    <Property Identifier="Mail" ConnectionColumn="mail" IsUniqueKey="true" />
    <Property Identifier="Hired" ConnectionColumn="hired" Format="dd/MM/yyyy" />
    <Property Identifier="Size" ConnectionColumn="size" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="Account" Connector="AD" ConnectionTable="accounts">
    <Property Identifier="Name" ConnectionColumn="name" IsPrimaryKey="true" />
    <Property Identifier="Kind" ConnectionColumn="kind" />
  </EntityTypeMapping>
  <EntityAssociationMapping Identifier="Boss" Connector="HR" ConnectionTable="bosses" Column1="a" Column2="b"
      EntityPropertyMapping1="Person:Number" EntityPropertyMapping2="Person:Number" />
  <EntityPropertyExpression Identifier="Login" EntityType="Person" Property="Login" Binding="Mail"
      Expression="ToLower" />
  <EntityPropertyExpression Identifier="Label" EntityType="Person" Property="Label"
      Expression="SQL:p: p.Login || p.Chief.Mail" />
  <EntityPropertyExpression Identifier="Grade" EntityType="Person" Property="Grade" Expression="Literal:3" />
  <ResourceType Identifier="R" SourceEntityType="Person" TargetEntityType="Account" Policy="Default" />
  <ResourceCorrelationRule ResourceType="R" SourceBinding="Login" TargetBinding="Name" />
  <ResourceClassificationRule ResourceType="R" TargetExpression="SQL:a: a.Kind = 'user'" />
  <UpdateClassificationTask Identifier="Classify" DisplayName_L1="c">
      <TaskEntityType EntityType="Account" />
    </UpdateClassificationTask>
  <Job Identifier="Nightly" DisplayName_L1="n" CronTabExpression="0 0 3 * * *">
    <PrepareSynchronizationTask Identifier="PrepareHR" DisplayName_L1="p" Connector="HR" Type="None" Level="0" />
    <SynchronizeTask Identifier="SyncHR" DisplayName_L1="s" Connector="HR" Level="1" DoNotDeleteChanges="true" />
    <SynchronizeTask Identifier="SyncAD" DisplayName_L1="s" Connector="AD" Level="1" DoNotDeleteChanges="true" />
    <SetRecentlyModifiedFlagTask Identifier="Flag" DisplayName_L1="f" Level="2">
      <TaskDependsOnTask ParentTask="SyncHR" />
    </SetRecentlyModifiedFlagTask>
    <UpdateEntityPropertyExpressionsTask Identifier="Compute" DisplayName_L1="u" Level="3">
      <TaskEntityType EntityType="Person" />
    </UpdateEntityPropertyExpressionsTask>
    <ComputeCorrelationKeysTask Identifier="Keys" DisplayName_L1="k" Level="4" AllEntityType="true" />
    <Step Task="Classify" Level="5" />
  </Job>
</ConfigurationFile>
"""


@frozen
class Mistake:
    """A text of the configuration that is replaced, and what must be said about its line."""

    before: str
    after: str
    said: str

    @property
    def line(self) -> int:
        """The line in which the element begins."""
        place = WHOLE.index(self.before)
        assert WHOLE.count(self.before) == 1, self.before
        return WHOLE.count("\n", 0, WHOLE.rindex("<", 0, place + 1)) + 1


KINDS = {
    "unknown attribute": Mistake(
        '"Here" DisplayName_L1="Here"', '"Here" DisplayName_L1="Here" Colour="x"', "attribute `Colour`"
    ),
    "misspelt attribute": Mistake(
        '"Default" />\n  <Connector', '"Default" DisplayNam_L1="x" />\n  <Connector', "mean `DisplayName_L1`"
    ),
    "agent that does not exist": Mistake('HR" Agent="Here"', 'HR" Agent="There"', 'unknown agent "There"'),
    "Boolean": Mistake('IsDeactivated="false"', 'IsDeactivated="maybe"', "is not a Boolean"),
    "doubtful key": Mistake('"Name" IsKey="true"', '"Name" IsKey="perhaps"', "is not a Boolean"),
    "property twice": Mistake(
        '<Property Identifier="Kind" />',
        '<Property Identifier="Kind" /><Property Identifier="Kind" />',
        "configured twice",
    ),
    "reserved name": Mistake(
        '"Number" IsKey="true" />', '"Number" IsKey="true" /><Property Identifier="Id" />', "is reserved"
    ),
    "type of property": Mistake('"Size" Type="Int32"', '"Size" Type="Colour"', 'Colour" is not one of'),
    "association over nothing": Mistake(
        'Property2="Person:Reports"', 'Property2="Human:Reports"', 'unknown entity type "Human"'
    ),
    "connector that does not exist": Mistake(
        '"Account" Connector="AD"', '"Account" Connector="XY"', 'unknown connector "XY"'
    ),
    "table with an ending": Mistake('ConnectionTable="people"', 'ConnectionTable="people.csv"', "leave the ending out"),
    "unknown property": Mistake(
        '"Size" ConnectionColumn', '"Seize" ConnectionColumn', 'unknown property of "Person" "Seize"'
    ),
    "doubtful primary key": Mistake('"name" IsPrimaryKey="true"', '"name" IsPrimaryKey="so"', "is not a Boolean"),
    "column of white space": Mistake('ConnectionColumn="kind"', 'ConnectionColumn=" "', "`ConnectionColumn`"),
    "column without text": Mistake('Column1="a"', 'Column1=""', "is empty"),
    "function": Mistake('Expression="ToLower"', 'Expression="Bellow"', '"Bellow", which is no function'),
    "path": Mistake("p.Chief.Mail", "p.Chief.Nick", '"Chief.Nick", which is no property'),
    "literal": Mistake("Literal:3", "Literal:three", "three"),
    "resource type over nothing": Mistake(
        'TargetEntityType="Account"', 'TargetEntityType="Acount"', 'unknown entity type "Acount"'
    ),
    "side without binding": Mistake(' TargetBinding="Name"', "", "has no target"),
    "condition": Mistake("a.Kind = 'user'", "a.Kind + 1", "calculates with a text"),
    "covered type": Mistake(
        '<TaskEntityType EntityType="Account" />', '<TaskEntityType EntityType="Acc" />', 'unknown entity type "Acc"'
    ),
    "cron": Mistake("0 0 3 * * *", "0 61 3 * * *", "must be 0 to 59"),
    "type of source": Mistake('Type="None" Level', 'Type="Chnges" Level', "mean Changes"),
    "level": Mistake('"AD" Level="1"', '"AD" Level="one"', "is not a whole number"),
    "parent": Mistake('ParentTask="SyncHR"', 'ParentTask="Sync"', 'unknown parent task "Sync"'),
    "element": Mistake(
        '<TaskEntityType EntityType="Person" />',
        '<TaskEntityType EntityType="Person" /><Fulfil />',
        "unknown element `Fulfil`",
    ),
    "not built": Mistake(
        '<ComputeCorrelationKeysTask Identifier="Keys"',
        '<FulfillTask /><ComputeCorrelationKeysTask Identifier="Keys"',
        "not built yet",
    ),
    "step": Mistake(
        '<Step Task="Classify" Level="5" />',
        '<Step Task="Classify" Level="5" /><Step Task="Nix" Level="5" />',
        'unknown task "Nix"',
    ),
    "doubtful extent": Mistake('AllEntityType="true"', 'AllEntityType="all"', "is not a Boolean"),
}


def planted(kinds: tuple[str, ...], folder: Path) -> Path:
    text = WHOLE
    for mistake in sorted((KINDS[kind] for kind in kinds), key=lambda mistake: -WHOLE.index(mistake.before)):
        place = WHOLE.index(mistake.before)
        text = text[:place] + mistake.after + text[place + len(mistake.before) :]
    path = folder / "whole.xml"
    path.write_text(text)
    return path


def check(kinds: tuple[str, ...], folder: Path) -> None:
    """Plants mistakes and compares what is said. No path can be judged over a link that leads to nothing."""
    faults = judged_configuration(planted(kinds, folder)).faults

    kinds = tuple(k for k in kinds if not (k == "path" and "association over nothing" in kinds))
    said = {(fault.location.line, fault.message) for fault in faults if fault.location}
    untold = [k for k in kinds if not any(n == KINDS[k].line and KINDS[k].said in text for n, text in said)]
    assert not untold, said
    lines = {KINDS[kind].line for kind in kinds}
    assert {line for line, _ in said} <= lines, said
    assert len(faults) == len(kinds), said


def test_the_configuration_without_mistakes_is_valid(tmp_path):
    judgement = judged_configuration(planted((), tmp_path))

    assert judgement.faults == ()
    assert judgement.warnings == ()


@pytest.mark.parametrize("kind", KINDS)
def test_each_mistake_alone_is_told_and_nothing_that_follows_from_it(kind, tmp_path):
    check((kind,), tmp_path)


@pytest.mark.slow  # some hundred configurations
def test_all_pairs_of_mistakes_are_told(tmp_path):
    for pair in combinations(KINDS, 2):
        check(pair, tmp_path)


def test_all_mistakes_at_once_are_told(tmp_path):
    check(tuple(KINDS), tmp_path)


@given(st.sets(st.sampled_from(sorted(KINDS)), min_size=3).map(sorted).map(tuple))
@settings(max_examples=examples(20), deadline=None)
def test_any_mistakes_together_are_told(tmp_path_factory, kinds):
    check(kinds, tmp_path_factory.mktemp("mistakes"))
