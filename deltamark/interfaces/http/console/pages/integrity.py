"""Integrity: how the log is proven, what was discarded of it, who reads it, and the space it takes."""

from __future__ import annotations

from attrs import field, frozen
from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.response import Template

from deltamark.application.ports.records import Space
from deltamark.application.sinks.show import SinkStatus
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Horizon
from deltamark.domain.history.consumer import ConsumerStatus
from deltamark.domain.integrity.verification import Checkpoint, VerificationRecord
from deltamark.domain.sources.places import KeptPlace
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import page, refuse_partial_sight
from deltamark.interfaces.http.console.pages.reports import shown_report
from deltamark.interfaces.http.dependencies import TheEngine, TheReports, TheUser
from deltamark.interfaces.http.reports import ReportKind
from deltamark.interfaces.http.users import Role

_RECORDS = 10
"""So many verifications on record are shown."""


@frozen(kw_only=True)
class Integrity:
    """How far the store can be relied on."""

    checkpoint: Checkpoint | None
    horizons: tuple[Horizon, ...] = field(converter=as_tuple)
    consumers: tuple[ConsumerStatus, ...] = field(converter=as_tuple)
    sinks: tuple[SinkStatus, ...] = field(converter=as_tuple)
    places: tuple[KeptPlace, ...] = field(converter=as_tuple)
    records: tuple[VerificationRecord, ...] = field(converter=as_tuple)
    space: Space


def integrity_of(engine: Engine) -> Integrity:
    """How far the store can be relied on now."""
    return Integrity(
        checkpoint=engine.checkpoint(),
        horizons=engine.horizons(),
        consumers=engine.consumers(),
        sinks=engine.sinks(),
        places=engine.places(),
        records=engine.verifications()[:_RECORDS],
        space=engine.space(),
    )


@get("/integrity", opt={ROLE: Role.READER}, sync_to_thread=True)
def integrity(engine: TheEngine, user: TheUser, reports: TheReports) -> Template:
    """How far the store can be relied on."""
    made = {report.subject: report for report in reversed(reports.all(ReportKind.VERIFICATION))}
    verifications = [shown_report(report) for report in made.values()]
    return page("integrity.html", engine, user, "Integrity", shown=integrity_of(engine), verifications=verifications)


@get("/integrity/checkpoint.json", opt={ROLE: Role.READER}, sync_to_thread=True)
def checkpoint(engine: TheEngine, user: TheUser) -> Response[str]:
    """The checkpoint of the log as the file that a verification reads.

    :raises NotFoundException: if the log is empty.
    """
    from deltamark.infrastructure.checkpoints.files import checkpoint_text

    refuse_partial_sight(user)
    found = engine.checkpoint()
    if found is None:
        raise NotFoundException("the log is empty: there is nothing to make a checkpoint of. Run a job first.")
    headers = {"Content-Disposition": f'attachment; filename="checkpoint-{found.position}.json"'}
    return Response(checkpoint_text(found, None), headers=headers, media_type="application/json")


ROUTES = (integrity, checkpoint)
