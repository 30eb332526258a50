"""The meaning of the elements and attributes of a configuration, for the reference.

The schema says which elements and attributes exist, with types and defaults; a test compares these texts with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from deltamark.config.xml.elements import Attribute, Element
from deltamark.config.xml.schema import ROOT
from deltamark.infrastructure.extracts.formats import ENDINGS

ELEMENTS = {
    "ConfigurationFile": "The root of every file. Any XML namespace on it is accepted. All `*.xml` files below the "
    "configuration folder are read and count as one configuration.",
    "Agent": "A machine that runs tasks in other products. Accepted so that configurations load unchanged.",
    "Policy": "A group of rules. Accepted so that configurations load unchanged.",
    "Connector": "A source system. Its entity types and associations are synchronized together, by one task.",
    "Connection": "How the source system of a connector is read; see "
    "[read a database](../how-to/read-a-database.md). How it is reached stands in `deltamark.toml`. Without a "
    "`ConnectionTable` inside, extracts are files that something else makes, and the connection has no effect.",
    "ConnectionTable": "A table that the connection reads. It stands for the `ConnectionTable` of that name in "
    "mappings, as a file would; the columns that mappings name are read. Which attributes it has depends on the "
    "package.",
    "ConnectionTransformation": "A connection table that is made of another one, row by row, before it is prepared; "
    "see [transform what a source gives](../how-to/transform-what-a-source-gives.md).",
    "EntityType": "A kind of resource: a person, an account, a group.",
    "EntityType/Property": "A property that resources of the entity type may have. A property that only an "
    "association names need not be declared.",
    "EntityAssociation": "Links between the resources of two entity types, in both directions.",
    "EntityTypeMapping": "Which extract feeds an entity type.",
    "EntityTypeMapping/Property": "Which column feeds a property. Columns that no mapping names are not read.",
    "EntityAssociationMapping": "Which extract feeds an association: each row links the resource found by `Column1` "
    "to the one found by `Column2`. An empty cell means that there is no link where the resource in the other column "
    "has one row; else it is half of a link, and no link is removed.",
    "EntityPropertyExpression": "How a property is computed from other properties, of the resource itself or of those "
    "that its links lead to. A computed property is one that no mapping fills; it is neither the key nor a navigation "
    "property, and has one expression. What it reads may be computed, too: that is computed first. Circles are "
    "refused.",
    "ResourceType": "Target resources (accounts) that belong to source resources (people).",
    "ResourceCorrelationRule": "How a source and a target resource are recognized as belonging together: a key is "
    "computed for both sides, and equal keys match. A side is a binding, a binding with functions, or an SQL "
    "expression alone; see [how to correlate accounts with people](../how-to/correlate-accounts-with-people.md).",
    "ResourceClassificationRule": "When a resource of the target entity type is of a resource type: if the "
    "expression is true. If several rules are true for a resource, the one with the highest confidence wins; among "
    "equals, the first.",
    "ExportTask": "Reads a connection, or all connections of a connector: everything, or what changed since the last "
    "delivery that was applied. What it delivers is applied by the `SynchronizeTask` of the connector.",
    "DeliverTask": "Delivers the changes beyond the place of a sink to it; see "
    "[deliver changes to another system](../how-to/deliver-changes-to-another-system.md).",
    "PrepareSynchronizationTask": "Reads and cleanses the extracts of a connector for the `SynchronizeTask` after it "
    "in the same run. Needed for extracts with a command column; otherwise `SynchronizeTask` does this by itself.",
    "SynchronizeTask": "Makes the resources and links of a connector equal to its extracts.",
    "SetRecentlyModifiedFlagTask": "Flags the resources that changed since it last ran, and those whose computed "
    "values read what changed, over any number of links. It reads the changes of all connectors.",
    "UpdateEntityPropertyExpressionsTask": "Computes the properties that have an `EntityPropertyExpression`, of the "
    "entity types that it names, in the order in which they read each other. Values that differ are changes of their "
    "resources, as synchronized ones are.",
    "ComputeCorrelationKeysTask": "Computes the correlation keys of the entity types that it names. A key is written "
    "only where it differs.",
    "UpdateClassificationTask": "Finds the resource type of each resource by the classification rules of the "
    "entity types that it names.",
    "PythonTask": "Computes properties with a function of your own; see [write your own "
    "task](../how-to/write-your-own-task.md).",
    "Job": "A named list of tasks: tasks themselves, `Step`s that call tasks defined outside, and overrides. The "
    "tasks run one after another, in document order or in the order of their levels.",
    "TaskDependsOnTask": "Makes a task depend on the outcome of another one. The task runs if at least one of these "
    "parents had an effect and none failed or was blocked. It is skipped otherwise, and the run says why. A parent "
    "that is not part of the run does not count. A flag task runs despite a failed parent, for the changes of the "
    "others.",
    "TaskEntityType": "An entity type that the task covers.",
    "Step": "Calls a task that is defined outside the job.",
}
"""Element, or parent/element where one name means two things -> what it stands for."""

_ENDS = "`EntityType:Property`, a property with `IsPrimaryKey` or `IsUniqueKey` in the mapping of that type."

MEANINGS = {
    "Connector Agent": "Accepted; must exist.",
    "Connector IsDeactivated": "Tasks of the connector are skipped.",
    "Connector CompleteJob": "Whether jobs that are not incremental synchronize it; `NotUsed` and "
    "`OnlyProvisioning` skip its tasks in them.",
    "Connector IncrementalJob": "The same for jobs with `IsIncremental`.",
    "Connection Connector": "Whose extracts these are.",
    "Connection Package": "The kind of source: `Sql`, `ActiveDirectory`, `Ldap`, `Scim`, `Ldif`, `Csv`, `Excel` or "
    "`JsonLines`. Or the kind of sink, "
    "to which changes go: `LdifSink`, `JsonLinesSink`, `CloudEventsSink`, `CsvSink`, `WebhookSink`, `SqlSink` or "
    "`ScimSink`; see [deliver changes to another system](../how-to/deliver-changes-to-another-system.md). Another one "
    "is accepted where there is no `ConnectionTable` inside.",
    "ConnectionTransformation Identifier": "The `ConnectionTable` of mappings for which it stands.",
    "ConnectionTransformation Connector": "Whose table it is.",
    "ConnectionTransformation Table": "The connection table that is read: a file, a table of a connection, or what a "
    "program gives. It may have the same name.",
    "ConnectionTransformation Query": "`SELECT … FROM` this table, `WHERE` a condition holds: expressions over one row "
    "at a time, in the language of [expressions](expressions.md), and `unnest([…])`.",
    "ConnectionTable Identifier": "The `ConnectionTable` of mappings for which it stands. Of a `SqlSink`: the table "
    "that rows are inserted into.",
    "ConnectionTable ObjectClass": "`ActiveDirectory`, `Ldap`, `Ldif`: the class of the entries of the table, such as "
    "`user`. "
    "`LdifSink`: the classes of the entries that are added, separated by commas.",
    "ConnectionTable Filter": "`ActiveDirectory`, `Ldap`, `Ldif`: which of them, an LDAP filter such as "
    "`(employeeID=*)`. "
    "`Scim`: a filter of SCIM, such as `active eq true`.",
    "ConnectionTable ResourceType": "`Scim`: the type of the resources of the table, such as `User` or `Group`; see "
    "[synchronize a SCIM service](../how-to/synchronize-a-scim-service.md).",
    "ConnectionTable Endpoint": "`Scim`: where the resources of the table are, such as `/Users`, in the place of their "
    "`ResourceType`.",
    "ConnectionTable Base": "`ActiveDirectory`, `Ldap`: the distinguished name below which they are; all are read "
    "without it.",
    "ConnectionTable Join": "`ActiveDirectory`, `Ldap`, `Ldif`: what stands between several values of one attribute, "
    "which are sorted, such as `; `. Without it, the first one in sorted order is taken, and the run says so.",
    "ConnectionTable File": "`Ldif`, `Csv`, `Excel`, `JsonLines`: the file, by its path below the folder of the "
    "connection; its name may have `*` and `?` where one file fits it. See "
    "[read LDIF, Excel and JSON files](../how-to/read-ldif-excel-and-json-files.md).",
    "ConnectionTable ChangeFiles": "`Ldif`: the files of changes since that file was written, by a pattern such as "
    "`changes-*.ldif`; they are applied in the order of their names. See "
    "[read LDIF, Excel and JSON files](../how-to/read-ldif-excel-and-json-files.md#files-of-changes).",
    "ConnectionTable Sheet": "`Excel`: the sheet; by default the one that is named like the table, or the only one "
    "with values.",
    "ConnectionTable Key": "`JsonLines`, with `Links`: the member that identifies the object whose list this is. "
    "`Ldif`: the attribute that identifies an entry in links; `entryUUID` by default.",
    "ConnectionTable Links": "`ActiveDirectory`, `Ldap`, `Scim`, `Ldif`, `JsonLines`: the table whose entries own the "
    "links that this table has. Its columns are `owner` and `value`; see "
    "[synchronize an Active Directory](../how-to/synchronize-an-active-directory.md).",
    "ConnectionTable Attribute": "`ActiveDirectory`, `Ldap`, `Scim`, `Ldif`, `JsonLines`: the attribute or list whose "
    "values are the links, such as `member` or `members`.",
    "ConnectionTable Subject": "Sinks: the entity type whose changes are delivered.",
    "ConnectionTable Properties": "Sinks: which properties are delivered, as `PROPERTY`, or as `NAME=PROPERTY` where "
    "it has another name there, separated by commas. Without it all are.",
    "ConnectionTable Associations": "Sinks: the associations whose links are delivered, separated by commas; they "
    "start at the subject. `LdifSink` and `ScimSink`: as `ATTRIBUTE=ASSOCIATION`, such as `member=Members`.",
    "ConnectionTable SafeForSpreadsheets": "`CsvSink`: `true` puts an apostrophe before what a spreadsheet takes for a "
    "formula. `false` by default.",
    "ConnectionTable DistinguishedName": "`LdifSink`: the property that holds the distinguished name of each entry.",
    "ConnectionTable Query": "`Sql`: the query, one `SELECT` in the words of the database.",
    "ConnectionTable Watermark": "`Sql`: a column of the query that gets a larger value whenever a row changes: a "
    "time, or a version. With it, the next readings have only the rows that changed. `xmin:NAME` is a column of "
    "PostgreSQL, of the type `xid8`, that holds the transaction which wrote the row: no row that is committed late is "
    "missed.",
    "ConnectionTable Overlap": "`Sql`: how far before the newest value of the last reading the next one begins, for "
    "rows that were committed late: a time as `00:10:00`, or a number. Without it, the newest value itself is read "
    "again. `Scim`: a time; five minutes without it.",
    "ConnectionTable Deleted": "`Sql`: a column of the query that says that a row is deleted: anything but nothing, "
    "`0`, `false`, `f`, `no` or `n`.",
    "ConnectionTable Keys": "`Sql`: a second query that gives the keys of all rows of the `Query`. They are read each "
    "time and compared with those of the last reading: what is gone is deleted, and what is new is read, whatever its "
    "`Watermark`.",
    "ConnectionTable ChangeTable": "`Sql`: in place of `Watermark`, the name of a table with a row for each change, "
    "which a trigger or the application writes. It has the column of the key; rows of the keys that changed are read "
    "again, and those that are gone are deleted.",
    "ConnectionTable Sequence": "`Sql`: the column of `ChangeTable` whose numbers grow with each change. `Overlap` is "
    "how many numbers are read again, for changes that were committed late.",
    "ConnectionTable Operation": "`Sql`: the column of `ChangeTable` that says what happened, with `I`, `U` or `D` at "
    "its beginning. With anything else there, such as a truncation, everything is read.",
    "EntityType Identifier": "The name of the type.",
    "EntityType/Property Identifier": "The name of the property; `Id` is reserved. Names that differ in letter case "
    "only are refused.",
    "EntityType/Property Type": "The type of its values, by name or number; see [types](formats.md#types).",
    "EntityType/Property IsKey": "Identifies a resource of a type that has no mapping.",
    "EntityType/Property TargetColumnIndex": "Accepted, without meaning here.",
    "EntityAssociation Property1": "The navigation property of the type whose key is in `Column1`; it leads to "
    "the other type.",
    "EntityAssociation Property2": "The way back.",
    "EntityAssociation IsProperty1Collection": "Whether one resource of the first type may have several links.",
    "EntityAssociation IsProperty2Collection": "Whether one resource of the second type may have several links.",
    "EntityTypeMapping Identifier": "The entity type.",
    "EntityTypeMapping Connector": "The connector that feeds it.",
    "EntityTypeMapping ConnectionTable": "The extract: the file of that name with the ending "
    f"{', '.join(f'`{ending}`' for ending in ENDINGS[:-1])} or `{ENDINGS[-1]}` in the folder of the extracts.",
    "EntityTypeMapping Encoding": "The encoding of the file; UTF-8 by default. A byte order mark in the file takes "
    "precedence.",
    "EntityTypeMapping Delimiter": "What separates the columns; by default it is found in the header.",
    "EntityTypeMapping SkipLines": "How many lines of a text file precede the header, blank ones included.",
    "EntityTypeMapping AlwaysComplete": "`true`: the extract holds everything also where a preparation has the mode "
    "`Incremental`; it has no command column then, and what is missing there is deleted. All mappings of one extract "
    "say the same. By default the preparation alone decides.",
    "EntityTypeMapping/Property Identifier": "The property.",
    "EntityTypeMapping/Property ConnectionColumn": "The column, exactly as the header spells it. It may be "
    "left out where the column has the name of the property.",
    "EntityTypeMapping/Property IsPrimaryKey": "Its values identify the resources. Exactly one property is marked.",
    "EntityTypeMapping/Property IsUniqueKey": "Associations may find resources by it. At most three are marked.",
    "EntityTypeMapping/Property Format": "How dates are written, such as `dd/MM/yyyy` or `1601date`; see "
    "[dates](formats.md#dates). Without it they are ISO 8601. On a text, `SID` reads a security identifier of Windows.",
    "EntityTypeMapping/Property DecimalSeparator": "The sign before the fraction of numbers.",
    "EntityTypeMapping/Property ThousandsSeparator": "The sign between groups of three digits. A blank stands for "
    "white space of any kind. By default numbers have none.",
    "EntityTypeMapping/Property TrueValues": "Words that mean true besides `true` and `1`, such as `yes|oui`; letter "
    "case does not count.",
    "EntityTypeMapping/Property FalseValues": "Words that mean false besides `false` and `0`, such as `no|non`.",
    "EntityTypeMapping/Property NullValues": "Texts that mean no value, such as `NULL|n/a|-`; letter case counts.",
    "EntityTypeMapping/Property Trim": "Whether white space at both ends of texts is left out.",
    "EntityTypeMapping/Property Comparison": "When two values are the same: `IgnoreCase` without regard to letter "
    "case, width and composition, `Directory` also as directories compare distinguished names; see "
    "[names](formats.md#names). The spelling that the store knows stays.",
    "EntityTypeMapping/Property ByteOrder": "The order of the bytes of a Guid that is written as binary data: "
    "`LittleEndian` as in Active Directory, `BigEndian` as in RFC 9562.",
    "EntityAssociationMapping Identifier": "The association.",
    "EntityAssociationMapping Connector": "The connector that feeds it.",
    "EntityAssociationMapping ConnectionTable": "As for `EntityTypeMapping`; it may be the same extract.",
    "EntityAssociationMapping Encoding": "As for `EntityTypeMapping`.",
    "EntityAssociationMapping Delimiter": "As for `EntityTypeMapping`.",
    "EntityAssociationMapping SkipLines": "As for `EntityTypeMapping`.",
    "EntityAssociationMapping AlwaysComplete": "As for `EntityTypeMapping`.",
    "EntityAssociationMapping Separator1": "What separates several values in a cell of `Column1`, each of which names "
    "a resource; after a backslash it does not. By default a cell holds one value.",
    "EntityAssociationMapping Separator2": "The same for `Column2`.",
    "EntityAssociationMapping NullValues": "Texts that mean no value in both columns, besides those of the properties "
    "that they name.",
    "EntityAssociationMapping Trim": "Whether white space at both ends of texts is left out in both columns; also "
    "where the mapping of the property says so.",
    "EntityAssociationMapping Column1": "The column that finds the first resource.",
    "EntityAssociationMapping Column2": "The column that finds the second resource.",
    "EntityAssociationMapping EntityPropertyMapping1": f"The key by which `Column1` finds it: {_ENDS}",
    "EntityAssociationMapping EntityPropertyMapping2": f"The key by which `Column2` finds it: {_ENDS}",
    "EntityPropertyExpression Identifier": "Its name; messages use it.",
    "EntityPropertyExpression EntityType": "Whose property it is.",
    "EntityPropertyExpression Property": "The property that is computed. Its declared type is the type of the value.",
    "EntityPropertyExpression Binding": "What is read: a property, or a path over navigation properties such as "
    "`Manager.Department.Name`; also written `EntityType:Path`. Alone, it is the value.",
    "EntityPropertyExpression Expression": "Functions over the binding, such as `RemoveDiacritics|ToLower`, or an "
    "expression such as `SQL:person: person.LastName || ' ' || person.Manager.LastName`, or `Literal:x`.",
    "EntityPropertyExpression Priority": "Among properties that do not read each other, the lower one is computed "
    "first. It changes no value: dependencies are computed first, whatever the priorities say.",
    "ResourceType SourceEntityType": "The owners, people for instance.",
    "ResourceType TargetEntityType": "What they own, accounts for instance.",
    "ResourceType Policy": "Accepted; must exist.",
    "ResourceCorrelationRule Identifier": "The name under which keys are listed; without it `ResourceType_n`, the "
    "n-th rule of its resource type.",
    "ResourceCorrelationRule ResourceType": "Which sources and targets it compares.",
    "ResourceCorrelationRule Policy": "Accepted; must exist.",
    "ResourceCorrelationRule SourceBinding": "The property of the source that is read, or a path to "
    "one such as `Manager.Department.Name`.",
    "ResourceCorrelationRule SourceExpression": "Functions over the binding, such as `RemoveDiacritics|ToLower`, or "
    "an expression such as `SQL:person: person.LastName || person.FirstName`, or `Literal:x`.",
    "ResourceCorrelationRule TargetBinding": "As `SourceBinding`, of the target.",
    "ResourceCorrelationRule TargetExpression": "As `SourceExpression`.",
    "ResourceCorrelationRule SourceMatchedConfidenceLevel": "How certain a match is; below 100 a person should "
    "confirm it. It is shown with the pairs.",
    "ResourceClassificationRule Identifier": "Its name; without it `ResourceType_n`, the n-th rule of its resource "
    "type.",
    "ResourceClassificationRule ResourceType": "The resource type of the resources for which the expression is true.",
    "ResourceClassificationRule Policy": "Accepted; must exist.",
    "ResourceClassificationRule TargetExpression": "A condition over the target resource, such as "
    "`SQL:user: user.Kind = 'admin'`.",
    "ResourceClassificationRule ResourceTypeIdentificationConfidenceLevel": "How certain the rule is.",
    "ExportTask Connection": "What it reads; either this or `Connector`.",
    "ExportTask Connector": "Reads all connections of it that have tables.",
    "ExportTask IgnoreCookieFile": "`true` reads everything; `false` what changed since the last delivery that was "
    "applied, where the source can say that.",
    "DeliverTask Connection": "The sink: a connection whose package takes changes.",
    "PrepareSynchronizationTask Connector": "Whose extracts.",
    "PrepareSynchronizationTask SynchronizationMode": "`Complete`: the extracts hold everything, and what is missing "
    "there is deleted. `Initial`: they fill the store; what they name is created and updated, nothing is deleted, and "
    "no threshold applies. `Incremental`: they hold changes, and `ColumnName` names the column with the commands; "
    "without it, this mode is refused. Extracts of mappings with `AlwaysComplete` hold everything in this mode too.",
    "PrepareSynchronizationTask Type": "Accepted, without meaning here.",
    "PrepareSynchronizationTask ColumnName": "The command column of extracts of the mode `Incremental`: `insert` (or "
    "`add`), `update`, `delete`, `merge`, and for links `replace`, in any letter case. The rows are applied in their "
    "order.",
    "SynchronizeTask Connector": "Whose resources and links.",
    "SynchronizeTask DoNotDeleteChanges": "`true` keeps the changes in the log. `false` discards all changes of the "
    "connector once the task is done; see [keep or discard changes](../how-to/keep-or-discard-changes.md).",
    "SynchronizeTask ForceSynchronization": "Lets everything pass that a threshold would hold back, like `--force`, in "
    "every run.",
    "SynchronizeTask Orphans": "Writes links to missing resources to `orphans/ASSOCIATION-runN.csv` in the folder of "
    "the extracts.",
    "SynchronizeTask Type": "Accepted, without meaning here.",
    "PythonTask Identifier": "The name of the task, unique in the whole configuration; without it, that of the "
    "function.",
    "PythonTask Function": "The function, as `package.module:function`. It must be registered: its module is named in "
    "`deltamark.toml` or in the entry point group `deltamark.tasks`, or it was given to `Engine.open`. Nothing is "
    "imported because of this attribute.",
    "PythonTask Dirty": "Calls the function only for what is flagged since the task last ran. It is called for "
    "everything when the task runs for the first time, and when the function changed. By default as the function "
    "declares.",
    "PythonTask AllEntityType": "Covers every entity type that the function declares, as also without any "
    "`TaskEntityType`.",
    "PythonTask BatchSize": "The largest number of resources that the function gets at once; 0: as it declares.",
    "Job Identifier": "The name of the job for `deltamark run`.",
    "Job Agent": "Accepted; must exist.",
    "Job CronTabExpression": "When `deltamark schedule` starts the job, six fields (seconds first) or five; see "
    "[run on a schedule](../how-to/run-on-a-schedule.md).",
    "Job CronTimeZone": "The clock for that expression: UTC, or that of the machine with the scheduler.",
    "Job IsIncremental": "Whether `IncrementalJob` or `CompleteJob` of a connector decides if the job synchronizes it.",
    "Job LogLevel": "Accepted, without meaning here.",
    "Job UserStartDenied": "Only `deltamark schedule` may start the job; `run` refuses it to users. `resume` and "
    "dry runs are always allowed.",
    "TaskDependsOnTask ParentTask": "The task that comes first.",
    "TaskEntityType EntityType": "The entity type.",
    "TaskEntityType Identifier": "Another spelling of `EntityType`.",
    "Step Task": "The task.",
    "Step Identifier": "Another spelling of `Task`.",
    "Step Level": "The level of the task in this job.",
}
"""Element and attribute -> what it means."""

_TASKS = {
    "Identifier": "The name of the task, unique in the whole configuration; without it, the element without `Task` "
    "and, where there is one, the connector: `SynchronizeHR`.",
    "Level": "Its place in the job: lower levels run first. -1 is document order. All tasks of a job have a level, or "
    "none. Tasks of one level run at the same time; the next level begins when all have ended.",
    "ContinueOnError": "A failure of this task does not end the run, which then ends with a warning.",
    "Agent": "Accepted; must exist.",
    "OpenIdClient": "Accepted, without meaning here.",
}
"""The attributes that all tasks have."""

_COMPUTING = {
    "Dirty": "Computes only what is flagged since the task last ran. It still computes everything when it runs for the "
    "first time, and all values of a rule that is new or changed.",
    "AllEntityType": "Covers every entity type for which there is something to compute.",
    "BatchSize": "Accepted; the engine chooses.",
    "BatchSelectSize": "Accepted; the engine chooses.",
    "BatchUpdateSize": "Accepted; the engine chooses.",
}
"""The attributes that the tasks which compute something have."""

_NAMED = {"Agent", "Policy", "Connector", "Connection", "EntityAssociation", "ResourceType"}
"""The elements whose identifier is just their name."""


def sections() -> Iterator[tuple[str, Element, tuple[str, ...]]]:
    """Each element with its name in these texts and those that it may stand in, the root first; no overrides."""
    found: dict[int, tuple[str, Element, list[str]]] = {}
    waiting: list[tuple[str, Element]] = [("", ROOT)]
    while waiting:
        parent, element = waiting.pop(0)
        if element.name.endswith("Override"):
            continue
        if id(element) not in found:
            path = f"{parent}/{element.name}"
            found[id(element)] = (path if path in ELEMENTS else element.name, element, [])
            waiting += [(element.name, child) for child in element.children]
        if parent:
            found[id(element)][2].append(parent)
    return ((name, element, tuple(dict.fromkeys(parents))) for name, element, parents in found.values())


def meaning(name: str, element: Element, attribute: Attribute) -> str | None:
    """What an attribute means, or None if these texts do not say."""
    if attribute.is_threshold:
        return _limit(attribute.name)
    text = MEANINGS.get(f"{name} {attribute.name}")
    if text is None and name.endswith("Task"):
        text = _TASKS.get(attribute.name) or _COMPUTING.get(attribute.name)
    if text is None and name in _NAMED and attribute.name == "Identifier":
        text = "Its name."
    return text


def _limit(name: str) -> str:
    what = "links" if "Link" in name else "lines"
    change = next(word for word in ("Inserted", "Updated", "Deleted") if word in name)
    unit = "percentage" if "Percentage" in name else "number"
    return f"Largest {unit} of {change.lower()} {what}; 0 is no limit."


def unexplained() -> list[str]:
    """Elements and attributes without a text."""
    missing = [name for name, _, _ in sections() if name not in ELEMENTS]
    missing += [
        f"{name} {attribute.name}"
        for name, element, _ in sections()
        for attribute in element.attributes
        if meaning(name, element, attribute) is None
    ]
    return missing


def superfluous() -> list[str]:
    """Texts about elements and attributes that do not exist."""
    names = {name for name, _, _ in sections()}
    pairs = {f"{name} {attribute.name}" for name, element, _ in sections() for attribute in element.attributes}
    return sorted((set(ELEMENTS) - names) | (set(MEANINGS) - pairs))
