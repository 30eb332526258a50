"""A store whose keys, values, names and reasons do what they can to harm the pages that show them.

`python -m tests.web.console.hostile FOLDER` writes one to look at.
"""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import quoteattr

from deltamark import Upsert
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.resources.resource import ResourceRef
from deltamark.engine import Engine
from deltamark.infrastructure.sample_company.workspace import write_workspace
from deltamark.interfaces.http.console.rendering import resource_url, url
from tests.web.console.company import open_company

PEOPLE = 20
SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(2)><svg/onload=alert(3)>{{7*7}}\"'"
NAME = f"{SCRIPT}\u202eRTL\u2066\x07 hx-get=/sign-out"
"""A value of a person. In what people write of a run, control characters are refused."""

KEYS = (
    "a/b", "..", ".", "?#&%2e", "<script>alert(4)</script>", "x" * 1000, "\u202eabc", "CN=Ann,OU=a+b", "a\nb", "=1+1",
    "{{7*7}}", "'\"><svg/onload=alert(5)>", "javascript:alert(6)", "//host.invalid/", "\U0001f469\u200d\U0001f4bb",
)  # fmt: skip
"""Keys of people."""

LONG = "<b>long</b> " * 85_000
"""A text of a million letters, from which other values and keys are computed."""

NUL = "nul\0nul<script>alert(7)</script>"


def hostile_company(folder: Path) -> None:
    """Writes a workspace and runs its job, of which the last run holds deletions back."""
    write_workspace(folder, people=PEOPLE)
    _name_hostile(folder / "configuration")
    people = folder / "exports" / "HR_Person.csv"
    head, *rows = csv.reader(people.read_text("utf-8-sig").splitlines())
    with open_company(folder) as engine:
        engine.run_job("Incremental", by=SCRIPT, reason=f"\u202e{SCRIPT}")
        faulty = [["", NAME, *rows[2][2:]], [SCRIPT, *rows[3][1:]], [SCRIPT, NAME, *rows[4][2:]]]
        rows[2][1] = rows[2][5] = LONG
        _write(people, head, [*rows, *([key, NAME, key, *rows[3][3:]] for key in KEYS), *faulty])
        engine.run_job("Incremental", by=SCRIPT, reason=SCRIPT)
        engine.record("HR", [Upsert("HR_Person", {"EmployeeId": "E00004", "Title": NUL})])
        _write(people, head, rows[:3])
        blocked = engine.run_job("Incremental")
    assert blocked.state is TaskState.BLOCKED


def _name_hostile(configuration: Path) -> None:
    """Gives whatever has a name for people a hostile one."""
    for file in configuration.glob("*.xml"):
        parts = file.read_text("utf-8").split(' DisplayName_L1="')
        renamed = [f" DisplayName_L1={quoteattr(SCRIPT)}{part.partition(chr(34))[2]}" for part in parts[1:]]
        file.write_text("".join([parts[0], *renamed]), "utf-8")


def _write(file: Path, head: list[str], rows: list[list[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([head, *rows])


def hostile_addresses(engine: Engine) -> Iterator[str]:
    """Every page that shows such texts, or is asked for by them; some say that there is nothing of it."""
    newest = engine.runs(limit=1)[0].number
    yield from ("/", "/runs", "/log", "/resources", "/integrity", "/schedule", "/access")
    yield from (f"/runs/{run}" for run in range(1, newest + 1))
    yield from (f"/held/{newest}", f"/held/{newest}?kind=deleted", url(f"/held/{newest}", key=SCRIPT))
    yield from (url("/configuration", show=part) for part in ("jobs", "model", "dependencies", "history", "plan"))
    yield from (url("/derived", show=part) for part in ("ambiguous", "pairs", "keys", "classifications", "dirty"))
    yield from (url("/derived", show="keys", name=rule) for rule in ("SameMail", "SameName"))
    for key in (*KEYS, "E00003", "E00004", "E00002", f"{SCRIPT} of nobody"):
        yield resource_url(ResourceRef("HR_Person", key))
    yield resource_url(ResourceRef("HR_Person", KEYS[0]), at=engine.position())
    for prefix in ("<", "x", "E"):
        yield url("/resources", type="HR_Person", prefix=prefix)
    for value in (NAME, SCRIPT, NUL, KEYS[0], LONG[:200]):
        yield url("/resources", type="HR_Person", property="FirstName", value=value)
        yield url("/value", type="HR_Person", property="FirstName", value=value)
    yield url("/value", type="HR_Person", property="Title", value=NUL)
    yield from (url("/log", type="HR_Person", key=key) for key in (KEYS[0], SCRIPT))
    yield from (url("/find", q=words) for words in ("script", SCRIPT, "long", NAME, "\0", "x" * 3000))
    yield from (url("/log", before=SCRIPT), url("/log", day=SCRIPT), url("/resource", type=SCRIPT, key=SCRIPT))
    yield from ("/runs/99", url("/runs", job=SCRIPT), url("/derived", show=SCRIPT), url("/nowhere", q=SCRIPT))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    hostile_company(target)
