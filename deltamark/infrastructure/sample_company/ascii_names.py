"""The spelling of names in mail addresses and logins."""

from __future__ import annotations

import unicodedata

_LETTERS = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "ß": "ss",
        "æ": "ae",
        "ø": "o",
        "å": "a",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ı": "i",
    }
)


def plain(name: str) -> str:
    """A name in letters a to z and hyphens.

    ``Jürgen`` gives ``juergen``, ``O'Brien`` gives ``obrien``.
    """
    letters = unicodedata.normalize("NFC", name.lower()).translate(_LETTERS)
    bare = unicodedata.normalize("NFD", letters)
    return "".join(letter for letter in bare if "a" <= letter <= "z" or letter == "-")


def without_marks(name: str) -> str:
    """A name without diacritics: ``Jürgen Łoś`` gives ``Juergen Los``."""
    return "".join(_plain_letter(letter) for letter in name)


def _plain_letter(letter: str) -> str:
    if letter < "\x80":
        return letter
    letters = plain(letter)
    return letters.capitalize() if letter.isupper() else letters
