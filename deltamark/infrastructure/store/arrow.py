"""pyarrow, numpy and the schemas that cross the ports, imported when they are used first.

Reading one resource, a run or the log needs none of them, and they take longer to import than that takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltamark.infrastructure.system.lazy_module import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.compute as pc

    from deltamark.application.ports import arrow_schemas as schemas
else:
    np = LazyModule("numpy")
    npt = LazyModule("numpy.typing")
    pa = LazyModule("pyarrow")
    pc = LazyModule("pyarrow.compute")
    schemas = LazyModule("deltamark.application.ports.arrow_schemas")

__all__ = ["np", "npt", "pa", "pc", "schemas"]
