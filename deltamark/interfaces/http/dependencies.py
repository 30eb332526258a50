"""What the application gives to handlers by the names of their parameters, under types that are not parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from deltamark.engine import Engine
from deltamark.interfaces.http.assets import Asset
from deltamark.interfaces.http.children import Runs
from deltamark.interfaces.http.feed import Hub
from deltamark.interfaces.http.formats import Downloads
from deltamark.interfaces.http.idempotency import Idempotency
from deltamark.interfaces.http.metrics import Metrics
from deltamark.interfaces.http.rates import Rates
from deltamark.interfaces.http.reports import Reports
from deltamark.interfaces.http.sessions import Links, Sessions
from deltamark.interfaces.http.settings import HttpSettings
from deltamark.interfaces.http.tokens import Tokens
from deltamark.interfaces.http.users import User

NAMES = (
    "engine", "user", "settings", "links", "sessions", "known_assets", "runs", "hub", "downloads", "tokens", "metrics",
    "idempotency", "reports", "rates", "oidc",
)  # fmt: skip
"""The names of the parameters."""

TheEngine = NamedDependency[SkipValidation[Engine]]
"""`engine`: the store with its configuration."""

TheUser = NamedDependency[SkipValidation[User]]
"""`user`: who sends the request."""

TheSettings = NamedDependency[SkipValidation[HttpSettings]]
"""`settings`: where the server listens, and who is let in."""

TheLinks = NamedDependency[SkipValidation[Links]]
"""`links`: the links that sign in."""

TheSessions = NamedDependency[SkipValidation[Sessions]]
"""`sessions`: those of browsers."""

TheAssets = NamedDependency[SkipValidation[Mapping[str, Asset]]]
"""`known_assets`: the files of the console."""

TheRuns = NamedDependency[SkipValidation[Runs]]
"""`runs`: starts, resumes and cancels runs."""

TheHub = NamedDependency[SkipValidation[Hub]]
"""`hub`: watches the log."""

TheDownloads = NamedDependency[SkipValidation[Downloads]]
"""`downloads`: streams whole lists."""

TheTokens = NamedDependency[SkipValidation[Tokens]]
"""`tokens`: the API tokens."""

TheIdempotency = NamedDependency[SkipValidation[Idempotency]]
"""`idempotency`: the runs that requests with a key of their own started."""

TheReports = NamedDependency[SkipValidation[Reports]]
"""`reports`: verifications and dry runs."""

TheRates = NamedDependency[SkipValidation[Rates]]
"""`rates`: how often somebody may try."""

TheOidc = NamedDependency[SkipValidation[Any]]
"""`oidc`: the `OpenIdConnect` that signs people in, whose packages are an extra; None where none is set."""

TheMetrics = NamedDependency[SkipValidation[Metrics]]
"""`metrics`: what is watched."""
