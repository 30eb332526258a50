"""Thresholds that fit tables of a size."""

from __future__ import annotations

from attrs import evolve

from deltamark.domain.configuration.entity_model import CONNECTOR_DEFAULTS, Thresholds

ORDINARY_CHANGES = 20
"""So many changes a day are ordinary, however small the tables are."""

_LARGEST_PERCENTAGE = 50


def fitting_thresholds(resources: int, links: int) -> Thresholds:
    """The limits of a connector with so many resources and links.

    They allow 20 changes or 5 %, but never more than half: a file that is nearly empty is always held back.
    """
    percentage, link_percentage = _percentage(resources), _percentage(links)
    lines = max(CONNECTOR_DEFAULTS.maximum_updated_lines, resources // 20)
    link_lines = max(CONNECTOR_DEFAULTS.maximum_link_inserted_lines, links // 20)
    return evolve(
        CONNECTOR_DEFAULTS,
        maximum_inserted_lines=lines,
        maximum_updated_lines=lines,
        maximum_deleted_lines=lines,
        maximum_link_inserted_lines=link_lines,
        maximum_link_deleted_lines=link_lines,
        max_percentage_inserted_lines=percentage,
        max_percentage_updated_lines=percentage,
        max_percentage_deleted_lines=percentage,
        max_link_percentage_inserted_lines=link_percentage,
        max_link_percentage_deleted_lines=link_percentage,
    )


def _percentage(held: int) -> int:
    if not held:
        return _LARGEST_PERCENTAGE
    ordinary = -(-ORDINARY_CHANGES * 100 // held)
    return min(_LARGEST_PERCENTAGE, max(CONNECTOR_DEFAULTS.max_percentage_updated_lines, ordinary))
