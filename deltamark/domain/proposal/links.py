"""Which columns refer to the keys of tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from deltamark.domain.messages import how_many
from deltamark.domain.proposal.keys import LONGEST_KEY, is_identifying
from deltamark.domain.proposal.names import evidence, key_rank
from deltamark.domain.proposal.profile import Answer, ColumnProfile, ColumnRef, Question, TableProfile
from deltamark.domain.values import DATES, PropertyType, shown

SEPARATORS = (";", "|", ",", "/")
"""Signs that may separate several values in a cell."""

_LEAST_SHARE = 0.9
_OTHER_TYPES = {PropertyType.BOOL, PropertyType.DOUBLE, PropertyType.DECIMAL, *DATES}


@frozen(kw_only=True)
class LinkChoice:
    """A column whose values name resources of a table.

    :param why: what speaks for it, a clause.
    :param ignores_case: whether the values differ from the keys in letter case.
    :param is_directory_name: whether the values are distinguished names.
    :param is_unsure: whether a person must look at it.
    """

    source: ColumnRef
    target: ColumnRef
    separator: str | None = None
    why: str = ""
    ignores_case: bool = False
    is_directory_name: bool = False
    is_unsure: bool = False


def questions(tables: Sequence[TableProfile], keys: Mapping[str, str | None]) -> list[Question]:
    """What must be counted to find the links.

    :param keys: table -> the column that is its key, if it has one.
    """
    return [
        question
        for table in tables
        for column in table.columns
        if _may_refer(column)
        for target in tables
        for question in _questions_about(table, column, target, keys)
    ]


def _questions_about(
    table: TableProfile, column: ColumnProfile, target: TableProfile, keys: Mapping[str, str | None]
) -> Iterator[Question]:
    source, is_key = ColumnRef(table.table, column.name), keys[table.table] == column.name
    for key in target.columns:
        reference = ColumnRef(target.table, key.name)
        if reference == source or not key.filled:
            continue
        speaks = evidence(column.name, table.table, target.table, key.name)
        is_main = keys[target.table] == key.name
        if not is_main and not (is_identifying(key, target) and key_rank(key.name, target.table) >= 1):
            continue
        if (is_key or column.is_numeric or not is_main) and not speaks:
            continue  # consecutive numbers are found among all others
        if table.table == target.table and (is_key or (not speaks and is_identifying(column, table))):
            continue
        yield Question(source=source, target=reference, evidence=speaks)
        for separator in SEPARATORS:
            if not is_key and any(separator in value for value in column.sample):
                yield Question(source=source, target=reference, separator=separator, evidence=speaks)


def _may_refer(column: ColumnProfile) -> bool:
    if not column.filled or column.is_binary:
        return False
    kind = next((tried.reading.kind for tried in column.readings if tried.unreadable == 0), None)
    return kind not in _OTHER_TYPES and (
        column.longest <= LONGEST_KEY or any(";" in v or "|" in v for v in column.sample)
    )


def pairs_of(table: TableProfile, key: str | None, links: Sequence[LinkChoice]) -> tuple[LinkChoice, LinkChoice] | None:
    """The two columns of a table that holds nothing but pairs of keys of other tables, or None.

    :param key: the column that identifies its rows, if one does.
    """
    ends = [link for link in links if link.source.table == table.table and link.target.table != table.table]
    if len(ends) != 2 or any(end.separator for end in ends):
        return None
    columns = {end.source.column for end in ends}
    if key is None or (len(table.columns) == 2 and key in columns):
        return ends[0], ends[1]
    return None


def chosen_links(answers: Iterable[Answer]) -> list[LinkChoice]:
    """The links that the answers show, the likeliest for each column, in the order of the questions."""
    best: dict[ColumnRef, tuple[tuple[float, ...], LinkChoice]] = {}
    for answer in answers:
        choice = _choice(answer)
        if choice is None:
            continue
        question = answer.question
        share = max(answer.matched, answer.matched_in_any_case) / answer.values
        score = (question.evidence, share, not choice.ignores_case, question.separator is None)
        known = best.get(question.source)
        if known is None or score > known[0]:
            best[question.source] = (score, choice)
    return [choice for _, choice in best.values()]


def _choice(answer: Answer) -> LinkChoice | None:
    question = answer.question
    if not answer.values:
        return None
    ignores_case = answer.matched_in_any_case > answer.matched
    matched = max(answer.matched, answer.matched_in_any_case)
    is_whole = matched == answer.values
    if not is_whole and (matched < _LEAST_SHARE * answer.values or not question.evidence):
        return None
    if not question.evidence and (answer.values < 2 or ignores_case):
        return None
    target = f"{question.target.table}.{question.target.column}"
    if is_whole:
        count = "its one value is" if answer.values == 1 else f"all {answer.values:,} values are"
        why = f"{count} in {target}"
    else:
        missing = how_many(answer.values - matched, "value")
        verb = "is" if answer.values - matched == 1 else "are"
        why = (
            f"{missing} of {answer.values:,} {verb} not in {target}: {shown(answer.example, 30)} in line {answer.line}"
        )
    if ignores_case:
        why += ", if letter case does not count"
    return LinkChoice(
        source=question.source,
        target=question.target,
        separator=question.separator,
        why=why,
        ignores_case=ignores_case,
        is_unsure=not is_whole or not question.evidence,
    )
