"""All faults that keep a configuration from running.

They are the faults that only the whole configuration shows: names that are used twice or refer to nothing, missing
keys, tasks that wait for each other. Expressions are checked where they are parsed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import Fault
from deltamark.domain.validation.computed_properties import computed_faults
from deltamark.domain.validation.identifiers import identifier_faults
from deltamark.domain.validation.jobs import job_faults
from deltamark.domain.validation.mappings import mapping_faults
from deltamark.domain.validation.references import Index, reference_faults

MOST_FAULTS = 200
"""More faults would not help, and finding the nearest name for each takes time."""


def faults(configuration: Configuration) -> tuple[Fault, ...]:
    """The faults that keep a configuration from running, in file order.

    Returns at most 200 faults. Reads nothing but the configuration itself.
    """
    index = Index.of(configuration)
    all_faults = chain(
        identifier_faults(configuration),
        reference_faults(configuration, index),
        mapping_faults(configuration, index),
        computed_faults(configuration, index),
        job_faults(configuration, index),
    )
    return in_file_order(islice(all_faults, MOST_FAULTS))


def in_file_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Returns the faults sorted by file and line.

    Those without a location come first.
    """

    def place(fault: Fault) -> tuple[str, int]:
        return ("", 0) if fault.location is None else (fault.location.file, fault.location.line or 0)

    return tuple(sorted(faults, key=place))
