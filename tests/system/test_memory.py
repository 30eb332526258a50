"""Arrow without what it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LOAD = "from deltamark.infrastructure.system.memory import load_arrow_alone; load_arrow_alone()"
_ASK = "import sys, pyarrow; assert pyarrow.array([1]).to_pylist() == [1]; print('pandas' in sys.modules)"


@pytest.mark.parametrize(("first", "is_loaded"), [(_LOAD, "False"), ("", "True")], ids=["alone", "control"])
def test_pandas_is_not_loaded_beside_arrow_and_can_be_loaded_later(first: str, is_loaded: str) -> None:
    pytest.importorskip("pandas")
    code = f"{first}\n{_ASK}\nimport numpy, pandas; assert pandas.DataFrame({{'a': [1]}}).a[0] == 1"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == (is_loaded, "")
