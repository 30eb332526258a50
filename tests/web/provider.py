"""A small OpenID Connect provider on this machine: discovery, keys, codes with PKCE, ID tokens as a test says."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import define, field
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.scenarios.http_server import Reply, Request, http_server

CLIENT, SECRET = "deltamark", "ein geheimes Wort, lang genug fuer HS256"


@define
class Provider:
    """What it gives, and what it was asked."""

    url: str = ""
    key: ECKey = field(factory=lambda: ECKey.generate_key("P-256", {"kid": "one", "use": "sig"}))
    signs_with: Any = None
    header: dict[str, Any] = field(factory=lambda: {"alg": "ES256", "kid": "one"})
    metadata: dict[str, Any] = field(factory=dict)
    claims: dict[str, Any] = field(factory=dict)
    now: float = 0.0
    codes: dict[str, dict[str, str]] = field(factory=dict)
    asked: list[str] = field(factory=list)

    def code_for(self, address: str) -> dict[str, str]:
        """What the browser brings back from a sign-in that began with this address."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return {"state": query["state"], "code": code, "iss": self.url}

    def answer(self, request: Request) -> Reply:
        path = urlsplit(request.path).path
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            document = {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                **self.metadata,
            }
            return _json(document)
        if path == "/keys":
            return _json(KeySet([self.key]).as_dict(private=False))
        if path == "/token":
            return self._token({name: values[0] for name, values in parse_qs(request.body.decode()).items()})
        return Reply(404)

    def _token(self, form: dict[str, str]) -> Reply:
        begun = self.codes.pop(form["code"], None)
        if begun is None or form["client_secret"] != SECRET or form["redirect_uri"] != begun["redirect_uri"]:
            return Reply(400)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != begun["code_challenge"]:
            return Reply(400)
        claims = {
            "iss": self.url,
            "sub": "1234",
            "aud": CLIENT,
            "iat": int(self.now),
            "exp": int(self.now) + 300,
            "nonce": begun["nonce"],
            "email": "ann@example.com",
            "email_verified": True,
            "groups": ["everybody", "deltamark-reviewers"],
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return _json({"id_token": self._signed(claims), "token_type": "Bearer", "access_token": "x"})

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.header["alg"] == "none":
            parts = (json.dumps(part).encode() for part in (self.header, claims))
            return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
        return jwt.encode(self.header, claims, self.signs_with or self.key, algorithms=[self.header["alg"]])


def _json(document: Any) -> Reply:
    return Reply(200, {"content-type": "application/json"}, json.dumps(document).encode())


@contextmanager
def provider_at_work() -> Iterator[Provider]:
    provider = Provider()
    with http_server(provider.answer) as server:
        provider.url = server.url.removesuffix("/in")
        yield provider
