"""pyarrow, numpy and the schemas that cross the ports, imported when they are used first.

Reading one resource, a run or the log needs none of them, and they take longer to import than that takes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


class _LazyModule:
    """Stands for a module that takes long to import, until something of it is used.

    Type checkers are shown the import itself, in an `if TYPE_CHECKING` block beside.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self._name), name)
        setattr(self, name, value)  # found at once the next time
        return value


if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.compute as pc

    from deltamark.application.ports import arrow_schemas as schemas
else:
    np = _LazyModule("numpy")
    npt = _LazyModule("numpy.typing")
    pa = _LazyModule("pyarrow")
    pc = _LazyModule("pyarrow.compute")
    schemas = _LazyModule("deltamark.application.ports.arrow_schemas")

__all__ = ["np", "npt", "pa", "pc", "schemas"]
