"""Generates the pages of the reference that follow from the code: `make docs`.

The configuration comes from the schema, the command line from its own help, the Python interface from its
signatures and docstrings, the tables of the store from its migrations. A test asserts that the pages are those that
this program writes.
"""

from __future__ import annotations

import enum
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import attrs
import click

import deltamark
from deltamark import eventsourcing
from deltamark.config.xml.elements import Attribute, Element
from deltamark.config.xml.task_elements import JOB
from deltamark.config.xml.unbuilt import NOT_BUILT, NOT_BUILT_ATTRIBUTES
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.store.tables import Table, TableColumn, present_tables
from deltamark.interfaces.cli.groups import HELP_OPTIONS, leaves
from deltamark.interfaces.cli.main import deltamark as command_line
from docs.api_reference import api
from docs.configuration_texts import ELEMENTS, meaning, sections

FOLDER = Path(__file__).parent / "reference"
GENERATED = "<!-- Written by `make docs` from the code. Do not edit. -->\n\n"
WIDTH = 80


def configuration() -> str:
    """The page about the elements of a configuration."""
    parts = [GENERATED + _CONFIGURATION.strip()]
    parts += [_element(name, element, parents) for name, element, parents in sections()]
    overrides = "\n".join(f"- `{child.name}`" for child in JOB.children if child.name.endswith("Override"))
    parts.append(_OVERRIDES.strip().replace("{overrides}", overrides))
    parts.append(_NOT_BUILT.strip())
    parts.append(_wrapped(f"`{name}`" for name in sorted(NOT_BUILT)) + ".")
    parts.append("And these attributes of elements that are built:")
    parts.append(
        "\n".join(f"- `{name}`: {_sorted_names(names)}" for name, names in sorted(NOT_BUILT_ATTRIBUTES.items()))
    )
    parts.append(_AFTER_CONFIGURATION.strip())
    return "\n\n".join(parts) + "\n"


def _wrapped(names: Iterable[str]) -> str:
    return "\n".join(textwrap.wrap(", ".join(names), 120, break_on_hyphens=False, break_long_words=False))


def _sorted_names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _element(name: str, element: Element, parents: tuple[str, ...]) -> str:
    path = name.split("/")
    title = f"`{path[-1]}`" + (f" of `{path[0]}`" if len(path) == 2 else "")
    lines = [f"## {title}", "", ELEMENTS[name]]
    if parents:
        lines += ["", f"{'Parent' if len(parents) == 1 else 'Parents'}: {_listed(parents)}."]
    if element.children:
        children = [child.name for child in element.children if not child.name.endswith("Override")]
        lines += ["", f"Children: {_listed(children)}."]
    if element.names or element.attributes:
        lines += ["", "| attribute | value | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [_attribute(name, element, attribute) for attribute in element.attributes]
    if element.names:
        default = "required" if element.needs_name else ""
        lines.append(f"| `DisplayName_L1` … `DisplayName_L16` | a text | {default} | The name in up to 16 languages. |")
    return "\n".join(lines)


def _attribute(name: str, element: Element, attribute: Attribute) -> str:
    kind = _escaped(attribute.type.described)
    text = _escaped(meaning(name, element, attribute) or "")
    return f"| `{attribute.name}` | {kind} | {_default(element, attribute)} | {text} |"


def _default(element: Element, attribute: Attribute) -> str:
    spellings = [other for other in element.attributes if other.field == attribute.field is not None]
    if any(other.required for other in spellings):
        return "required" if len(spellings) == 1 else "required, in one of two spellings"
    value = element.default(attribute)
    match value:
        case None | "":
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case PropertyType():
            return f"`{value.label}`"
        case enum.Enum():
            return f"`{value.name.title().replace('_', '')}`"
    if attribute.name == "CronTimeZone":
        return "`UTC`"
    return f"`{value}`"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def commands() -> str:
    """The page about the command line."""
    parts = [GENERATED + _COMMANDS.strip(), f"## `deltamark`\n\n{_help('deltamark', command_line)}"]
    parts += [
        f"## `deltamark {name}`\n\n{_help(f'deltamark {name}', command)}" for name, command in leaves(command_line)
    ]
    parts.append(_AFTER_COMMANDS.strip())
    return "\n\n".join(parts) + "\n"


def _help(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
    context.help_option_names = HELP_OPTIONS
    return f"```text\n{command.get_help(context)}\n```"


def python() -> str:
    """The page about the Python interface."""
    parts = [GENERATED + _PYTHON.strip()]
    for title, names in _groups().items():
        parts.append(f"## {title}")
        parts += [_public(name) for name in names]
    parts.append(_EVENTSOURCING.strip())
    parts += [_public(name, eventsourcing) for name in eventsourcing.__all__ if name not in deltamark.__all__]
    parts.append(_AFTER_PYTHON.strip())
    return "\n\n".join(parts) + "\n"


def _groups() -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = {
        "The engine": ["Engine", "Observer"],
        "What it gives back": [],
        "Changes": ["Change", "Created", "Updated", "Computed", "Deleted", "Linked", "Unlinked"],
        "A configuration in Python": [],
        "Errors": [],
        "Version": ["__version__"],
    }
    placed = {name for names in groups.values() for name in names}
    for name in deltamark.__all__:
        if name not in placed:
            groups[_group_of(name)].append(name)
    return groups


def _group_of(name: str) -> str:
    value = getattr(deltamark, name)
    if inspect.isclass(value) and issubclass(value, Exception):
        return "Errors"
    module = getattr(value, "__module__", "")
    in_configuration = module.startswith("deltamark.domain.configuration.") and name not in _GROUPS
    return "A configuration in Python" if in_configuration else _GROUPS.get(name, "What it gives back")


_GROUPS = {
    **dict.fromkeys(("PropertyType", "configuration_xml", "task"), "A configuration in Python"),
    **dict.fromkeys(("Fault", "NextAction", "NextStep"), "Errors"),
    "TaskState": "What it gives back",
}
"""The public names whose module does not say to which part of the page they belong."""


def _public(name: str, module: ModuleType = deltamark) -> str:
    value = getattr(module, name)
    if name == "__version__":
        return f"### `{name}`\n\nThe version, a text."
    if name == "When":
        return f"### `{name}`\n\n{_WHEN}"
    doc = _prose(inspect.getdoc(value) or "")
    if inspect.isfunction(value):
        return f"### `{name}`\n\n{_signature(name, inspect.signature(value))}\n\n{doc}"
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        return f"### `{name}`\n\n{doc}\n\nMembers: {_listed(member.name for member in value)}."
    parts = [f"### `{name}`", doc]
    if attrs.has(value):
        parts.insert(1, _signature(name, _constructor(value)))
    elif value.__init__ is not object.__init__ and name != "Engine" and not issubclass(value, Exception):
        parts.insert(1, _signature(name, inspect.signature(value)))
    parts += [_member(name, member, value) for member in _members(value)]
    return "\n\n".join(parts)


def _members(kind: type) -> list[str]:
    """The public methods and properties: all for the engine, for other classes those that they define."""
    found = dir(kind) if kind is deltamark.Engine else list(vars(kind))
    names = [n for n in found if not n.startswith(("_", "construct_")) and _is_member(inspect.getattr_static(kind, n))]
    return sorted(names, key=lambda n: (n != "open", n)) if kind is deltamark.Engine else names


def _is_member(member: object) -> bool:
    return isinstance(member, property | classmethod) or inspect.isfunction(member)


def _member(owner: str, name: str, kind: type) -> str:
    static = inspect.getattr_static(kind, name)
    doc = _prose(inspect.getdoc(static) or inspect.getdoc(getattr(kind, name)) or "")
    if isinstance(static, property):
        returns = inspect.signature(static.fget).return_annotation if static.fget else ""
        return f"#### `{owner}.{name}`\n\n{_code(f'{name}: {returns}')}\n\n{doc}"
    signature = inspect.signature(getattr(kind, name))
    own = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    return f"#### `{owner}.{name}`\n\n{_signature(name, signature.replace(parameters=own))}\n\n{doc}"


def _constructor(kind: type) -> inspect.Signature:
    """The signature of a constructor, with the types of the fields after conversion."""
    declared = attrs.fields_dict(kind)
    parameters = [
        p.replace(annotation=declared[p.name].type, default=_plain(declared[p.name].default))
        for p in inspect.signature(kind).parameters.values()
    ]
    return inspect.Signature(parameters)


def _plain(default: object) -> object:
    if default is attrs.NOTHING:
        return inspect.Parameter.empty
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return _Shown("{}")
    if attrs.has(type(default)):
        is_bare = default == type(default)()
        return _Shown(f"{type(default).__name__}()" if is_bare else "…")
    return default


class _Shown:
    """A default as the page shows it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature(name: str, signature: inspect.Signature) -> str:
    parts, is_keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not is_keyword_only:
            parts.append("*")
            is_keyword_only = True
        parts.append(_parameter(parameter))
    returns = signature.return_annotation
    end = f" -> {_type(returns)}" if returns is not inspect.Signature.empty else ""
    one_line = f"{name}({', '.join(parts)}){end}"
    if len(one_line) <= 100:
        return _code(one_line)
    return _code(f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}")


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not inspect.Parameter.empty:
        default = parameter.default
        shown = str(default) if isinstance(default, enum.Enum) else repr(default)
        if inspect.isfunction(default):
            shown = default.__name__
        text += f" = {shown}"
    return text


def tables() -> str:
    """The page about the tables of a store."""
    parts = [GENERATED + _TABLES.strip()]
    parts += [_table(table) for table in present_tables()]
    parts.append(_AFTER_TABLES.strip())
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    lines = [f"## `{table.name}`", "", table.phrase, ""]
    lines += ["| columns | SQLite | PostgreSQL | what they hold |", "| --- | --- | --- | --- |"]
    for names, (phrase, columns) in table.columns.items():
        kinds = f"{_kinds(column.sqlite for column in columns)} | {_kinds(column.postgresql for column in columns)}"
        sentences = " ".join((f"{phrase[0].upper()}{phrase[1:]}.", *_notes(columns)))
        lines.append(f"| {_listed(names.split(', '))} | {kinds} | {sentences} |")
    keys = [f"Primary key: {_listed(table.primary_key)}."] if table.primary_key else []
    keys += [f"{'Unique' if index.is_unique else 'Index'}: {_listed(index.columns)}." for index in table.indexes]
    return "\n".join([*lines, "", " ".join(keys)] if keys else lines)


def _kinds(kinds: Iterable[str]) -> str:
    names = [kind.removesuffix(' COLLATE "C"').removesuffix(" PRIMARY KEY") or "any" for kind in kinds]
    return ", ".join(dict.fromkeys(name.lower() for name in names))


def _notes(columns: Sequence[TableColumn]) -> Iterator[str]:
    nullable = [f"`{column.name}`" for column in columns if column.is_nullable]
    if nullable:
        yield f"{' and '.join(nullable)} may be null."
    yield from (f"`{column.name}` refers to `{column.refers_to}`." for column in columns if column.refers_to)


def _type(annotation: object) -> str:
    """An annotation as it is written in the code, without the modules."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)


def _code(text: str) -> str:
    return f"```text\n{text}\n```"


def _prose(doc: str) -> str:
    """A docstring as Markdown: parameters and errors as a list."""
    text = doc.replace("``", "`")
    text = re.sub(r"::\n\n((?: {4}.*\n?|\n)+)", lambda m: f":\n\n```text\n{textwrap.dedent(m[1]).strip()}\n```\n", text)
    lines: list[str] = []
    for line in text.splitlines():
        field = re.match(r":(?:param )?(\w+)(?: (\w+))?: ?(.*)", line)
        if field is None:
            lines.append(line)
            continue
        if lines and lines[-1] and not lines[-1].startswith(("- ", "  ")):
            lines.append("")
        if line.startswith(":raises"):
            lines.append(f"- raises `{field[2]}` {field[3]}")
        else:
            lines.append(f"- `{field[1]}`: {field[3]}")
    return "\n".join(re.sub(r"^ {4,}(?=\S)", "  ", line) for line in lines).strip()


_CONFIGURATION = """
# Configuration

Here you look up every element and attribute of a configuration: its values, its default and its meaning.

A configuration is one XML file, or all `*.xml` files below a folder. Element and attribute names count with their
letter case. An unknown element or attribute is refused with file, line and the nearest known name. Booleans are
`true`, `false`, `1` and `0`, also `True` or `FALSE`. Where a value is one of several names, the number in parentheses
means the same.

`deltamark validate` lists everything that is wrong with a configuration, and warns of what can run but is probably a
mistake: in one pass, all files, structure, references, cycles and expressions. Only what follows from another fault is
left out. `deltamark config export` writes a whole configuration as one file, and `deltamark.configuration_xml` the XML
of one that was built in Python. Files must be UTF-8 without a DOCTYPE, entities, processing instructions and XInclude,
and at most 1 MiB each.
"""

_OVERRIDES = """
## Overrides

An override is a child of a `Job`. It calls the existing task that its `Identifier` names, and replaces the attributes
and children that it gives. It can give all attributes and children of the task.

{overrides}

```xml
<Job Identifier="Complete" DisplayName_L1="Everything">
  <ComputeCorrelationKeysTaskOverride Identifier="ComputeCorrelationKeys" Dirty="false" />
</Job>
```
"""

_NOT_BUILT = """
## Known, but not built yet

The language is larger than what this version does: roles, provisioning, workflows, screens. These elements, and
overrides of these tasks, are refused by name, each with its file and line; what is inside them is not judged. So are
families of names such as `ViewAccessControlRules`, `MailSetting`, `AddChangeAspect`, `WorkflowEditEntityForm` and
`InvokeApiTask`.

With `--leave-out-unbuilt` (before any command, or after `validate`, `run` and some others), with `leave_out_unbuilt =
true` in `deltamark.toml`, or with `Engine.open(…, leave_out_unbuilt=True)`, a configuration is loaded without them.
`validate` prints a notice for each; other commands do with the option, and one line for all with the setting. Calls of
a task that is left out, and dependencies on it, are left out too, and so are rules whose expression is C#; any other
reference to what is left out is a fault that says so.
"""

_AFTER_CONFIGURATION = """
## Where to go next

- [Configure an incremental job](../how-to/configure-an-incremental-job.md)
- [Map your own extracts](../how-to/map-your-own-extracts.md)
- [Formats](formats.md): types, dates, what an extract may look like
"""

_COMMANDS = """
# Command line

Here you look up every command and option of `deltamark`. This is what `--help` prints.

Results go to standard output, everything else to standard error. Where rows are printed, `--format` chooses a table,
JSON lines or CSV; see [formats](formats.md). `WHEN` is a position (`42`), a time in ISO 8601 with its zone
(`2026-11-24T08:15:30Z`), or the end of a run (`run:7`). The exit statuses are listed with the
[errors](errors.md#exit-statuses).
"""

_AFTER_COMMANDS = """
## Where to go next

- [Tutorial](../tutorial.md): the commands in use
- [Formats](formats.md): what the commands print, settings
- [Errors](errors.md): exit statuses and what to do
"""

_PYTHON = """
# Python

Here you look up every name that you can import from `deltamark`, with its signature. All of it is typed; the classes
are immutable. The XML loader builds the same classes of a configuration, so whatever the [configuration
reference](configuration.md) says of an element holds for its class.
"""

_WHEN = """A moment: a position (an `int`), a `datetime` with a time zone, or a `RunMoment`. A type alias."""

_EVENTSOURCING = """
## The log for eventsourcing

These names are imported from `deltamark.eventsourcing`, which the 9.5 line of the library
[eventsourcing](https://eventsourcing.readthedocs.io/) can work with; see [how to project the
log](../how-to/project-the-log-with-eventsourcing.md). It also has the classes of events of resources and links that are
described above.
"""

_AFTER_PYTHON = """
## Where to go next

- [Use the Python API](../how-to/use-the-python-api.md)
- [Errors](errors.md): what is raised when, and what to do
"""

_TABLES = """
# Tables of the store

Here you look up the tables that a store has now, with the columns of each and what they hold. The page is made from
the steps in [migrations.py](../../deltamark/infrastructure/store/migrations.py): a new store has these tables, and so
has an older one once this version has opened it.

You may read the tables with any tool. Write to them with Deltamark only: `deltamark verify` finds what was altered in
another way. The names may change with a version. For programs there are the [formats](formats.md) that the commands
print, and the [Python interface](python.md).

Times are microseconds since 1970-01-01 UTC. A stream is the number of a resource, a link or a run, under which its
events are stored. In PostgreSQL the tables lie in the schema `deltamark`, or in the one that the URL of the store
names.
"""

_AFTER_TABLES = """
## Where to go next

- [The model](../explanation/model.md): the log, and the projections that these tables are
- [Where things are](../explanation/where-things-are.md): which modules read and write
- [Contributing](../../CONTRIBUTING.md): how to change a table
"""

PAGES: Mapping[str, Callable[[], str]] = {
    "api.md": lambda: GENERATED + api(),
    "cli.md": commands,
    "configuration.md": configuration,
    "python.md": python,
    "tables.md": tables,
}


def written(folder: Path) -> Iterator[Path]:
    """Writes every generated page into a folder; yields the paths."""
    for name, page in PAGES.items():
        path = folder / name
        path.write_text(page(), encoding="utf-8")
        yield path


if __name__ == "__main__":
    for path in written(FOLDER):
        print(path)
