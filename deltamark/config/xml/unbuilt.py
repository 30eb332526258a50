"""Elements and attributes of the configuration language that this version knows but does not implement.

The language is larger than what is built: roles, provisioning, workflows, screens. These names are told apart from
misspelt ones, and can be left out when a configuration is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from deltamark.config.xml.task_elements import TASKS

_ALL_TASKS = """
    ActivityInstanceActorTask BuildRoleModelTask CleanDataBase CleanDataBaseTask ComputeRiskScoresTask
    ComputeRoleModelTask CreateDatabaseViewsTask DeployConfigurationTask ExportTask FulfillTask
    GenerateProvisioningOrdersTask GetRoleMiningTask InvokeApiTask InvokeAspectsTask InvokeExpressionTask
    InvokeSqlCommandTask MaintainIndexesTask ManageConfigurationIndexesTask ProcessAccessCertificationItemsTask
    RefreshSchemaTask ResetValidFromTask SavePreExistingAccessRightsTask SendAccessCertificationNotificationsTask
    SendNotificationsTask SendRoleModelNotificationsTask SetAccessCertificationReviewersTask
    SetInternalUserProfilesTask UpdateAccessCertificationCampaignTask UpdateParametersContextDisplayNamesTask
"""
_PARTS_OF_TASKS = "TaskDimension TaskResourceType"
_ROLE_MODEL = """
    AutomationRule BinaryRule BulkChange Category CompositeRole CompositeRoleRule Context ContextRule Dimension
    IndirectResourceRule MiningRule NavigationRule PolicySimulation QueryRule RecordSection Resource ResourceBinaryRule
    ResourceNavigationRule ResourceQueryRule ResourceScalarRule ResourceTypeRule Risk RiskRule RoleMapping ScalarRule
    SingleRole SingleRoleRule TypeRule
"""
_SOURCES = """
    ConnectionColumn ConnectionTable PasswordResetSetting PasswordResetSettings
    ResourceTypeMapping Transformation
"""
_SCREENS_AND_ACCESS = """
    AccessCertificationCampaignPolicy AccessCertificationDataFilter AccessCertificationOwnerFilter AccessControlEntry
    AccessControlEntityType AccessControlFilter AccessControlPermission AccessControlPropertyGroup AccessControlRule
    AssignedProfile AssociationInstance Binding DisplayEntityAssociation DisplayEntityProperty DisplayEntityType
    DisplayPropertyGroup DisplayTable EntityInstance Form HomonymEntityLink Indicator Language MenuItem Notification
    NotificationTemplate OpenIdClient Profile ProfileContext ProfileRule ProfileRuleContext ReportQuery SearchBar Tile
    Universe Workflow
"""
_SCAFFOLDINGS = """
    AssignProfileAccessControlRules BootstrapModule CleanDatabaseJob ConnectorMappings
    ConnectorResourceTypeAccessControl CreateAccessCertificationJob CreateAdministratorProfile
    CreateAgentSynchroComplete CreateAgentSynchroIncremental CreateConnectorSynchroComplete
    CreateConnectorSynchroIncremental CreateConnectorsJobs CreateInitializationJob CreateUpdateDeleteMenus
    CreateUpdateDeleteTemplate CreateUpdateDeleteWorkflows EntityReportDefault EntityTypeDisplayName
    EntityTypeDisplayTable EntityTypeDisplayTableAdaptable EntityTypeDisplayTargetResourceTable EntityTypeMenuItem
    EntityTypeSearchBar ManageAccounts OptimizeDisplayTable ResourceApiAdministration SearchBarPageAccessControl
    TargetResourceReport TargetResourceReportMenus UniverseDataModel UpdateResourcesMenus UpdateResourcesTemplate
    UpdateResourcesWorkflows ViewHistoryResourceTemplate ViewSourceResourceTemplate ViewTargetResourceTemplate
    ViewTemplate ViewTemplateAdaptable WorkforceModule WorkflowActorsNotification WorkflowEntityType
    WorkflowEntityTypeDisplayEntityType WorkflowEntityTypeDisplayTable WorkflowEntityTypeSearchBar
    WorkflowPerformerNotification
"""

NOT_BUILT = frozenset(
    " ".join((_ALL_TASKS, _PARTS_OF_TASKS, _ROLE_MODEL, _SOURCES, _SCREENS_AND_ACCESS, _SCAFFOLDINGS)).split()
).difference(task.name for task in TASKS)
"""Elements that this version does not implement: refused by name or left out, never ignored silently.

A task with an element of its own is removed from the set automatically.
"""

_FAMILIES = re.compile(
    r"Invoke\w+Task|\w+ControlRules?|\w+Setting|\w+Aspect|Workflow\w+Form|\w+ResourceTypeMapping|Display\w+DesignElement"
)
"""Groups of elements with one ending: `ViewAccessControlRules`, `AppDisplaySetting`, `AddChangeAspect`."""

_ATTRIBUTES = """
    Agent: URI
    Connection: DeactivationExportFulfill
    EntityAssociationMapping: C0
    EntityPropertyExpression: PropertyCriteria
    EntityType: LicenseTag TableName
    EntityTypeMapping: C0
    Job: IsConnectorJob IsInitializationJob
    Policy: CommentActivationOnApproveInReview CommentActivationOnDeclineInReview
    Policy: CommentActivationOnDeleteGapInReconciliation CommentActivationOnKeepGapInReconciliation GracePeriod
    Policy: HasImplicitApproval IsProvisioningEnabled IsSimulationEnabled MaxDuration ProlongationWithoutApproval
    PrepareSynchronizationTask: WorkingDirectory
    Property: FlexibleComparisonExpression GroupByProperty HistoryPrecision Language NeutralProperty
    ResourceClassificationRule: SourceMatchedConfidenceLevel
    ResourceType: AllowAdd AllowRemove ApprovalWorkflowType ArgumentsExpression BlockProvisioning Category
    ResourceType: CommentActivationOnApproveInReview CommentActivationOnDeclineInReview
    ResourceType: CommentActivationOnDeleteGapInReconciliation CommentActivationOnKeepGapInReconciliation
    ResourceType: CorrelateMultipleResources DependsOn DependsOnOwnerProperty DiscardManualAssignments
    ResourceType: FulfillHoursAheadOfTime GracePeriod HideOnSimplifiedView ImplicitApproval MaxDuration MaximumDelete
    ResourceType: MaximumDeletePercent MaximumInsert MaximumInsertPercent MaximumUpdate MaximumUpdatePercent
    ResourceType: ProlongationWithoutApproval RemoveOrphans SuggestAllCorrelations Tags TransmittedStateValidityPeriod
    UpdateClassificationTask: Connector
"""


def _attributes(table: str) -> Mapping[str, frozenset[str]]:
    attributes: dict[str, frozenset[str]] = {}
    for line in table.strip().splitlines():
        element, _, names = line.strip().partition(": ")
        attributes[element] = attributes.get(element, frozenset()).union(names.split())
    return attributes


NOT_BUILT_ATTRIBUTES = _attributes(_ATTRIBUTES)
"""Element -> its attributes that this version does not implement."""

_ATTRIBUTE_FAMILIES = re.compile(r"(Description|FullName|LongDescription)_L([1-9]|1[0-6])")
_PARAMETERS = re.compile(r"[PR][0-9]{1,3}")
"""Of a resource type."""


def is_not_built(name: str) -> bool:
    """Whether an element of that name is known, but not built yet."""
    plain = name.removesuffix("Override")
    return plain in NOT_BUILT or _FAMILIES.fullmatch(plain) is not None


def is_attribute_not_built(element: str, name: str) -> bool:
    """Whether an attribute of a built element is known, but not built yet."""
    plain = element.removesuffix("Override")
    if name in NOT_BUILT_ATTRIBUTES.get(plain, ()) or _ATTRIBUTE_FAMILIES.fullmatch(name):
        return True
    return plain == "ResourceType" and _PARAMETERS.fullmatch(name) is not None
