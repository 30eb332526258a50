"""What the application gives to handlers by the names of their parameters, under types that are not parsed."""

from __future__ import annotations

from collections.abc import Mapping

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from deltamark.engine import Engine
from deltamark.interfaces.http.assets import Asset
from deltamark.interfaces.http.sessions import Links, Sessions
from deltamark.interfaces.http.settings import HttpSettings
from deltamark.interfaces.http.users import User

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
