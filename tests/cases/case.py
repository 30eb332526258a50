"""Runs the steps of a case: a job with the configuration and the extracts of each step, in one store."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark.interfaces.cli.main import status_of
from tests.cli.workspace import Answer

FOLDER = Path(__file__).parent


class Case:
    """A copy of the folder of a case, with a new store; commands run in that folder."""

    def __init__(self, folder: Path, store: str, capture: pytest.CaptureFixture[bytes]) -> None:
        self.folder = folder
        self.store = store
        self._capture = capture

    def configuration(self, step: int) -> Path:
        """The configuration file of a step: its own, or that of the last step before it that has one."""
        files = [self.folder / "configuration" / f"{number}.xml" for number in range(step, 0, -1)]
        return next(file for file in files if file.exists())

    def exports(self, step: int) -> Path:
        """The folder with the extracts of a step, which need not exist yet."""
        return self.folder / f"exports-{step}"

    def _newest_exports(self, step: int) -> Path:
        """The extracts of a step: its own, or those of the last step before it that has some."""
        folders = [self.exports(number) for number in range(step, 0, -1)]
        return next((folder for folder in folders if folder.exists()), self.exports(step))

    def extract(self, step: int, **tables: str | bytes) -> None:
        """Writes extracts of a step in place of those of the case."""
        self.exports(step).mkdir(exist_ok=True)
        for table, content in tables.items():
            data = content.encode() if isinstance(content, str) else content
            (self.exports(step) / f"{table}.csv").write_bytes(data)

    def command(self, *arguments: str, step: int = 1) -> Answer:
        """Runs a command with the configuration and the extracts of a step."""
        options = [
            *("--store", self.store, "--configuration", str(self.configuration(step))),
            *("--export-output", str(self._newest_exports(step))),
        ]
        self._capture.readouterr()
        status = status_of([*options, *arguments])
        out, err = self._capture.readouterr()
        return Answer(status, out, err.decode())

    def run(self, step: int, job: str = "Load", *options: str) -> Answer:
        """Runs a job with the configuration and the extracts of a step."""
        return self.command("run", job, *options, step=step)

    def exported(self, entity_type: str, *, step: int = 1) -> list[dict]:
        """The resources of a type as `export` gives them in JSON lines; the command must succeed."""
        answer = self.command("export", entity_type, "--format", "jsonl", step=step)
        assert answer.status == 0, answer.err
        return answer.documents

    def keys(self, entity_type: str, *, step: int = 1) -> list[str]:
        """The keys of the resources of a type, in order."""
        return [row["key"] for row in self.exported(entity_type, step=step)]
