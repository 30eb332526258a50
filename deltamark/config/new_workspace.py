"""The files of a workspace for a proposed configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping

from deltamark.config.settings import FILE_NAME
from deltamark.config.xml.writer import commented_xml
from deltamark.config.xml.xsd import FILE_NAME as SCHEMA
from deltamark.config.xml.xsd import configuration_schema
from deltamark.domain.proposal.proposal import Proposal

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


def workspace_files(proposal: Proposal, *, exports: str) -> Mapping[str, str]:
    """The files that make a workspace of a proposal, each by its path in the workspace.

    :param exports: the folder of the extracts, as the settings shall name it.
    """
    schema = f"../{SCHEMA}"
    return {
        FILE_NAME: _SETTINGS.format(configuration=CONFIGURATION, exports=json.dumps(exports, ensure_ascii=False)),
        SCHEMA: configuration_schema(),
        f"{CONFIGURATION}/model.xml": commented_xml(proposal.model, comment=_ABOUT_THE_MODEL, schema=schema),
        f"{CONFIGURATION}/jobs.xml": commented_xml(proposal.jobs, comment=_ABOUT_THE_JOBS, schema=schema),
    }


_ABOUT_THE_MODEL = (
    "What the extracts hold: a type for each table, and which column feeds which property. A property without "
    "ConnectionColumn is fed by the column of its name. Written by `deltamark init`, for you to change."
)
_ABOUT_THE_JOBS = (
    "What runs: `deltamark run Incremental`. Its first run loads everything, every later one records only what changed."
)
