"""Finds what a value of a link that names no resource was probably meant to name."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from deltamark.domain.synchronization.keys import UNSEEN
from deltamark.domain.synchronization.spellings import differences
from deltamark.domain.values import shown

MOST_COMPARED = 200_000
"""Values of resources. Among more it would take seconds in every run in which a link names nothing."""
_UNSEEN = rf"[{UNSEEN}\s\\]+"
_SEPARATORS = (";", "|", ",", "\n")


def near_names(missing: pa.Array, known: pa.Array, separator: str) -> Mapping[str, str]:
    """What is said of values that no resource has and that nearly fit: value -> the end of a sentence.

    :param known: the values that resources have.
    :param separator: the attribute that splits cells of this column.
    """
    if not len(known):
        return {}
    missing = missing.unique()
    by_form = dict(zip(_form(known).to_pylist(), known.to_pylist(), strict=True))
    remarks = {}
    for value, form in zip(missing.to_pylist(), _form(missing).to_pylist(), strict=True):
        near = by_form.get(form)
        different = differences(value, near) if near is not None else []
        if different:
            remarks[value] = _differs(near, different)
    others = [value for value in missing.to_pylist() if value not in remarks]
    return {**remarks, **_several(others, known, separator)}


def _differs(near: object, different: list[str]) -> str:
    return f"; it differs from {shown(near)} in {' and in '.join(different)}"


def _form(values: pa.Array) -> pa.Array:
    """A coarse form: what is the same to `differences` has the same one, but for rare letters."""
    text = pc.utf8_lower(pc.utf8_normalize(values, form="NFKC"))
    return pc.replace_substring_regex(text, pattern=_UNSEEN, replacement="")


def _several(values: list[str], known: pa.Array, separator: str) -> Mapping[str, str]:
    """Values that are several known values with a separator between them."""
    parts = {
        (value, sign): [part.strip() for part in value.split(sign)]
        for value in values
        for sign in _SEPARATORS
        if sign in value
    }
    if not parts:
        return {}
    searched = pa.array(list({part for listed in parts.values() for part in listed}), pa.string())
    there = set(searched.filter(pc.is_in(searched, value_set=known)).to_pylist())
    return {
        value: f'; the cell holds several values, which {separator}="{"&#10;" if sign == chr(10) else sign}" on the '
        "mapping splits"
        for (value, sign), listed in parts.items()
        if len(there.intersection(listed)) > 1 or (there.intersection(listed) and len(listed) == 2)
    }
