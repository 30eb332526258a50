"""The limits under which this process compares and computes."""

from __future__ import annotations

from attrs import evolve

from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown
from deltamark.domain.work_limits import WorkLimits
from deltamark.infrastructure.system import temporary_files

_limits = WorkLimits()


def work_limits() -> WorkLimits:
    """The limits for what begins now."""
    return _limits


def use_work_limits(limits: WorkLimits) -> None:
    """Compares and computes under other limits from now on, in the whole process.

    :raises UsageError: if the temporary folder is not there, or cannot be written.
    """
    global _limits
    if limits.temporary is not None and not temporary_files.is_usable(limits.temporary):
        raise UsageError(
            f"the temporary folder {shown(str(limits.temporary))} is not a folder that this process may write to. "
            "Make it, or change the setting `temporary`."
        )
    temporary = None if limits.temporary is None else limits.temporary.absolute()
    temporary_files.use_place(temporary)
    _limits = evolve(limits, temporary=temporary)
