"""Whatever is sent to the API, it answers as it is described, and never with a failure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.errors import InvalidSchema
from schemathesis.specs.openapi import checks

from deltamark.engine import Engine
from deltamark.interfaces.http.tokens import Tokens
from deltamark.interfaces.http.users import Role
from tests.tiers import SOAK
from tests.web.conftest import NewSite, free_port, served
from tests.web.test_api import MATRIX

EXAMPLES = 250 if SOAK else 3
"""Of each route, as it is described and otherwise: more than 10,000 requests in the soak."""

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.status_code_conformance,
]
KNOWN = {
    "type": ["HR_Person", "AD_User"], "key": ["E00001", "E00002"], "number": [1, 2], "at": ["run:1", "5"],
    "rule": ["SameMail", "SameName"], "from": ["0", "run:1"], "to": ["run:last"], "property": ["LastName"],
}  # fmt: skip


class NoRuns:
    """Refuses to start anything: what is tried is what comes before."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        def refuse(*args: object, **named: object) -> Any:
            return self._engine.run(1)

        return refuse


@pytest.fixture(scope="module")
def address(new_site: NewSite, engine: Engine) -> Iterator[tuple[str, str]]:
    site = new_site(engine, {"runs": NoRuns(engine)}, port=free_port())
    _, token = Tokens(site.tokens, site.time).create("all", Role.ADMIN, timedelta(days=1))
    with served(site) as address:
        yield address, token


@pytest.fixture(scope="module")
def schema(address: tuple[str, str]) -> schemathesis.BaseSchema:
    """The description, with names that exist among those that are tried."""
    raw: dict[str, Any] = requests.get(f"{address[0]}/api/v1/openapi.json", timeout=60).json()
    for operation in [operation for item in raw["paths"].values() for operation in item.values()]:
        for parameter in operation.get("parameters", []):
            known = KNOWN.get(parameter["name"])
            if known is not None:
                parameter["schema"] = {"anyOf": [{"enum": known}, parameter["schema"]]}
            if parameter["name"] == "wait":
                parameter["schema"] = {"type": "integer", "enum": [0]}
    return schemathesis.openapi.from_dict(raw)


@pytest.mark.slow  # hundreds of requests to a real server
@pytest.mark.parametrize("route", [name for name in sorted(MATRIX) if not name.endswith("/stream")])
def test_no_request_fails_and_every_answer_is_as_described(
    route: str, address: tuple[str, str], schema: schemathesis.BaseSchema
) -> None:
    url, token = address
    headers = {"Authorization": f"Bearer {token}"}
    method, _, path = route.partition(" ")
    operation = schema["/api/v1" + re.sub(r"{(\w+):\w+}", r"{\1}", path)][method]
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=not SOAK, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(mode))
        def send(case: schemathesis.Case) -> None:
            answer = case.call(base_url=url, headers=headers, timeout=60)
            case.validate_response(answer, checks=CHECKS)

        with contextlib.suppress(InvalidSchema, Unsatisfiable):  # a route without parameters has no wrong ones
            send()
