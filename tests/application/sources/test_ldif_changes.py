"""Files of changes: what they leave of the entries of a file of content, and changes that do not fit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from deltamark import TaskState
from deltamark.infrastructure.ldap.ldif import delta
from tests.application.sources.test_ldif import COLUMNS, LDIF, TABLES
from tests.ldap.test_ldif_reader import mutated
from tests.scenarios.database_source import messages
from tests.scenarios.file_source import GROUP, MEMBER, PERSON, FileSource, configuration
from tests.stores import NewStore
from tests.tiers import examples

CHANGED = {
    PERSON: {**TABLES[PERSON], "ChangeFiles": "changes-*.ldif"},
    GROUP: {**TABLES[GROUP], "ChangeFiles": "changes-*.ldif"},
    MEMBER: TABLES[MEMBER],
}
A = "uid=a,ou=People,dc=x"
B = "uid=b\\2C c,ou=people,dc=x"
MODIFIED = f"dn: {A}\nchangetype: modify\nreplace: cn\ncn: Anna\n-\n"
ADDED = "dn: uid=d,ou=People,dc=x\nchangetype: add\nobjectClass: inetOrgPerson\ncn: Dora\nentryUUID: D1\n"
DELETED = f"dn: {B}\nchangetype: delete\n"


@pytest.fixture
def ldif(new_store: NewStore, tmp_path: Path):
    with FileSource(new_store(), tmp_path, configuration("Ldif", CHANGED, COLUMNS)) as source:
        source.write("company.ldif", LDIF.replace("member: uid=gone,ou=People,dc=x\n", ""))
        yield source


def test_changes_are_applied_in_the_order_of_the_names_of_their_files(ldif: FileSource) -> None:
    ldif.run()
    ldif.write("changes-9.ldif", f"version: 1\n\n{MODIFIED}\n{DELETED}")
    ldif.write(
        "changes-10.ldif",
        f"# the last ones\n{ADDED}\ndn: {A}\nchangetype: modify\nreplace: cn\ncn: Annabel\n-\n\n"
        "dn: cn=All,dc=x\nchangetype: modify\nadd: member\nmember: uid=d,ou=People,dc=x\n-\n"
        f"delete: member\nmember: uid=A,ou=people,dc=x\nmember: {B}\n",
    )

    run = ldif.run()

    assert run.state is TaskState.COMPLETED
    assert ldif.stored() == {"A1": "Annabel", "D1": "Dora"}
    assert ldif.members() == {("G1", "D1")}
    assert "no file changed" in messages(ldif.run())


def test_a_renamed_or_moved_entry_stays_the_same_resource_with_its_new_name(ldif: FileSource) -> None:
    ldif.run()
    ldif.write(
        "changes-1.ldif",
        f"dn: {A}\nchangetype: modrdn\nnewrdn: uid=anna\ndeleteoldrdn: 1\n\n"
        "dn: cn=All,dc=x\nchangetype: modify\nreplace: member\nmember: uid=anna,ou=Staff,dc=x\n-\n\n"
        "dn: ou=People,dc=x\nchangetype: moddn\nnewrdn: ou=Staff\ndeleteoldrdn: 1\nnewsuperior: dc=x\n\n"
        "dn: cn=All,dc=x\nchangetype: modrdn\nnewrdn: cn=Everybody\ndeleteoldrdn: 1\n",
    )

    run = ldif.run()

    assert run.state is TaskState.COMPLETED
    assert (run.counts.inserted, run.counts.updated, run.counts.deleted) == (0, 1, 0)
    assert ldif.stored(GROUP) == {"G1": "Everybody"}
    assert ldif.members() == {("G1", "A1")}
    assert ldif.stored() == {"A1": "Zöe", "B1": "Bob"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            f"dn: {A}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: X\nentryUUID: X\n",
            "UID=a,OU=people,DC=x is added, and is there already",
        ),
        (f"dn: {A}\nchangetype: modify\ndelete: cn\ncn: Eva\n-\n", "a value of cn is deleted, and is not there"),
        (f"dn: {A}\nchangetype: modify\nadd: cn\ncn:: WsO2ZQ==\n-\n", "a value of cn is added, and is there already"),
        (f"dn: {A}\nchangetype: modify\nincrement: cn\ncn: 1\n-\n", "cn is incremented, and is no number"),
        (
            f"dn: {A}\nchangetype: modrdn\nnewrdn: {B.partition(',')[0]}\ndeleteoldrdn: 1\n",
            "UID=a,OU=people,DC=x is renamed to UID=b\\, c,OU=people,DC=x, which is there already",
        ),
        (
            "dn: cn=All,dc=x\nchangetype: modify\ndelete: member\nmember: uid=z,dc=x\n-\n",
            "a value of member is deleted, and is not there (of CN=all,DC=x)",
        ),
        ("dn: uid=z,dc=x\nchangetype: delete\n", "UID=z,DC=x is deleted, and is not there"),
        ("dn: uid=y,dc=x\nchangetype: modify\nadd: cn\ncn: Y\n", "UID=y,DC=x is modified, and is not there"),
        (ADDED, "UID=d,OU=people,DC=x is added, and is there already"),
    ],
)
def test_a_change_that_does_not_fit_refuses_all(ldif: FileSource, changes: str, reason: str) -> None:
    ldif.run()
    before = (ldif.stored(), ldif.stored(GROUP), ldif.members(), ldif.engine.places())
    ldif.write("changes-1.ldif", f"{ADDED}\n{changes}")

    for job in ("Changes", "Everything"):
        run = ldif.run(job)

        assert run.state is TaskState.FAILED
        assert f"changes-1.ldif, line 7: {reason}" in messages(run), messages(run)
        assert "export company.ldif again, with all entries, and remove the files of changes" in messages(run)
        assert (ldif.stored(), ldif.stored(GROUP), ldif.members(), ldif.engine.places()) == before


def test_what_is_new_in_files_of_changes_is_a_delta(ldif: FileSource) -> None:
    ldif.run()
    ldif.write("changes-1.ldif", f"{MODIFIED}\n{ADDED}")

    run = ldif.run()

    assert "what changed was read (2 rows)" in messages(run)
    assert (run.counts.inserted, run.counts.updated, run.counts.deleted) == (1, 1, 0)
    ldif.write("changes-1.ldif", f"{MODIFIED}\n{ADDED}\n{DELETED}")  # it grows, as the log of a server does
    ldif.write("changes-2.ldif", "dn: uid=d,ou=People,dc=x\nchangetype: modify\nreplace: cn\ncn: Dorothy\n-\n")

    run = ldif.run()

    assert "what changed was read (5 rows)" in messages(run)  # two of people, and all of the group
    assert ldif.stored() == {"A1": "Anna", "D1": "Dorothy"}
    assert ldif.members() == {("G1", "A1")}
    assert "no file changed" in messages(ldif.run())


@pytest.mark.parametrize(
    "file",
    [
        pytest.param("dn: uid=q,dc=x\nchangetype: add\nobjectClass: inetOrgPerson\ncn: Q\nentryUUID: Q\n", id="other"),
        pytest.param(MODIFIED, id="cut"),
        pytest.param("", id="empty"),
    ],
)
def test_changes_that_were_read_may_not_be_others_while_the_content_is_the_same(ldif: FileSource, file: str) -> None:
    ldif.run()
    ldif.write("changes-1.ldif", f"{MODIFIED}\n{ADDED}")
    ldif.run()
    before = ldif.stored()
    ldif.write("changes-1.ldif", file)

    run = ldif.run()

    assert run.state is TaskState.FAILED
    assert "changes-1.ldif holds something else than the changes that were read of it" in messages(run)
    assert ldif.stored() == before


def test_a_file_that_comes_late_is_applied_where_its_name_belongs(ldif: FileSource) -> None:
    ldif.run()
    ldif.write("changes-2.ldif", MODIFIED)
    ldif.run()
    ldif.write("changes-1.ldif", f"dn: {A}\nchangetype: modify\nreplace: cn\ncn: Eva\n-\n\n{ADDED}")

    run = ldif.run()

    assert run.state is TaskState.COMPLETED
    assert ldif.stored() == {"A1": "Anna", "B1": "Bob", "D1": "Dora"}
    assert "all entries were read, for a file of changes comes before changes-2.ldif" in messages(run)


def test_a_record_that_goes_on_behind_what_was_read_is_read_with_all(ldif: FileSource) -> None:
    ldif.run()
    ldif.write("changes-1.ldif", MODIFIED)
    ldif.run()
    ldif.write("changes-1.ldif", f"{MODIFIED}add: cn\ncn: Zoe\n-\n")

    run = ldif.run()

    assert "first one in sorted order" in messages(run)
    assert ldif.stored()["A1"] == "Anna"
    assert "all entries were read, for the last change that was read of changes-1.ldif goes on" in messages(run)


def test_an_identifier_that_comes_twice_is_found_by_reading_all(ldif: FileSource) -> None:
    ldif.run()
    ldif.write("changes-1.ldif", ADDED.replace("D1", "A1"))

    run = ldif.run()

    assert run.state is TaskState.WARNING
    assert ldif.stored() == {"A1": "Zöe", "B1": "Bob"}
    assert "all entries were read, for an identifier of an entry is missing, or that of another one" in messages(run)


def test_a_table_of_which_no_entry_is_left_is_empty(ldif: FileSource) -> None:
    ldif.run()
    ldif.write("company.ldif", LDIF[: LDIF.index("dn: cn=All")] + LDIF[LDIF.index("dn: uid=a,") :])

    run = ldif.run()

    assert run.state is TaskState.BLOCKED
    assert "HR_Group" in messages(run)
    assert ldif.stored(GROUP) == {"G1": "All"}


def test_new_content_may_hold_the_changes_but_they_must_not_just_vanish(ldif: FileSource) -> None:
    ldif.run()
    path = ldif.write("changes-1.ldif", MODIFIED)
    ldif.run()
    path.unlink()

    run = ldif.run()

    assert run.state is TaskState.FAILED
    assert "changes-1.ldif, whose changes were read before, is gone, and company.ldif is as before" in messages(run)
    assert ldif.stored()["A1"] == "Anna"
    ldif.write("company.ldif", LDIF.replace("cn:: WsO2ZQ==", "cn: Anna Z."))
    assert ldif.run().state is not TaskState.FAILED
    assert ldif.stored()["A1"] == "Anna Z."


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (MODIFIED[:-1], "line 5: the last line does not end: the file was cut off"),
        (f"dn: {A}\ncn: X\n", "line 2: changetype: is expected in the place of"),
        (f"dn: {A}\nchangetype: moved\n", "line 2: the changetype is none of add, delete, modify, modrdn, moddn"),
        (f"dn: {A}\nchangetype: delete\ncn: X\n", "line 3: a record of the changetype delete ends before this line"),
        (f"dn: {A}\nchangetype: modify\ncn: X\n", "line 3: add:, delete:, replace: or increment: is expected"),
        (f"dn: {A}\nchangetype: modify\nadd: cn\nsn: X\n", "line 4: a value of"),
        (f"dn: {A}\nchangetype: modify\nadd: cn\n-\n", "line 3: add has no value"),
        (f"dn: {A}\nchangetype: modify\nreplace: cn\ncn:< file:///etc/passwd\n", "line 4: a value is named by a URL"),
        (f"dn: {A}\nchangetype: modrdn\nnewrdn: uid=b\n", "line 3: deleteoldrdn: is expected"),
        (f"dn: {A}\nchangetype: modrdn\nnewrdn: uid=b\ndeleteoldrdn: 2\n", "line 4: deleteoldrdn is neither 0 nor 1"),
        (f"dn: {A}\ncontrol: 1.2.3 true\nchangetype: delete\n", "line 2: the control"),
        ("dn: nobody\nchangetype: delete\n", "line 1: 'nobody' is no distinguished name"),
        (f"{ADDED}dn: uid=e,dc=x\n", "line 1: the record has two names"),
    ],
)
def test_files_of_changes_that_cannot_be_read_change_nothing(ldif: FileSource, changes: str, problem: str) -> None:
    ldif.run()
    place = ldif.engine.places()
    ldif.write("changes-1.ldif", changes)

    run = ldif.run()

    assert run.state is TaskState.FAILED
    assert f"changes-1.ldif, {problem}" in messages(run)
    assert ldif.stored() == {"A1": "Zöe", "B1": "Bob"}
    assert ldif.engine.places() == place


def test_a_deletion_with_all_that_is_below(ldif: FileSource) -> None:
    ldif.write("changes-1.ldif", "dn: ou=people,dc=X\ncontrol: 1.2.840.113556.1.4.805\nchangetype: delete\n")

    assert ldif.run().state is not TaskState.FAILED
    assert ldif.stored() == {}


def test_the_probe_names_files_of_changes_and_what_is_wrong_in_them(ldif: FileSource) -> None:
    ldif.write("changes-1.ldif", DELETED)
    ldif.write("changes-2.ldif", "dn: uid=a\n")

    probe = ldif.engine.probe("HR_Source")

    assert any("changes of changes-1.ldif" in finding for finding in probe.findings)
    assert "changes-2.ldif, line 1: changetype: is expected" in probe.problems[0]


def test_tables_of_one_file_have_the_same_changes(new_store: NewStore, tmp_path: Path) -> None:
    tables = {PERSON: CHANGED[PERSON], GROUP: TABLES[GROUP]}
    with FileSource(new_store(), tmp_path, configuration("Ldif", tables, COLUMNS)) as source:
        source.write("company.ldif", LDIF)
        run = source.run()

    assert "HR_Person and HR_Group are of company.ldif, and not all have the same ChangeFiles" in messages(run)


class Directory:
    """A directory in memory that writes its content and what changes in it: an oracle of its own."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._next = 0
        self.parents = {"ou=a,dc=x", "ou=b,dc=x"}
        self.people: dict[str, dict[str, Any]] = {}
        self.members: set[str] = set()
        self.guests: set[str] = set()
        self.loose: set[str] = set()
        """The members of a group that nobody corrects: whoever has such a name is one."""

    def content(self) -> str:
        """Its entries as LDIF."""
        members = "".join(f"member: {name}\n" for name in sorted(self.members))
        units = "".join(f"\ndn: {name}\nobjectClass: organizationalUnit\n" for name in sorted(self.parents))
        people = "".join(
            f"\ndn: {name}\nobjectClass: inetOrgPerson\ncn: {entry['cn']}\nentryUUID: {entry['id']}\n"
            f"{'employeeType: guest' if name in self.guests else 'l: X'}\n"
            for name, entry in sorted(self.people.items())
        )
        loose = "".join(f"member: {name}\n" for name in sorted(self.loose))
        return (
            f"dn: cn=All,dc=x\nobjectClass: groupOfNames\ncn: All\nentryUUID: G\n{members}\n"
            f"dn: cn=Loose,dc=x\nobjectClass: groupOfNames\ncn: Loose\nentryUUID: L\n{loose}{units}{people}"
        )

    def state(self) -> tuple[dict[str, str], set[tuple[str, str]]]:
        """Names by identifiers, and members."""
        people = {name: entry["id"] for name, entry in self.people.items() if name not in self.guests}
        named = {entry["id"]: entry["cn"] for name, entry in self.people.items() if name in people}
        groups = {"G": self.members, "L": self.loose}
        return named, {(group, people[name]) for group, names in groups.items() for name in names if name in people}

    def change(self) -> str:
        """Changes something; gives the record."""
        kinds = [self._add, self._modify, self._delete, self._rename, self._join, self._leave, self._move_unit]
        kinds += [self._visit, self._join_loosely]
        return self._draw.choice(kinds if self.people else kinds[:1])()

    def _pick(self) -> str:
        return self._draw.choice(sorted(self.people))

    def _new_name(self) -> str:
        """The name of a new entry: a new one, or one that somebody had."""
        self._next += 1
        former = [name for name in self.loose - set(self.people) if name.partition(",")[2] in self.parents]
        if former and self._draw.random() < 0.5:
            return self._draw.choice(sorted(former))
        return f"uid=u{self._next},{self._draw.choice(sorted(self.parents))}"

    def _add(self) -> str:
        name = self._new_name()
        self.people[name] = {"id": f"i{self._next}", "cn": f"n{self._next}"}
        return f"dn: {name}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: n{self._next}\nentryUUID: i{self._next}\n"

    def _modify(self) -> str:
        name = self._pick()
        before, self.people[name]["cn"] = self.people[name]["cn"], f"m{self._draw.randrange(10**6)}"
        after = self.people[name]["cn"]
        return f"dn: {name.upper()}\nchangetype: modify\nadd: cn\ncn: {after}\n-\ndelete: cn\ncn: {before}\n-\n"

    def _visit(self) -> str:
        """Somebody becomes a guest, whom no table has, or is none any more."""
        name = self._pick()
        if self._are_few:
            return self._add()
        self.guests ^= {name}
        values = "employeeType: guest\n" if name in self.guests else ""
        return f"dn: {name}\nchangetype: modify\nreplace: employeeType\n{values}-\n"

    @property
    def _are_few(self) -> bool:
        return len(self.people) - len(self.guests) < 4

    def _delete(self) -> str:
        if self._are_few:
            return self._add()
        name = self._pick()
        left = self._leave_of(name)
        self.guests.discard(name)
        del self.people[name]
        return f"{left}dn: {name}\nchangetype: delete\n"

    def _rename(self) -> str:
        name = self._pick()
        relative, _, parent = self._new_name().partition(",")
        record = f"dn: {name}\nchangetype: modrdn\nnewrdn: {relative}\ndeleteoldrdn: 1\nnewsuperior: {parent}\n"
        return record + self._renamed({name: f"{relative},{parent}"})

    def _move_unit(self) -> str:
        unit = self._draw.choice(sorted(self.parents))
        self._next += 1
        new = f"ou=o{self._next},dc=x"
        self.parents = self.parents - {unit} | {new}
        names = {name: name.replace(unit, new) for name in self.people if name.endswith(f",{unit}")}
        return f"dn: {unit}\nchangetype: modrdn\nnewrdn: {new.partition(',')[0]}\ndeleteoldrdn: 1\n" + self._renamed(
            names
        )

    def _renamed(self, names: dict[str, str]) -> str:
        """Renames people, and in the group, as a server with referential integrity does."""
        records = ""
        for before, after in names.items():
            self.people[after] = self.people.pop(before)
            if before in self.guests:
                self.guests = self.guests - {before} | {after}
            if before in self.members:
                self.members = self.members - {before} | {after}
                records += f"\ndn: cn=All,dc=x\nchangetype: modify\ndelete: member\nmember: {before}\n-\n"
                records += f"add: member\nmember: {after}\n-\n"
        return records

    def _join_loosely(self) -> str:
        name = self._pick()
        if name in self.loose:
            return self._delete()
        self.loose.add(name)
        return f"dn: cn=Loose,dc=x\nchangetype: modify\nadd: member\nmember: {name}\n-\n"

    def _join(self) -> str:
        name = self._pick()
        if name in self.members:
            return self._modify()
        self.members.add(name)
        return f"dn: cn=All,dc=x\nchangetype: modify\nadd: member\nmember: {name}\n-\n"

    def _leave(self) -> str:
        return self._leave_of(self._pick()) or self._add()

    def _leave_of(self, name: str) -> str:
        if name not in self.members:
            return ""
        self.members.remove(name)
        return f"dn: cn=All,dc=x\nchangetype: modify\ndelete: member\nmember: {name}\n-\n\n"


def lived(folder: Path, seed: int, rounds: int) -> int:
    """Lives some rounds with files of changes beside others with new content; gives the number of deltas.

    :raises AssertionError: at the first round in which one of them is not what the directory is.
    """
    draw = random.Random(seed)
    directory, deltas = Directory(draw), 0
    for _ in range(20):
        directory.change()
    changed = FileSource("sqlite://", folder / "changed", configuration("Ldif", CHANGED, COLUMNS))
    whole = FileSource("sqlite://", folder / "whole", configuration("Ldif", TABLES, COLUMNS))
    with changed, whole:
        changed.write("company.ldif", directory.content())
        log, last = "", 0
        for number in range(rounds):
            changes = "\n".join(directory.change().rstrip("\n") + "\n" for _ in range(draw.randint(1, 12)))
            if log and draw.random() < 0.5:  # the last file grows
                log += f"\n{changes}"
            else:
                log, last = changes, number
            changed.write(f"changes-{last}.ldif", log)
            whole.write("company.ldif", directory.content())
            for source in (changed, whole):
                run = source.run(force_read=draw.random() < 0.2)
                assert run.state in (TaskState.COMPLETED, TaskState.WARNING), (seed, number, messages(run))
                assert (source.stored(), source.members()) == directory.state(), (seed, number)
                deltas += "all entries were read" not in messages(run) and source is changed
            if draw.random() < 0.2:  # content that holds the changes takes their place
                for path in changed.files.glob("changes-*.ldif"):
                    path.unlink()
                changed.write("company.ldif", directory.content())
                log = ""
        assert changed.engine.verify().is_sound
    return deltas


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.many)])
def test_changes_leave_what_new_content_would_and_what_the_directory_has(tmp_path: Path, seed: int) -> None:
    assert lived(tmp_path, seed, examples(24)) > 0


@pytest.mark.parametrize(("fault", "seed"), [("links of others", 6), ("deletions", 5)])
def test_the_law_of_changes_finds_what_a_delta_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, seed: int
) -> None:
    if fault == "deletions":
        monkeypatch.setattr(delta, "DELETE", "merge")
    else:
        monkeypatch.setattr(delta, "_name_of", lambda value: None)

    with pytest.raises(AssertionError, match=rf"\({seed}, 1\)"):
        lived(tmp_path, seed, 2)


def test_mutated_files_of_changes_raise_the_error_of_sources_alone(tmp_path: Path) -> None:
    from deltamark.application.ports.sources import SourceUnreachable
    from deltamark.infrastructure.ldap.ldif.source import LdifFiles
    from tests.application.sources.test_ldif import _Tables, question

    ask = question(tmp_path, {name: CHANGED[name] for name in COLUMNS}, COLUMNS)
    (tmp_path / "company.ldif").write_text(LDIF)
    changes = (
        f"{MODIFIED}\n{ADDED}\n{DELETED}\ndn: {A}\ncontrol: 1.2.3 false: x\nchangetype: modrdn\nnewrdn: uid=q\n"
        "deleteoldrdn: 0\nnewsuperior: ou=x,dc=x\n"
    ).encode()
    draw, refused = random.Random(7), 0
    rounds = examples(1_500)
    for _ in range(rounds):
        (tmp_path / "changes-1.ldif").write_bytes(mutated(draw, changes))
        try:
            LdifFiles().snapshot(ask, _Tables())
        except SourceUnreachable:
            refused += 1

    assert refused > rounds / 10
