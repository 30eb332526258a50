"""All faults that keep a configuration from running.

They are the faults that only the whole configuration shows: names that are used twice or refer to nothing, missing
keys, tasks that wait for each other. Expressions are checked where they are parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import Fault
from deltamark.domain.validation.computed_properties import computed_faults
from deltamark.domain.validation.connections import connection_faults
from deltamark.domain.validation.identifiers import identifier_faults
from deltamark.domain.validation.jobs import job_faults
from deltamark.domain.validation.mappings import mapping_faults
from deltamark.domain.validation.references import NOTHING_MISSING, Index, Missing, reference_faults
from deltamark.domain.validation.transformations import transformation_faults

MOST_FAULTS = 200
"""More faults of one kind would not help, and finding the nearest name for each takes time."""

__all__ = ["MOST_FAULTS", "NOTHING_MISSING", "Missing", "faults", "first_faults", "in_file_order"]


def faults(
    configuration: Configuration, *, missing: Missing = NOTHING_MISSING, names_are_checked: bool = False
) -> tuple[Fault, ...]:
    """The faults that keep a configuration from running, in file order.

    Returns at most 200 faults of each kind of check. Reads nothing but the configuration itself.

    :param missing: names that could not be read: what refers to them is no fault of its own.
    :param names_are_checked: whether identifiers were checked when they were read.
    """
    index = Index.of(configuration, missing)
    checks = (
        identifier_faults(configuration, names_are_checked=names_are_checked),
        reference_faults(configuration, index),
        mapping_faults(configuration, index),
        connection_faults(configuration),
        transformation_faults(configuration),
        computed_faults(configuration, index),
        job_faults(configuration, index),
    )
    return in_file_order(chain.from_iterable(first_faults(check) for check in checks))


def first_faults(faults: Iterable[Fault]) -> Iterator[Fault]:
    """The first faults, and a last one that says that there are more."""
    iterator = iter(faults)
    last = None
    for last in islice(iterator, MOST_FAULTS):
        yield last
    if last is not None and next(iterator, None) is not None:
        yield Fault(last.location, f"there are more than {MOST_FAULTS} faults of this kind; correct these first")


def in_file_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Returns the faults sorted by file and line.

    Those without a location come first.
    """

    def place(fault: Fault) -> tuple[str, int]:
        return ("", 0) if fault.location is None else (fault.location.file, fault.location.line or 0)

    return tuple(sorted(faults, key=place))
