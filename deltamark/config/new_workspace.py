"""The files of a workspace for a proposed configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping

from deltamark.config.settings import FILE_NAME
from deltamark.config.xml.writer import commented_xml
from deltamark.config.xml.xsd import FILE_NAME as SCHEMA
from deltamark.config.xml.xsd import configuration_schema
from deltamark.domain.proposal.proposal import Proposal, connection_name

CONFIGURATION = "configuration"
"""The folder of the configuration."""

_SETTINGS = """\
# The settings of this workspace. Run `deltamark` in this folder and it finds them.

[deltamark]
# Where the log of changes and all that follows from it are kept: one file, made by the first run.
store = "sqlite:///deltamark.db"

# The model and the jobs: every *.xml file in this folder.
configuration = "{configuration}"

# Where the extracts lie: <ConnectionTable>.csv, .parquet, .jsonl or .xlsx.
export_output = {exports}
"""


_CONNECTION = """\

# Where {name} is. No secret is written here: say where it is, as env:NAME, file:PATH or credential:NAME.
[deltamark.connections.{name}]
"""


def workspace_files(
    proposal: Proposal, *, exports: str, connection: Mapping[str, str] | None = None
) -> Mapping[str, str]:
    """The files that make a workspace of a proposal, each by its path in the workspace.

    :param exports: the folder of the extracts, as the settings shall name it.
    :param connection: the settings of the connection of the proposal, where it has one; secrets by reference.
    """
    schema = f"../{SCHEMA}"
    settings = _SETTINGS.format(configuration=CONFIGURATION, exports=_text(exports))
    if connection is not None:
        settings += _CONNECTION.format(name=connection_name(proposal.connector.identifier))
        settings += "".join(f"{setting} = {_text(value)}\n" for setting, value in connection.items())
    return {
        FILE_NAME: settings,
        SCHEMA: configuration_schema(),
        f"{CONFIGURATION}/model.xml": commented_xml(proposal.model, comment=_ABOUT_THE_MODEL, schema=schema),
        f"{CONFIGURATION}/jobs.xml": commented_xml(proposal.jobs, comment=_ABOUT_THE_JOBS, schema=schema),
    }


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


_ABOUT_THE_MODEL = (
    "What the extracts hold: a type for each table, and which column feeds which property. A property without "
    "ConnectionColumn is fed by the column of its name. Written by `deltamark init`, for you to change."
)
_ABOUT_THE_JOBS = (
    "What runs: `deltamark run Incremental`. Its first run loads everything, every later one records only what changed."
)
