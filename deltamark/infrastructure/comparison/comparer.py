"""The comparer on DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from deltamark.application.ports.comparer import LinkComparison, LinkSides, ResourceComparison
from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityType
from deltamark.domain.errors import store_damaged
from deltamark.domain.values import shown
from deltamark.infrastructure.comparison.links import compare_links
from deltamark.infrastructure.comparison.resources import compare_commands, compare_complete
from deltamark.infrastructure.duckdb.connection import Workbench


class DuckComparer:
    """Compares Arrow tables with DuckDB, in memory."""

    def __init__(self, workbench: Workbench | None = None) -> None:
        self._workbench = workbench or Workbench()

    def resources(self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType) -> ResourceComparison:
        with _states_readable(entity_type):
            return compare_complete(self._workbench, extract, held, entity_type)

    def commands(self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType) -> ResourceComparison:
        with _states_readable(entity_type):
            return compare_commands(self._workbench, extract, held, entity_type)

    def links(
        self, extract: LinkExtract, sides: LinkSides, association: EntityAssociation, *, complete: bool
    ) -> LinkComparison:
        return compare_links(self._workbench, extract, sides, association, complete=complete)


@contextmanager
def _states_readable(entity_type: EntityType) -> Iterator[None]:
    """What cannot be taken apart is a state: those of the extract were made a moment ago."""
    try:
        yield
    except duckdb.InvalidInputException as e:
        raise store_damaged(f"the state of a {entity_type.identifier} cannot be read ({shown(str(e))})") from e
