"""The entry of the command, before its modules are loaded."""

import signal  # and nothing else: a signal that comes before `start` prints a traceback


def start() -> None:
    """Runs the command line and exits with its status (see `main.main`).

    A signal that comes while the modules are loaded ends the process at once, in silence: nothing was begun.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from deltamark.interfaces.cli.main import main

    main()


if __name__ == "__main__":
    start()
