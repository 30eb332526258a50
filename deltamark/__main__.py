"""The command line, by ``python -m deltamark``."""

from deltamark.interfaces.cli.start import start

start()
