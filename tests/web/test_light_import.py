"""The engine needs nothing of the web: it is an extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deltamark.interfaces.cli.commands import serve
from deltamark.interfaces.cli.main import status_of

WEB = ("litestar", "jinja2", "uvicorn", "prometheus_client", "deltamark.interfaces.http")


@pytest.mark.parametrize(
    "imported",
    ["import deltamark", "from deltamark.interfaces.cli.main import status_of; status_of(['serve', '--help'])"],
)
def test_nothing_of_the_web_is_loaded_before_it_serves(imported: str) -> None:
    code = f"import sys\n{imported}\nassert not set({WEB}) & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_what_is_missing_is_said_in_one_line_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "NEEDED", (*serve.NEEDED, "a_module_that_is_not_there"))

    assert status_of(["serve"]) == 2

    said = capsys.readouterr().err
    assert said.splitlines() == [
        "deltamark: the console needs more than is installed. Install it by: pip install 'deltamark[web]'."
    ]
