"""The files by which the source systems of the organisation speak."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.scenarios.organisation.formulas import KEY_OF
from tests.scenarios.organisation.setting import COMMAND, Setting
from tests.scenarios.organisation.world import Commands, World


class Extracts:
    """A folder of extracts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def whole(self, part: World, setting: Setting) -> None:
        """Everything that a source system holds."""
        for name, resources in part.resources.items():
            columns = [KEY_OF[name], *setting.mapped(name)]
            self._write(name, columns, ({KEY_OF[name]: key, **values} for key, values in resources.items()))
        for name, pairs in part.links.items():
            self._write(name, ["source", "target"], ({"source": s, "target": t} for s, t in sorted(pairs)))

    def commands(self, commands: Commands, setting: Setting) -> None:
        """What happened in a source system."""
        for name, rows in commands.resources.items():
            columns = [KEY_OF[name], *setting.mapped(name), COMMAND]
            said = ({KEY_OF[name]: key, **values, COMMAND: command} for key, command, values in rows)
            self._write(name, columns, said)
        for name, pairs in commands.links.items():
            said = ({"source": s, "target": t, COMMAND: command} for s, command, t in pairs)
            self._write(name, ["source", "target", COMMAND], said)

    def _write(self, table: str, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        (self.folder / f"{table}.csv").write_bytes(text.getvalue().encode())
