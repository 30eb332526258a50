"""The reader of LDIF: what it gives, and what it refuses with its line."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.infrastructure.ldap.ldif.reader import LdifError, LdifReader
from tests.tiers import examples, law

GOOD = b"""version: 1

# the first one
dn: uid=a,dc=x
objectClass: top
cn: Ann
 a Adler
# a comment
  that goes on
mail:a@x.example
description:
jpegPhoto:: /9j/

dn:: dWlkPWIsZGM9eA==
cn;lang-de: Bob
cn;lang-de: Bobby
"""


def blocks(content: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def read(content: bytes, size: int = 1 << 20, wanted=None):
    return list(LdifReader(blocks(content, size), wanted).entries())


ENTRIES = [
    (
        b"uid=a,dc=x",
        {
            "objectclass": [b"top"],
            "cn": [b"Anna Adler"],
            "mail": [b"a@x.example"],
            "description": [b""],
            "jpegphoto": [b"\xff\xd8\xff"[:3]],
        },
    ),
    (b"uid=b,dc=x", {"cn;lang-de": [b"Bob", b"Bobby"]}),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_records_are_the_same_whatever_the_portions_and_line_ends(size, line_end):
    content = GOOD.replace(b"\n", line_end)

    assert read(content, size) == ENTRIES
    assert read(b"\xef\xbb\xbf" + content + line_end * 3) == ENTRIES
    assert read(content, wanted=["cn"]) == [(b"uid=a,dc=x", {"cn": [b"Anna Adler"]}), ENTRIES[1]]


RECORD = b"dn: uid=a,dc=x\ncn: Ann\n"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (RECORD[:-1], 2, "the last line does not end: the file was cut off"),
        (RECORD + b"jpegPhoto:: /9j\n", 3, "the value is no base64"),
        (RECORD + b"jpegPhoto:: ?9j/\n", 3, "the value is no base64"),
        (RECORD + b"jpegPhoto:< file:///etc/passwd\n", 3, "URLs are never followed"),
        (RECORD + b"cn: :x\n", 3, "a value that begins with : must be in base64"),
        (RECORD + b"cn: <x\n", 3, "a value that begins with < must be in base64"),
        (RECORD + b"cn: \xff\n", 3, "it is not text in UTF-8"),
        (RECORD + b"cn: a\0b\n", 3, "it has a character NUL"),
        (RECORD + b"cn: a\rb\n", 3, "a carriage return stands alone"),
        (RECORD + b"cn\n", 3, "is no attribute with a colon"),
        (RECORD + b"c n: x\n", 3, "has no name of an attribute"),
        (RECORD + b"member;range=0-1499: x\n", 3, "holds a part of the values only"),
        (RECORD + b"dn: uid=b,dc=x\ncn: Bob\n", 1, "the record has two names"),
        (RECORD + b"\n  x\n", 4, "it goes on a blank line"),
        (b" x\n" + RECORD, 1, "it goes on a blank line"),
        (RECORD + b"\ncn: Bob\ndn: uid=b,dc=x\n", 4, "does not begin with dn:"),
        (RECORD + b"\ndn: uid=b,dc=x\n", 4, "the record has a name and no attribute"),
        (RECORD + b"\ndn: uid=b,dc=x\nchangetype: delete\n", 4, "this record is a change"),
        (RECORD + b"\ndn: uid=b,dc=x\nreplace: cn\ncn: x\n-\nchangetype: modify\n", 4, "this record is a change"),
        (b"version: 2\n" + RECORD, 1, "the version is not 1"),
        (RECORD + b"\n# end 2\n", 4, "the file ends here with 2 records, and 1 are there"),
        (RECORD + b"\n# end 1\n\n" + RECORD, 6, "a record follows the comment"),
    ],
)
def test_what_is_no_content_is_refused_with_its_line(content, line, reason):
    before = b"".join(b"dn: uid=%d,dc=x\ncn: a\n b\n\n\n" % number for number in range(3))
    is_whole = content.startswith((b"version", b" "))

    for prefix in [b""] if is_whole else [b"", before]:
        if b"# end" in content and prefix:
            continue
        for size in (1, 1 << 20):
            with pytest.raises(LdifError) as caught:
                read(prefix + content, size)

            assert reason in caught.value.reason
            assert caught.value.line == line + prefix.count(b"\n")


def test_an_end_mark_that_counts_right_is_accepted():
    assert len(read(RECORD + b"\n# end 1\n")) == 1


def test_an_end_mark_of_changes_is_accepted():
    assert len(read(RECORD + b"\n# end count=7 until=9 store=x sha256=" + b"0" * 64 + b"\n")) == 1


VALUES = st.one_of(st.text(max_size=80).map(str.encode), st.binary(max_size=80))
NAMES = st.sampled_from(["cn", "mail", "description", "member", "cn;lang-fr"])


def written(entries, draw) -> bytes:
    lines = []
    for dn, attributes in entries:
        for name, values in [("dn", [dn]), *attributes.items()]:
            for value in values:
                is_safe = value.isascii() and value[:1] not in (b" ", b":", b"<") and not set(value) & {0, 10, 13}
                line = f"{name}: ".encode() + value
                if not is_safe or value.endswith(b" "):
                    line = f"{name}:: ".encode() + base64.b64encode(value)
                while draw.random() < 0.3 and len(line) > 2:
                    cut = draw.randrange(1, len(line))
                    lines.append(line[:cut])
                    line = b" " + line[cut:]
                lines.append(line)
            if draw.random() < 0.1:
                lines.append(b"# a comment")
        lines += [b""] * draw.choice([1, 1, 2, 3])
    return draw.choice([b"\n", b"\r\n"]).join(lines) + b"\n"


@law(60)
@given(
    entries=st.lists(
        st.tuples(
            st.text(min_size=1, max_size=30).map(str.encode),
            st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), min_size=1),
        ),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 2**32),
)
def test_what_is_written_is_read(entries, seed):
    draw = random.Random(seed)
    content = written(entries, draw)

    assert read(content, draw.choice([1, 5, 64, 1 << 16])) == entries


def mutated(draw: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(changed) + 1)
        what = draw.randrange(4)
        if what == 0:
            changed[at:at] = draw.choice(
                [b"\n", b" ", b":", b"\r", b"\0", b"\xff", b"#", b"<", b"-\n", b"\n\n", b"dn: "]
            )
        elif what == 1:
            del changed[at : at + draw.randrange(1, 40)]
        elif what == 2 and at < len(changed):
            changed[at] = draw.randrange(256)
        else:
            other = draw.randrange(len(changed) + 1)
            changed[at:at] = changed[other : other + draw.randrange(60)]
        if not changed:
            break
    return bytes(changed)


def test_a_mutated_file_is_read_or_refused_with_its_line():
    rounds = examples(70_000)
    draw = random.Random(18)
    refused, lines = 0, []
    for _ in range(rounds):
        content = mutated(draw, GOOD)
        try:
            read(content, draw.choice([8, 1 << 20]))
        except LdifError as error:
            refused += 1
            lines.append((error.line, content.count(b"\n") + 1))
    assert refused > rounds / 10, "the mutations must do harm"
    assert all(1 <= line <= last for line, last in lines)
