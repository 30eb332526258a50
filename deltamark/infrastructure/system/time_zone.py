"""The time zone of this machine."""

from __future__ import annotations

import os
import warnings
from datetime import tzinfo

import tzlocal

from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown


def local_zone() -> tzinfo:
    """The time zone by whose rules the clock of this machine goes: what TZ says, or else the system.

    :raises UsageError: if it cannot be told.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a system that says nothing at all: that is UTC
            return tzlocal.get_localzone()
    except (LookupError, ValueError, OSError) as e:
        said = os.environ.get("TZ")
        why = f"TZ is {shown(said)}" if said else " ".join(str(e).split())
        raise UsageError(
            f"the time zone of this machine cannot be told ({why}), and a job goes by it. Set TZ, to Europe/Paris for "
            'example, or let the job go by UTC: CronTimeZone="UTC".'
        ) from e
