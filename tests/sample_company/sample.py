"""The sample in `examples/company`: ``python -m tests.sample_company.sample`` writes it again."""

from __future__ import annotations

import shutil
from pathlib import Path

from deltamark.infrastructure.sample_company import generate, write_workspace

SAMPLE = Path(__file__).parents[2] / "examples" / "company"
DAY_1 = "exports-day-1"


def write_sample(folder: Path) -> None:
    """Writes the workspace with a company of 100 people, and the extracts of the next day beside its own."""
    write_workspace(folder, people=100, seed=1)
    generate(folder / DAY_1, people=100, seed=1, day=1)


if __name__ == "__main__":
    shutil.rmtree(SAMPLE, ignore_errors=True)
    write_sample(SAMPLE)
