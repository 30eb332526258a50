"""The application: routes, who is let in, and how errors are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response, Router, get
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.params import FromPath
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template.config import TemplateConfig

from deltamark.domain.errors import StoreUnreachable, UsageError
from deltamark.engine import Engine
from deltamark.interfaces.http import sign_in
from deltamark.interfaces.http.access_log import AccessLog
from deltamark.interfaces.http.api import access, derived, integrity, log, state
from deltamark.interfaces.http.api import reports as api_reports
from deltamark.interfaces.http.api import runs as api_runs
from deltamark.interfaces.http.api.parameters import refuse_unknown_parameters, refuse_unseen
from deltamark.interfaces.http.assets import Asset, assets
from deltamark.interfaces.http.authentication import (
    EVERYBODY,
    ROLE,
    Authentication,
    require_role,
)
from deltamark.interfaces.http.children import Runs
from deltamark.interfaces.http.console.pages.routes import console
from deltamark.interfaces.http.console.rendering import environment
from deltamark.interfaces.http.dependencies import (
    TheAssets,
    TheEngine,
    TheMetrics,
    TheUser,
)
from deltamark.interfaces.http.description import described
from deltamark.interfaces.http.feed import Hub
from deltamark.interfaces.http.formats import Downloads
from deltamark.interfaces.http.headers import Gate
from deltamark.interfaces.http.idempotency import Idempotency
from deltamark.interfaces.http.masks import MaskedReports, MaskedRuns, Masks
from deltamark.interfaces.http.metrics import Metrics
from deltamark.interfaces.http.problems import HANDLERS
from deltamark.interfaces.http.rates import Rates
from deltamark.interfaces.http.reports import Reports
from deltamark.interfaces.http.sessions import Links, Sessions
from deltamark.interfaces.http.settings import HttpSettings, OidcSettings
from deltamark.interfaces.http.tokens import FILE_NAME, Tokens
from deltamark.interfaces.http.users import Role, User

if TYPE_CHECKING:
    from deltamark.interfaces.http.oidc import OpenIdConnect

BODY_LIMIT = 100_000
PAGE_THREADS = 16
_READY_S = 1.0


def create_app(
    engine: Engine,
    settings: HttpSettings | None = None,
    *,
    links: Links | None = None,
    runs: Runs | None = None,
    tokens: Tokens | None = None,
    hub: Hub | None = None,
    reports: Reports | None = None,
) -> Litestar:
    """The console and the API over an engine.

    :param engine: what the routes ask; the caller closes it.
    :param links: the links that sign in.
    :param runs: starts runs; by default with the settings of this process.
    :param reports: makes verifications and dry runs; by default with the command of the runs.
    :param tokens: the API tokens; by default those of the file in the working directory.
    """
    settings = settings or HttpSettings()
    settings.refuse_unknown_types([defined.identifier for defined in engine.configuration.entity_types])
    links = links or Links(settings.clock)
    sessions = Sessions(settings.clock)
    tokens = tokens or Tokens(settings.tokens or Path(FILE_NAME), settings.clock)
    runs = runs or Runs(engine, four_eyes=settings.four_eyes)
    reports = reports or Reports(runs.command, runs.environment, settings.clock)
    hub = hub or Hub(engine)
    downloads, idempotency = Downloads(), Idempotency(settings.clock)
    metrics = Metrics(engine, hub)
    oidc = None if settings.oidc is None else _openid_connect(settings, settings.oidc)
    rates = Rates(settings.sign_ins_per_minute, settings.requests_per_minute)
    masks = Masks(engine, settings.masks)

    def seen_engine(request: Request[Any, Any, Any]) -> Any:
        return masks.engine_for(request.scope.get("user"))

    def seen_runs(request: Request[Any, Any, Any]) -> Any:
        return MaskedRuns(runs) if masks.is_hidden_from(request.scope.get("user")) else runs

    def seen_reports(request: Request[Any, Any, Any]) -> Any:
        return MaskedReports(reports) if masks.is_hidden_from(request.scope.get("user")) else reports

    app = Litestar(
        route_handlers=[
            live,
            ready,
            asset,
            *sign_in.ROUTES,
            measured,
            Router(API, route_handlers=[*ROUTES, description], guards=[refuse_unknown_parameters]),
            console(),
        ],
        dependencies={
            "engine": Provide(seen_engine, sync_to_thread=False),
            "settings": Provide(lambda: settings, sync_to_thread=False),
            "links": Provide(lambda: links, sync_to_thread=False),
            "sessions": Provide(lambda: sessions, sync_to_thread=False),
            "known_assets": Provide(_known_assets, sync_to_thread=False),
            "runs": Provide(seen_runs, sync_to_thread=False),
            "tokens": Provide(lambda: tokens, sync_to_thread=False),
            "hub": Provide(lambda: hub, sync_to_thread=False),
            "downloads": Provide(lambda: downloads, sync_to_thread=False),
            "idempotency": Provide(lambda: idempotency, sync_to_thread=False),
            "reports": Provide(seen_reports, sync_to_thread=False),
            "rates": Provide(lambda: rates, sync_to_thread=False),
            "metrics": Provide(lambda: metrics, sync_to_thread=False),
            "oidc": Provide(lambda: oidc, sync_to_thread=False),
            "user": Provide(signed_in, sync_to_thread=False),
        },
        middleware=[Authentication(settings, sessions, tokens, rates)],
        guards=[require_role],
        exception_handlers=HANDLERS,
        template_config=TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment())),
        on_startup=[_use_own_threads, hub.open],
        on_shutdown=[hub.close, reports.close],
        request_max_body_size=BODY_LIMIT,
        logging_config=None,  # `problems` logs errors
        openapi_config=None,
    )
    app.asgi_handler = Gate(app.asgi_handler, settings, metrics, AccessLog(settings.clock, settings.access_log))
    return app


def _openid_connect(settings: HttpSettings, oidc: OidcSettings) -> OpenIdConnect:
    if any(find_spec(module) is None for module in ("authlib", "joserfc", "urllib3")):
        raise UsageError("sign-in by OpenID Connect needs more than is installed: pip install 'deltamark[oidc]'.")
    from deltamark.infrastructure.system.secret_values import read_secret
    from deltamark.interfaces.http.oidc import OpenIdConnect

    return OpenIdConnect(settings, oidc, read_secret)


async def _use_own_threads() -> None:
    """Gives handlers that wait for the store threads enough, which by default are as few as six."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(PAGE_THREADS, "deltamark-http"))


def signed_in(request: Request[Any, Any, Any]) -> User:
    """The user who sends a request.

    :raises NotAuthorizedException: if nobody is signed in.
    """
    user = request.scope.get("user")
    if not isinstance(user, User):
        raise NotAuthorizedException("nobody is signed in.")
    return user


_ASSETS: dict[str, Asset] = {}
_DESCRIPTION: dict[str, Any] = {}
API = "/api/v1"
ROUTES = (
    *state.ROUTES, *derived.ROUTES, *log.ROUTES, *integrity.ROUTES, *api_runs.ROUTES, *api_reports.ROUTES,
    *access.ROUTES,
)  # fmt: skip
"""Every route of the API."""


def _known_assets() -> Mapping[str, Asset]:
    if not _ASSETS:
        _ASSETS.update(assets())
    return _ASSETS


@get("/health/live", opt={ROLE: EVERYBODY})
async def live() -> dict[str, str]:
    """Says that the server answers. It uses no thread, and so answers while all others wait."""
    return {"state": "live"}


@get("/health/ready", opt={ROLE: EVERYBODY})
async def ready(engine: TheEngine) -> Response[dict[str, Any]]:
    """Says whether the store can be read within a second, and if not, why, without names and addresses."""
    try:
        await asyncio.wait_for(asyncio.to_thread(engine.position), _READY_S)
        held_back = await asyncio.wait_for(asyncio.to_thread(engine.held_back), _READY_S)
    except TimeoutError:
        reason = "the store did not answer within a second"
    except StoreUnreachable:
        reason = "the store cannot be reached"
    except Exception as e:
        reason = f"the store cannot be read: {type(e).__name__}"
    else:
        reasons = ["changes are held back until a person decides"] if held_back else []
        return Response({"state": "degraded" if reasons else "ready", "reasons": reasons})
    return Response({"state": "not ready", "reasons": [reason]}, status_code=503, headers={"Retry-After": "5"})


@get("/openapi.json", opt={ROLE: EVERYBODY}, sync_to_thread=True)
def description() -> dict[str, Any]:
    """The description of the API, in OpenAPI 3.1."""
    if not _DESCRIPTION:
        _DESCRIPTION.update(described(ROUTES, API))
    return _DESCRIPTION


@get("/metrics", opt={ROLE: Role.READER}, sync_to_thread=True)
def measured(metrics: TheMetrics, user: TheUser) -> Response[bytes]:
    """What is watched, for Prometheus: counts of all entity types, for those who may see all."""
    refuse_unseen(user, None)
    return Response(metrics.text(), media_type=metrics.media_type)


@get("/static/{name:path}", opt={ROLE: EVERYBODY})
async def asset(request: Request[Any, Any, Any], name: FromPath[str], known_assets: TheAssets) -> Response[bytes]:
    """A file of the console."""
    found = known_assets.get(name.lstrip("/"))
    if found is None:
        raise NotFoundException("there is no such file.")
    headers = {"ETag": found.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == found.etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
