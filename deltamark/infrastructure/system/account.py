"""The account for which this process runs, as the operating system says."""

from __future__ import annotations

import os
import sys


def process_account() -> str:
    """The name of the account of this process, or its number where it has no name.

    Never what variables such as LOGNAME and USER say: anybody can set those.
    """
    if sys.platform == "win32":
        name = os.getlogin()
    else:
        import pwd

        number = os.geteuid()
        try:
            name = pwd.getpwuid(number).pw_name
        except KeyError:
            name = str(number)
    return name.encode(errors="backslashreplace").decode()
