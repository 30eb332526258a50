"""Keys as extracts write them: what around a key is not part of it, and when most keys were only written otherwise."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import TypeAlias

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.messages import how_many
from deltamark.domain.values import shown

_RANGES = (
    (0x00, 0x20),  # controls (among them 0x1A, the end-of-file sign of old programs) and the blank
    (0x7F, 0xA0),
    (0xAD, 0xAD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x180E, 0x180E),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
)

INVISIBLE = "".join(chr(code) for first, last in _RANGES for code in range(first, last + 1))
"""White space, controls and characters of no width, such as the byte order mark: around a key they are not part of it,
and a cell of these alone is empty."""

UNSEEN = "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in _RANGES).replace("20}", "1F}", 1)
"""The characters that nobody sees, as ranges of a regular expression; the blank is none of them."""

_JOINERS = "\u200c\u200d"

ENOUGH = 20
"""Of so many resources, or links, most are not replaced on a normal day, even if nothing shows that they are the
same."""

Key: TypeAlias = tuple[str, ...]
"""The key of a resource, or the keys of the two ends of a link."""


def stripped(key: str) -> str:
    """A key without the characters around it that are not part of it."""
    return key.strip(INVISIBLE)


def look(key: str) -> str:
    """A key as people see it: without invisible characters, composed, with plain blanks.

    Joiners count where they change what is seen: in scripts whose letters join, and between emoji.
    """
    text = unicodedata.normalize("NFC", key)
    visible = (
        char if char in _JOINERS and _joins(text[:place]) else seen
        for place, char in enumerate(text)
        for seen in ["".join(_visible(char))]
    )
    return "".join(visible).strip()


def _joins(before: str) -> bool:
    """Whether a joiner after this text changes what is seen: not after letters of Latin, Greek or Cyrillic."""
    letters = before.rstrip(INVISIBLE)
    return bool(letters) and letters[-1] >= "\u0530"


def escaped(key: str) -> str:
    """A key in quotes, in which characters that nobody sees are written as such."""
    return shown("".join(char if char == " " or not _is_hidden(char) else ascii(char)[1:-1] for char in key), 80)


def _is_hidden(char: str) -> bool:
    return char in INVISIBLE or unicodedata.category(char).startswith("M")


@frozen(kw_only=True)
class KeyChange:
    """Keys that an extract writes otherwise than the store: what they mean would be deleted and created again.

    :param subject: the entity type or association.
    :param noun: `resource` or `link`.
    :param held: how many there were.
    :param gained: how many would be created; for links also those whose row names what does not exist.
    :param pairs: some keys, as the store and as the extract writes them.
    :param count: how many such pairs there are.
    :param is_deleted: whether what is missing would be deleted; an incomplete extract deletes nothing.
    """

    subject: str
    noun: str
    held: int
    lost: int
    gained: int
    pairs: tuple[tuple[Key, Key], ...] = field(converter=as_tuple, default=())
    count: int = 0
    is_deleted: bool = True

    def __str__(self) -> str:
        """Returns a clause without a full stop."""
        how_much = "most keys" if max(self.count, min(self.lost, self.gained)) * 2 > self.held else "keys"
        examples = [_change(before, after) for before, after in self.pairs]
        if examples and self.count > len(examples):
            examples.append(f"{self.count - len(examples):,} more like these")
        listed = f": {', '.join(examples)}" if examples else ""
        lost = f"{self.lost:,} of {how_many(self.held, self.noun)} would be"
        if not self.is_deleted:
            gone = f"{self.lost:,} of {how_many(self.held, self.noun)} are missing in the extract"
            return f"{how_much} of {self.subject} changed{listed}; {gone} and {self.gained:,} would be created"
        if self.noun == "link":
            done = f"{lost} removed, and {how_many(self.gained, 'row')} would add others or name what does not exist"
        else:
            done = f"{lost} deleted and {self.gained:,} created"
        return f"{how_much} of {self.subject} changed{listed}; {done}"


def key_change(
    subject: str,
    noun: str,
    lost: Mapping[Key, Hashable],
    gained: Mapping[Key, Hashable],
    count_held: Callable[[int | None], int],
    *,
    replaced: int,
    is_deleted: bool = True,
) -> KeyChange | None:
    """Returns the change of keys that a complete extract shows, or None on a normal day.

    Such a change is shown by:

    - one key of another look: with invisible characters, other blanks, composed otherwise,
    - more than a tenth of the keys as the same numbers written otherwise (``7`` and ``007``, ``1.0``, ``1E+05``),
    - more than half of the keys in another letter case or width, or with the same other values under another key,
    - more than half replaced, of at least `ENOUGH`.

    :param lost: key -> other values (None where they are not known), of what the extract does not hold.
    :param gained: the same of what is new in it.
    :param count_held: counts what the store held, up to a number or all.
    :param replaced: how many of those are replaced by others.
    :param is_deleted: whether what is lost would be deleted.
    """
    if not lost or not gained:
        return None
    looks = _pairs(lost, gained, _look)
    numbers = looks or _pairs(lost, gained, _number)
    same = {**_pairs_by_values(lost, gained), **(numbers or _pairs(lost, gained, _folded))}
    held = count_held(max(ENOUGH, len(numbers) * 10, len(same) * 2, replaced * 2))
    if looks or len(numbers) * 10 > held:
        pairs = numbers
    elif len(same) * 2 > held or (held >= ENOUGH and replaced * 2 > held):
        pairs = same
    else:
        return None
    return KeyChange(
        subject=subject,
        noun=noun,
        held=count_held(None),
        lost=len(lost),
        gained=len(gained),
        pairs=tuple(islice(pairs.items(), 3)),
        count=len(pairs),
        is_deleted=is_deleted,
    )


def _pairs(lost: Iterable[Key], gained: Iterable[Key], form: Callable[[str], str]) -> dict[Key, Key]:
    """The lost keys that are gained in another spelling of the same form."""
    by_form = {tuple(map(form, key)): key for key in gained}
    pairs = ((key, by_form.get(tuple(map(form, key)))) for key in lost)
    return {key: other for key, other in pairs if other is not None}


def _pairs_by_values(lost: Mapping[Key, Hashable], gained: Mapping[Key, Hashable]) -> dict[Key, Key]:
    """The lost keys whose other values are gained under another key: values that no other key has, at least two."""
    before, after = _unique(lost), _unique(gained)
    pairs = {key: after[values] for values, key in before.items() if values in after}
    return pairs if len(pairs) > 1 else {}


def _unique(keys: Mapping[Key, Hashable]) -> dict[Hashable, Key]:
    unique: dict[Hashable, Key] = {}
    repeated: set[Hashable] = set()
    for key, values in keys.items():
        if values is None:
            continue
        if values in unique:
            repeated.add(values)
        unique[values] = key
    return {values: key for values, key in unique.items() if values not in repeated}


def _look(key: str) -> str:
    """A key without invisible characters, composed, with plain blanks: keys of one look are the same to the eye."""
    if key.isascii() and key.isprintable():
        return key.strip()
    text = "".join(_visible(unicodedata.normalize("NFC", key)))
    return text.strip()


def _visible(text: str) -> Iterator[str]:
    for char in text:
        if char.isspace():
            yield " "
        elif char not in INVISIBLE:
            yield char


_NUMBER = re.compile(r"[+-]?([0-9]{1,100}([.,][0-9]{0,100})?|[.,][0-9]{1,100})([eE][+-]?[0-9]{1,2})?")


def _number(key: str) -> str:
    """A key that is a number, in its shortest form."""
    text = _look(key)
    if not _NUMBER.fullmatch(text):
        return text
    number = Decimal(text.replace(",", "."))
    return f"{number.normalize():f}" if number else "0"


def _folded(key: str) -> str:
    """A key without regard to letter case and width."""
    return unicodedata.normalize("NFKC", _number(key)).casefold()


def _change(before: Key, after: Key) -> str:
    same_look = any(a != b and _look(a) == _look(b) for a, b in zip(before, after, strict=True))
    return f"{_spelled(before, escape=same_look)} → {_spelled(after, escape=same_look)}"


def _spelled(key: Key, *, escape: bool) -> str:
    return " ".join(shown(ascii(part)[1:-1] if escape else part, 40) for part in key)
