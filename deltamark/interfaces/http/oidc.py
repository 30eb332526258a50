"""Sign-in with OpenID Connect: authorization code with PKCE, at a provider that publishes what it is.

Each attempt has a state, a nonce and a verifier of its own, belongs to the browser that began it, and is finished once.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from attrs import field, frozen
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.secrets import Secret, masked
from deltamark.domain.statements import checked_person
from deltamark.infrastructure.http.client import Answer, HTTPClient, HTTPFailure, Limits
from deltamark.interfaces.http.sessions import SignInFailed
from deltamark.interfaces.http.settings import HttpSettings, OidcSettings
from deltamark.interfaces.http.users import SignInMethod, User

CALLBACK = "/sign-in/oidc/callback"
ATTEMPT_AGE = timedelta(minutes=10)
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a public key. `none`, and those with the secret of the client, are refused."""

_KNOWN_S = 600.0
_REFRESH_S = 30.0
"""Keys are asked for again no sooner: a token with an unknown key must not make a request each time."""

_LEEWAY_S = 60
_MOST_ATTEMPTS = 10_000
_LARGEST = 1_000_000
_LIMITS = Limits(timeout_s=10, tries=1, largest_answer=_LARGEST)


@frozen(kw_only=True)
class _Attempt:
    """A sign-in that was begun.

    :param browser: the digest of what the cookie of the browser holds.
    """

    browser: bytes = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    began_at: datetime


@frozen(kw_only=True)
class Begun:
    """Where the browser goes, and what its cookie is to hold."""

    url: str = field(repr=False)
    browser: str = field(repr=False)


class OpenIdConnect:
    """Signs people in at a provider.

    :param read_secret: reads the secret of the client by its reference.
    """

    def __init__(self, settings: HttpSettings, oidc: OidcSettings, read_secret: Callable[[str], Secret]) -> None:
        self._settings, self._oidc, self._read_secret = settings, oidc, read_secret
        self._attempts: OrderedDict[bytes, _Attempt] = OrderedDict()
        self._lock = Lock()
        self._metadata: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def begin(self) -> Begun:
        """Begins an attempt.

        :raises SignInFailed: if the provider does not say where people sign in.
        """
        state, nonce, verifier, browser = (secrets.token_urlsafe(48) for _ in range(4))
        endpoint = self._endpoint("authorization_endpoint")
        attempt = _Attempt(browser=_digest(browser), nonce=nonce, verifier=verifier, began_at=self._settings.clock())
        with self._lock:
            self._attempts[_digest(state)] = attempt
            while len(self._attempts) > _MOST_ATTEMPTS:
                self._attempts.popitem(last=False)
        asked = {
            "response_type": "code",
            "client_id": self._oidc.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *self._oidc.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        return Begun(url=f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", browser=browser)

    def finish(self, state: str | None, code: str | None, browser: str | None, issuer: str | None = None) -> User:
        """The user of an attempt, which ends with this.

        :param issuer: who answered, if the answer says it (RFC 9207).
        :raises SignInFailed: if it was not begun by this browser, is too old, or the provider or its answer is refused.
        """
        with self._lock:
            attempt = self._attempts.pop(_digest(state or ""), None)
        if attempt is None or self._settings.clock() - attempt.began_at >= ATTEMPT_AGE:
            raise SignInFailed("this sign-in was finished already, or is older than ten minutes.")
        if not compare_digest(attempt.browser, _digest(browser or "")):
            raise SignInFailed("this sign-in was begun in another browser.")
        if issuer is not None and issuer != self._oidc.issuer:
            raise SignInFailed("another provider answered than the one that was asked.")
        if not code:
            raise SignInFailed("the provider did not sign you in.")
        return self._user(self._claims(self._id_token(code, attempt.verifier), attempt.nonce))

    @property
    def _redirect_uri(self) -> str:
        return f"{self._settings.address}{CALLBACK}"

    def _id_token(self, code: str, verifier: str) -> str:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self._oidc.client_id,
            "code_verifier": verifier,
        }
        if self._oidc.client_secret is not None:
            try:
                fields["client_secret"] = self._read_secret(self._oidc.client_secret).value
            except SourceUnreachable as e:
                raise SignInFailed(f"the server is not set up for it: {masked(e.problem)}.") from None
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        body = urlencode(fields).encode()
        token = self._json(self._asked("POST", self._endpoint("token_endpoint"), body, headers)).get("id_token")
        if not isinstance(token, str):
            raise SignInFailed("the provider gave no ID token.")
        return token

    def _claims(self, token: str, nonce: str) -> CodeIDToken:
        try:
            decoded = self._decoded(token)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": self._oidc.issuer},
                    "aud": {"essential": True, "value": self._oidc.client_id},
                },
                params={"nonce": nonce, "client_id": self._oidc.client_id},
            )
            claims.validate(now=int(self._settings.clock().timestamp()), leeway=_LEEWAY_S)
        except (JoseError, ValueError, TypeError) as e:
            raise SignInFailed(f"the ID token of the provider is refused ({type(e).__name__}).") from None
        return claims

    def _decoded(self, token: str) -> jwt.Token:
        registry = jws.JWSRegistry(algorithms=list(_ALGORITHMS))
        try:
            return jwt.decode(token, self._key_set(), algorithms=list(_ALGORITHMS), registry=registry)
        except (JoseError, ValueError):
            if self._keys is None or monotonic() - self._keys[0] < _REFRESH_S:
                raise
            self._keys = None  # the provider may sign with a new key
            return jwt.decode(token, self._key_set(), algorithms=list(_ALGORITHMS), registry=registry)

    def _key_set(self) -> KeySet:
        if self._keys is None or monotonic() - self._keys[0] > _KNOWN_S:
            document = self._json(self._asked("GET", self._endpoint("jwks_uri")))
            try:
                self._keys = (monotonic(), KeySet.import_key_set(document))  # type: ignore[arg-type]
            except (JoseError, ValueError, KeyError, TypeError):
                raise SignInFailed("the keys of the provider cannot be read.") from None
        return self._keys[1]

    def _user(self, claims: Mapping[str, Any]) -> User:
        name = claims.get(self._oidc.name_claim)
        is_verified = self._oidc.name_claim != "email" or claims.get("email_verified", True) is True
        if not isinstance(name, str) or not is_verified:
            raise SignInFailed(f"the provider gives no verified {self._oidc.name_claim}.")
        try:
            name = checked_person(name)
        except DeltamarkError:
            raise SignInFailed(f"the {self._oidc.name_claim} of the provider is no name of a person.") from None
        groups = claims.get(self._oidc.groups_claim)
        listed = groups if isinstance(groups, list) else [groups]
        grant = self._settings.granted(name, (group for group in listed if isinstance(group, str)))
        if grant is None:
            raise SignInFailed("you have no role here. Ask an administrator.")
        return User(name=name, role=grant.role, method=SignInMethod.OIDC, entity_types=grant.entity_types)

    def _endpoint(self, name: str) -> str:
        url = self._provider().get(name)
        if not isinstance(url, str) or urlsplit(url).scheme not in ("https", "http"):
            raise SignInFailed(f"the provider does not say its {name}.")
        if url.startswith("http:") and not self._oidc.issuer.startswith("http:"):
            raise SignInFailed(f"the {name} of the provider is not encrypted.")
        return url

    def _provider(self) -> Mapping[str, Any]:
        if self._metadata is None or monotonic() - self._metadata[0] > _KNOWN_S:
            url = f"{self._oidc.issuer.rstrip('/')}/.well-known/openid-configuration"
            document = self._json(self._asked("GET", url))
            if document.get("issuer") != self._oidc.issuer:
                raise SignInFailed("the provider says that it is another one.")
            self._metadata = (monotonic(), document)
        return self._metadata[1]

    def _asked(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        try:
            client = HTTPClient(url, authority=self._oidc.authority, limits=_LIMITS)
            try:
                return client.request(method, body=body, headers=headers, again=False)
            finally:
                client.close()
        except HTTPFailure as e:
            raise SignInFailed(f"the provider cannot be asked: {masked(e.problem)}.") from None

    def _json(self, answer: Answer) -> Mapping[str, Any]:
        if answer.status != 200:
            raise SignInFailed(f"the provider answers {answer.status}.")
        try:
            document = orjson.loads(answer.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise SignInFailed("the answer of the provider cannot be read.")
        return document


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
