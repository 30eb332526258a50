"""Changes to a SCIM 2.0 service (RFC 7644): created by POST, updated by PATCH, deleted by DELETE.

A resource is found at the service by its `externalId`, which is its key here. What is there already is compared with
what it should be, and only what differs is sent: a change that is sent again does nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from attrs import frozen

from deltamark.application.ports.sinks import (
    Confirmed,
    OutgoingChange,
    Refusal,
    SinkConnection,
    SinkUnavailable,
)
from deltamark.application.ports.sources import Probe, SourceUnreachable
from deltamark.domain.configuration.entity_model import ConnectionTable
from deltamark.domain.configuration.packages import RESOURCE_TYPE, SUBJECT, associations_at_sink
from deltamark.domain.configuration.scim_paths import WrittenPath, value_of, written_path
from deltamark.domain.sinks.batch import Batch
from deltamark.domain.values import Value
from deltamark.infrastructure.http.client import TRIED_AGAIN, Answer
from deltamark.infrastructure.scim.client import Client
from deltamark.infrastructure.scim.service import CONFIG, Service, read_service

_PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_EXTERNAL_ID = "externalId"
_NOT_FOUND = frozenset({404, 410})
_REFUSED = frozenset({400, 409, 412, 413, 422})
"""Statuses that concern what was sent; others of 400 and above concern the service or the user."""

_WORDS = frozenset(
    ("invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax", "invalidPath", "noTarget", "invalidValue")
)
"""What a service may say of a refusal; nothing else of its answer is kept, for it may quote values."""

_CONFLICT = 409
_WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""How long to wait before a resource is created that a service may have created already, in seconds."""

_TRIES = 3
"""How often it is looked for a resource that another program creates or deletes at the same time."""

Document = dict[str, Any]


class _Refused(Exception):
    """The service refuses a change for good; the message is a clause."""


class _Moved(Exception):
    """What was found is there no longer, or what was missing is there now."""


@frozen(kw_only=True)
class _Target:
    """Where the resources of a table are.

    :param links: association -> the attribute that holds the identifiers of its other ends.
    """

    endpoint: str
    schema: str | None
    paths: Mapping[str, WrittenPath]
    links: Mapping[str, str]


class ScimSink:
    """A service whose users and groups follow resources.

    :param wait: sleeps for so many seconds.
    :raises SourceUnreachable: if its settings do not allow it.
    """

    def __init__(self, connection: SinkConnection, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._connection = connection
        self._client = Client(connection.question(), wait)
        self._wait = wait
        self._targets: dict[str, _Target] = {}
        self._identifiers: dict[tuple[str, str], str] = {}

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def probe(self) -> Probe:
        """Asks what the service can do, and looks for a resource that cannot be there."""
        service = read_service(self._client)
        problems = (
            [] if service.filters else ["the service does not filter: no resource can be found by its externalId"]
        )
        config = self._client.offered(CONFIG)
        patch = value_of(config, "patch")
        if patch is not None and value_of(patch, "supported") is False:
            problems.append("the service does not take PATCH, by which changes are sent")
        findings = []
        for table in self._connection.tables:
            target = self._target_of(table, service)
            if not problems:
                self._found(target, f"deltamark:{self._connection.store}")
            findings.append(f"{table.identifier}: {target.endpoint}")
        return Probe(server="SCIM 2.0 service", findings=findings, problems=problems)

    def send(self, batch: Batch) -> Iterator[Confirmed]:
        """Sends changes one by one."""
        last = len(batch.changes) - 1
        for number, change in enumerate(batch.changes):
            position = batch.until if number == last else change.position
            try:
                is_sent = change.gap is None and self._sent(change)
            except _Refused as e:
                yield Confirmed(position=position, sent=0, refused=[Refusal(change=change, problem=str(e))])
            else:
                yield Confirmed(position=position, sent=int(is_sent))

    def _sent(self, change: OutgoingChange) -> bool:
        """Makes the service have a change, whatever it has now.

        :raises _Refused: if it refuses it for good.
        :raises SourceUnreachable: if it takes nothing now.
        """
        target = self._target(change.table)
        for _ in range(_TRIES):
            try:
                if change.link is not None:
                    self._link(target, change)
                elif change.kind == "deleted":
                    self._delete(target, change.key)
                else:
                    self._write(target, change)
            except _Moved:
                self._identifiers.clear()
                continue
            return True
        raise SinkUnavailable(
            f"the service changed what it has of {change.entity_type} meanwhile, {_TRIES} times in a row",
            "See what else writes there, and deliver again.",
        )

    def _write(self, target: _Target, change: OutgoingChange) -> None:
        resource = self._found(target, change.key)
        if resource is None:
            self._create(target, change)
            return
        names = list(change.changes) if change.kind == "updated" else list(target.paths)
        operations = [
            operation
            for name in names
            if (operation := _operation(target.paths[name], resource, change.after.get(name))) is not None
        ]
        if operations:
            self._patch(target, str(resource["id"]), operations)

    def _create(self, target: _Target, change: OutgoingChange) -> None:
        document: Document = {
            "schemas": [] if target.schema is None else [target.schema],
            _EXTERNAL_ID: change.key,
        }
        for name, path in target.paths.items():
            value = change.after.get(name)
            if value not in (None, ""):
                _put(document, path, _plain(value))
        for wait_s in (*_WAITS_S, None):
            answer = self._posted(target, document)
            if answer is not None and answer.status not in TRIED_AGAIN:
                break
            # It may have been created all the same: it is looked for before it is sent once more.
            if self._found(target, change.key) is not None:
                raise _Moved
            if wait_s is None:
                words = "gives no answer" if answer is None else f"answers {answer.status}"
                raise SinkUnavailable(f"{self._client.address}{target.endpoint} {words}", "Deliver again later.")
            self._wait(wait_s)
        assert answer is not None, "the last try has an answer, or raises"
        if answer.status == _CONFLICT and self._found(target, change.key) is not None:
            raise _Moved
        self._checked(target.endpoint, answer)

    def _posted(self, target: _Target, document: Document) -> Answer | None:
        try:
            return self._client.send("POST", target.endpoint, document, again=False)
        except SourceUnreachable as e:
            if not e.is_temporary:
                raise
            return None

    def _delete(self, target: _Target, key: str) -> None:
        resource = self._found(target, key)
        self._identifiers.pop((target.endpoint, key), None)
        if resource is None:
            return
        path = f"{target.endpoint}/{_segment(resource['id'])}"
        answer = self._client.send("DELETE", path)
        if answer.status not in _NOT_FOUND:
            self._checked(path, answer)

    def _link(self, target: _Target, change: OutgoingChange) -> None:
        link = change.link
        assert link is not None, "a change of a link has one"
        attribute = target.links[link.association]
        owner = self._identifier(target, change.key)
        other = self._identifier(self._target_of_type(link.other_entity_type), link.other_key)
        if owner is None or other is None:
            if change.kind == "linked":
                end = "one" if owner is None else "the other"
                raise _Refused(f"the service does not have the resource of {end} end of the link")
            return  # the link is gone with its end
        operation: Document = (
            {"op": "add", "path": attribute, "value": [{"value": other}]}
            if change.kind == "linked"
            else {"op": "remove", "path": f'{attribute}[value eq "{other}"]'}
        )
        self._patch(target, owner, [operation])

    def _patch(self, target: _Target, identifier: str, operations: Sequence[Document]) -> None:
        path = f"{target.endpoint}/{_segment(identifier)}"
        answer = self._client.send("PATCH", path, {"schemas": [_PATCH_OP], "Operations": list(operations)})
        if answer.status in _NOT_FOUND:
            raise _Moved
        is_removal = all(operation["op"] == "remove" for operation in operations)
        if is_removal and answer.status == 400 and _scim_type(answer) == "noTarget":
            return  # it was removed before
        self._checked(path, answer)

    def _identifier(self, target: _Target, key: str) -> str | None:
        known = self._identifiers.get((target.endpoint, key))
        if known is None:
            self._found(target, key)
            known = self._identifiers.get((target.endpoint, key))
        return known

    def _found(self, target: _Target, key: str) -> Document | None:
        """The resource of a key; None where the service has none.

        :raises _Refused: if it has several.
        """
        answer = self._client.get(target.endpoint, {"filter": f"{_EXTERNAL_ID} eq {json.dumps(key)}"})
        resources = value_of(answer, "Resources") or []
        if not isinstance(resources, list) or not all(isinstance(item, dict) and "id" in item for item in resources):
            raise self._client.broken(target.endpoint, "gives a list without resources")
        matching = [item for item in resources if value_of(item, _EXTERNAL_ID) == key]
        if resources and not matching:
            raise self._client.broken(target.endpoint, "gives resources with another externalId than it was asked for")
        if len(matching) > 1:
            raise _Refused(f"the service has {len(matching)} resources with the same externalId")
        if not matching:
            return None
        self._identifiers[target.endpoint, key] = str(matching[0]["id"])
        return dict(matching[0])

    def _checked(self, path: str, answer: Answer) -> None:
        if answer.status < 300:
            return
        words = " ".join(filter(None, (str(answer.status), _scim_type(answer))))
        if answer.status in _REFUSED:
            raise _Refused(f"the service answers {words}")
        raise SinkUnavailable(
            f"{self._client.address}{path} answers {words}", "See the rights of the token, and the service."
        )

    def _target(self, table: str) -> _Target:
        if not self._targets:
            service = read_service(self._client)
            if not service.filters:
                raise SinkUnavailable(
                    "the service does not filter, so that no resource can be found by its externalId",
                    "Deliver to it by a webhook or by files.",
                )
            self._targets = {item.identifier: self._target_of(item, service) for item in self._connection.tables}
        return self._targets[table]

    def _target_of_type(self, entity_type: str) -> _Target:
        for table in self._connection.tables:
            if table.options[SUBJECT].strip() == entity_type:
                return self._target(table.identifier)
        raise _Refused(f"no ConnectionTable of the sink has the Subject {entity_type}")

    def _target_of(self, table: ConnectionTable, service: Service) -> _Target:
        kind = service.resource_type(table.options[RESOURCE_TYPE].strip())
        return _Target(
            endpoint=kind.endpoint,
            schema=kind.schemas[0] if kind.schemas else None,
            paths={path: written_path(path) for path in self._connection.columns[table.identifier]},
            links={association: attribute for attribute, association in associations_at_sink(table).items()},
        )


def _operation(path: WrittenPath, resource: Document, value: Value) -> Document | None:
    """What makes a resource have a value; None where it has it."""
    now = _value(path, resource)
    wanted = None if value in (None, "") else _plain(value)
    if now == wanted or (now is not None and wanted is not None and str(now) == str(wanted)):
        return None
    if wanted is None:
        return {"op": "remove", "path": path.chosen_text if path.chosen is not None else path.text}
    if path.chosen is not None and now is None:
        name, chosen = path.chosen
        return {"op": "add", "path": path.attribute_text, "value": [{name: chosen, path.part: wanted}]}
    return {"op": "add" if now is None else "replace", "path": path.text, "value": wanted}


def _value(path: WrittenPath, resource: Document) -> Any:
    holder = resource if path.extension is None else value_of(resource, path.extension)
    value = value_of(holder, path.attribute)
    if path.chosen is not None:
        name, chosen = path.chosen
        items = value if isinstance(value, list) else []
        value = next((item for item in items if value_of(item, name) == chosen), None)
    return value if path.part is None else value_of(value, path.part)


def _put(document: Document, path: WrittenPath, value: Any) -> None:
    holder = document
    if path.extension is not None:
        holder = document.setdefault(path.extension, {})
        if path.extension not in document["schemas"]:
            document["schemas"].append(path.extension)
    if path.chosen is not None:
        name, chosen = path.chosen
        items = holder.setdefault(path.attribute, [])
        item = next((item for item in items if item.get(name) == chosen), None)
        if item is None:
            items.append(item := {name: chosen})
        item[path.part] = value
    elif path.part is not None:
        holder.setdefault(path.attribute, {})[path.part] = value
    else:
        holder[path.attribute] = value


def _plain(value: Value) -> Any:
    return value if isinstance(value, str | bool | int | float) else str(value)


def _segment(identifier: object) -> str:
    return quote(str(identifier), safe="")


def _scim_type(answer: Answer) -> str:
    try:
        said = json.loads(answer.body).get("scimType")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return said if said in _WORDS else ""
