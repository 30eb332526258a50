"""Processes of this machine: which one this is, and whether another one has ended or is stopped."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from deltamark.domain.processes import ProcessState

_PROC = Path("/proc")

_END_S = 5.0
_ASK_AGAIN_S = 0.01


def this_process() -> str:
    """Returns what identifies this process, or an empty text where the system does not say it.

    It names the host, the boot of its kernel, the namespace of process numbers (containers have their own, in which
    numbers of others seem free), the number of the process, and when it started, because numbers are used again.
    """
    started = _status(os.getpid())
    place = _place()
    return f"{place} {os.getpid()} {started[1]}" if place and started else ""


def state_of(process: str) -> ProcessState:
    """Returns what is known about a process that `this_process` identified."""
    place, _, rest = process.rpartition(" ")[0].rpartition(" ")
    started_at = process.rpartition(" ")[2]
    if not place or place != _place() or not rest.isdigit():
        return ProcessState.UNKNOWN
    number = int(rest)
    status = _status(number)
    if status is None:
        return ProcessState.ENDED if _is_free(number) else ProcessState.UNKNOWN
    state, started = status
    if started != started_at or state in "ZX":
        return ProcessState.ENDED
    return ProcessState.STOPPED if state in "Tt" else ProcessState.RUNNING


def number_of(process: str) -> int:
    """Returns the number of a process that `this_process` identified."""
    return int(process.split(" ")[-2])


def host_of(process: str) -> str:
    """Returns the host of a process that `this_process` identified."""
    return process.split(" ")[0]


def end_stopped(process: str) -> bool:
    """Ends a process that is stopped, and returns whether it was.

    :raises PermissionError: if it belongs to another user.
    """
    if state_of(process) is not ProcessState.STOPPED:
        return False
    with suppress(ProcessLookupError):
        os.kill(number_of(process), signal.SIGKILL)
    deadline = monotonic() + _END_S
    while state_of(process) is not ProcessState.ENDED and monotonic() < deadline:
        sleep(_ASK_AGAIN_S)
    return True


def holder_of(lock: Path) -> int | None:
    """Returns the number of the process of this machine that holds the lock of a file; None where it is not known."""
    try:
        status = lock.stat()
        file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        locks = (_PROC / "locks").read_text().splitlines()
    except OSError:
        return None
    numbers = [fields[4] for fields in map(str.split, locks) if len(fields) > 5 and fields[5] == file]
    return next((int(number) for number in numbers if number.isdigit() and _status(int(number))), None)


def is_stopped(number: int) -> bool:
    """Returns whether a process of this machine is stopped."""
    status = _status(number)
    return status is not None and status[0] in "Tt"


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink(_PROC / "self/ns/pid")
    except (OSError, ValueError):
        return ""
    return f"{socket.gethostname()} {boot} {namespace}" if boot else ""


def _status(number: int) -> tuple[str, str] | None:
    """Returns the state of a process, a letter, and when it started, or None where it cannot be read."""
    try:
        text = (_PROC / str(number) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may contain anything
    return (fields[0], fields[19]) if len(fields) > 19 else None


def _is_free(number: int) -> bool:
    """Whether no process has the number: processes of others may be hidden in `/proc`."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
