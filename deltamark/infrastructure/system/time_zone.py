"""The time zone of this machine."""

from __future__ import annotations

import os
import warnings
from datetime import tzinfo

import tzlocal

from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown


def local_zone() -> tzinfo:
    """The time zone of this machine's clock: that of the variable TZ, or else of the system.

    :raises UsageError: if it is unknown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tzlocal warns if the system names no zone, which is UTC
            return tzlocal.get_localzone()
    except (LookupError, ValueError, OSError) as e:
        variable = os.environ.get("TZ")
        reason = f"TZ is {shown(variable)}" if variable else " ".join(str(e).split())
        raise UsageError(
            f"the time zone of this machine is unknown ({reason}), and the schedule of a job depends on it. Set TZ, "
            'for example to Europe/Paris, or schedule the job in UTC: CronTimeZone="UTC".'
        ) from e
