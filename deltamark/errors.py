"""Every error that Deltamark raises, and `Fault`, what a `ConfigurationError` lists::

    from deltamark.errors import RunBlocked, RunFailed

All derive from `DeltamarkError`. The names are those of `deltamark` itself, too.
"""

from deltamark.domain.errors import *  # noqa: F403
from deltamark.domain.errors import __all__ as __all__
