"""Notifications by a program: called without a shell, with the notification on its standard input."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress

import orjson

from deltamark.application.ports.notifications import ChannelConnection, NotSent, Taken
from deltamark.application.ports.sources import Probe
from deltamark.domain.notifications.notification import Notification

_TIMEOUT_S = 30
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SYSTEMROOT", "TEMP", "TMPDIR", "TZ", "USER")
"""Variables that the program gets; others may hold secrets."""


class Command:
    """A program that takes a notification as a CloudEvent in JSON, and ends with status 0 when it has it."""

    def __init__(self, connection: ChannelConnection) -> None:
        self._words = connection.lists["command"]
        self._timeout_s = connection.number("timeout", _TIMEOUT_S)

    def send(self, notification: Notification) -> Taken:
        """Calls the program. What it prints is discarded: it may hold secrets."""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            process = subprocess.Popen(  # noqa: S603, a list of arguments, no shell
                self._words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as e:
            raise NotSent(f"{self._words[0]} cannot be started: {e.strerror}") from None
        try:
            process.communicate(orjson.dumps(notification.cloud_event()), timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            raise NotSent(f"{self._words[0]} did not end within {self._timeout_s} s and was ended") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            raise NotSent(f"{self._words[0]} ended with status {process.returncode}")
        return Taken()

    def probe(self) -> Probe:
        """Looks for the program, and does not call it."""
        if shutil.which(self._words[0]) is None:
            return Probe(problems=[f"there is no program {self._words[0]}, or it may not be started"])
        return Probe(server="command", findings=["the program is there"])
