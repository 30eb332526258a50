"""The small company with derived values: properties computed over links, correlation keys, classifications."""

from __future__ import annotations

from tests.cli.workspace import CONFIGURATION, Workspace

_PROPERTIES = {
    '<Property Identifier="Department" Type="ForeignKey" />': """
    <Property Identifier="Department" Type="ForeignKey" />
    <Property Identifier="Place" />
    <Property Identifier="Badge" />""",
    '<Property Identifier="Title" />': '<Property Identifier="Title" /><Property Identifier="Sign" />',
    '<ResourceType Identifier="Account"': """
  <EntityPropertyExpression Identifier="Sign" EntityType="HR_Department" Property="Sign" Binding="Title"
      Expression="ToUpper" />
  <EntityPropertyExpression Identifier="Place" EntityType="HR_Person" Property="Place" Binding="Department.Sign" />
  <EntityPropertyExpression Identifier="Badge" EntityType="HR_Person" Property="Badge" Binding="Place"
      Expression="ToLower" />
  <ResourceType Identifier="Admin" SourceEntityType="HR_Person" TargetEntityType="AD_User" />
  <ResourceClassificationRule ResourceType="Account" TargetExpression="Literal:true"
      ResourceTypeIdentificationConfidenceLevel="10" />
  <ResourceClassificationRule ResourceType="Admin" TargetExpression="SQL:user: user.Login = 'ada'"
      ResourceTypeIdentificationConfidenceLevel="90" />
  <ResourceType Identifier="Account\"""",
    '<ComputeCorrelationKeysTask Identifier="Keys"': """
    <UpdateEntityPropertyExpressionsTask Identifier="Properties" DisplayName_L1="P" Level="4" Dirty="true"
        AllEntityType="true">
      <TaskDependsOnTask ParentTask="Flag" />
    </UpdateEntityPropertyExpressionsTask>
    <UpdateClassificationTask Identifier="Classes" DisplayName_L1="C" Level="6" Dirty="true">
      <TaskDependsOnTask ParentTask="Flag" />
      <TaskEntityType EntityType="AD_User" />
    </UpdateClassificationTask>
    <ComputeCorrelationKeysTask Identifier="Keys\"""",
    '<Job Identifier="Forgetful"': """
  <Job Identifier="OnlySynchronize" DisplayName_L1="Loads">
    <Step Task="SynchronizeHR" Level="1" />
    <Step Task="SynchronizeAD" Level="2" />
  </Job>
  <Job Identifier="Forgetful\"""",
}


def with_derived_values(text: str = CONFIGURATION) -> str:
    """The configuration. `Place` of a person is the `Sign` of the department, `Badge` the `Place` in lower case."""
    for before, after in _PROPERTIES.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def deriving(company: Workspace) -> Workspace:
    """The company with all its derived values."""
    company.configure(with_derived_values())
    company.done("run", "Incremental")
    return company
