"""The server: uvicorn with the application."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from deltamark.domain.errors import UsageError
from deltamark.engine import Engine
from deltamark.infrastructure.system.memory import load_arrow_alone
from deltamark.interfaces.http.app import create_app
from deltamark.interfaces.http.children import Runs
from deltamark.interfaces.http.problems import SIGN_IN
from deltamark.interfaces.http.sessions import Links
from deltamark.interfaces.http.settings import HttpSettings
from deltamark.interfaces.http.users import User
from deltamark.interfaces.notifier import notifying

_LOG = logging.getLogger("deltamark.http")
KEEP_ALIVE_S = 30
_STOP_S = 3


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            self._on_listening()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends by a signal as asked, and does not raise it again."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def serve(
    engine: Engine, settings: HttpSettings, *, runs: Runs, first_user: User | None, on_listening: Callable[[str], None]
) -> None:
    """Answers requests until a signal ends it.

    :param runs: starts runs.
    :param first_user: whom the link signs in that `on_listening` is given; None for no link.
    :param on_listening: is called with the address, when it can be opened.
    :raises UsageError: if it cannot listen there.
    """
    settings.refuse_open_network()
    load_arrow_alone()
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    links = Links(settings.clock)
    app = create_app(engine, settings, links=links, runs=runs)
    address = settings.address
    if first_user is not None:
        address = f"{address}{SIGN_IN}?token={links.new(first_user)}"
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,  # it would hold keys, and the secret of the link
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
        ssl_certfile=None if settings.certificate is None else os.fspath(settings.certificate),
        ssl_keyfile=None if settings.key is None else os.fspath(settings.key),
    )
    try:
        with notifying(engine, _LOG.warning):
            _Server(config, lambda: on_listening(address)).run()
    except SystemExit as e:
        raise UsageError(
            f"{settings.host} cannot be listened on at port {settings.port}: another program does, or the address is "
            "not of this machine. Choose another one with --port."
        ) from e
