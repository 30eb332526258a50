"""A whole configuration: checked with its expressions, and planned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deltamark import ConfigurationError
from deltamark.bootstrap import checked_configuration

MODEL = """<ConfigurationFile>
  <EntityType Identifier="Person">
    <Property Identifier="Number" IsKey="true" />
    <Property Identifier="Mail" /> <Property Identifier="Login" /> <Property Identifier="Label" />
    <Property Identifier="Chief" Type="ForeignKey" />
  </EntityType>
  <EntityAssociation Identifier="Boss" Property1="Person:Chief" Property2="Person:Reports"
      IsProperty2Collection="true" />
  <ResourceType Identifier="R" SourceEntityType="Person" TargetEntityType="Person" />
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a file with the model and, from line 10, what a test adds to it."""

    def write(more: str) -> Path:
        path = tmp_path / "rules.xml"
        path.write_text(f"{MODEL}{more}\n</ConfigurationFile>")
        return path

    return write


def computing(name: str, **attributes: str) -> str:
    written_attributes = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return (
        f'<EntityPropertyExpression Identifier="{name}" EntityType="Person" Property="{name}"{written_attributes} />\n'
    )


def test_a_valid_configuration_comes_with_its_plan(written):
    path = written(
        computing("Label", Binding="Chief.Login", Expression="ToUpper")
        + computing("Login", Expression="SQL:person: lower(person.Mail)")
        + '<ResourceClassificationRule ResourceType="R" TargetExpression="SQL:p: p.Label IS NOT NULL" />'
    )

    checked = checked_configuration(path)
    configuration, plan = checked.configuration, checked.plan

    assert [rule.identifier for rule in configuration.property_expressions] == ["Label", "Login"]
    assert [(item.derivation.name, item.stage, [*map(str, item.reads)]) for item in plan.derived] == [
        ("Login", 0, ["Mail"]),
        ("Label", 1, ["Chief.Login"]),
        ("R_1", 1, ["Label"]),
    ]
    assert checked_configuration(configuration).plan == plan


def test_all_faults_of_expressions_are_reported_with_their_lines(written):
    path = written(
        computing("Label", Binding="Person:Chief.Label")
        + computing("Login", Binding="Chief.Malf", Expression="Trim")
        + '<ResourceClassificationRule ResourceType="R" TargetExpression="SQL:p: p.Cheif.Mail IS NULL" />\n'
        + '<ResourceClassificationRule ResourceType="R" TargetExpression="C#:p: p.Mail == null" />\n'
        + '<ResourceCorrelationRule ResourceType="R" SourceBinding="Mail" TargetBinding="Mail" '
        'TargetExpression="ToLowr" />'
    )

    with pytest.raises(ConfigurationError) as refused:
        checked_configuration(path)

    faults = [(fault.location.line, fault.message) for fault in refused.value.faults]
    assert [line for line, _ in faults] == [10, 11, 12, 13, 14]
    cycle, binding, path_over, code, function = [message for _, message in faults]
    assert (
        cycle == "the expression of Person:Label reads the property that it computes; a value cannot depend on itself"
    )
    assert binding.startswith("the expression of Person:Login ")
    assert 'Malf"' in binding
    assert 'mean "Mail"' in binding
    assert path_over.startswith("the expression of classification rule R_1 ")
    assert '"Cheif"' in path_over
    assert 'mean "Chief"' in path_over
    assert code.startswith("the expression of classification rule R_2 ")
    assert "SQL:" in code
    assert function.startswith("the target expression of rule R_1 ")
    assert 'mean "ToLower"' in function


def test_expressions_are_checked_although_the_rest_has_faults(written):
    path = written(computing("Label", Binding="Unknown") + '<Connection Identifier="N" Connector="HR" />')

    with pytest.raises(ConfigurationError) as refused:
        checked_configuration(path)

    assert [fault.location.line for fault in refused.value.faults] == [10, 11]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (
            {"Expression": "SQL:p: bellow(p.Nick) || p.Chief.Foo || lower(p.Mail, 1)"},
            ['"Nick"', '"bellow"', '"Chief.Foo"', "gives lower 2 arguments"],
        ),
        (
            {"Expression": "SQL:p: case when p.Mail then p.Foo else cast(p.Bar as blob) end"},
            ["uses a text as a condition", '"Foo"', 'converts to "VARBINARY"', '"Bar"'],
        ),
        (
            {"Binding": "Nix", "Expression": "Bellow|ToLower:x|Whisper"},
            ['"Bellow"', '"Whisper"', '"Nix"', "gives ToLower 1 parameter"],
        ),
        ({"Expression": "SQL:p: upper(p.Nick) || lower(trim(p.Nick))"}, ['"Nick"']),
    ],
)
def test_each_mistake_of_an_expression_is_told_once_and_nothing_that_follows_from_it(attributes, said, written):
    path = written(computing("Label", **attributes))

    with pytest.raises(ConfigurationError) as refused:
        checked_configuration(path)

    messages = [fault.message for fault in refused.value.faults]
    assert len(messages) == len(said), messages
    for text in said:
        assert any(text in message for message in messages), (text, messages)


def test_what_precedes_the_place_where_a_file_is_malformed_is_judged_and_what_follows_is_not_unknown(tmp_path):
    (tmp_path / "a.xml").write_text(
        '<ConfigurationFile>\n<Agent Identifier="Here"/>\n<Connector Identifier="HR" Agent="Nowhere"/>\n'
        '<EntityType Identifier="T">\n</EntityTyp>\n<Connector Identifier="AD"/>\n</ConfigurationFile>'
    )
    (tmp_path / "b.xml").write_text(
        '<ConfigurationFile>\n<Connection Identifier="A" Connector="AD"/>\n'
        '<Connection Identifier="B" Connector="Ghost"/>\n</ConfigurationFile>'
    )
    (tmp_path / "c.xml").write_text("not XML")

    with pytest.raises(ConfigurationError) as refused:
        checked_configuration(tmp_path)

    faults = [(Path(fault.location.file).name, fault.location.line) for fault in refused.value.faults]
    assert faults == [("a.xml", 3), ("a.xml", 5), ("b.xml", 3), ("c.xml", 1)]
