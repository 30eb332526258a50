"""An LDAP directory on a real slapd: deltas are what complete readings are, and what the server itself says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve

from deltamark.application.ports.sources import PlaceLost, Question, Reached, SourceUnreachable, WantedTable
from deltamark.domain.secrets import Secret
from tests.servers.certificates import issued
from tests.servers.folding import Collected, Mirror, State
from tests.servers.slapd import ADMINISTRATOR, PASSWORD, READER, READER_PASSWORD, SUFFIX, Slapd
from tests.tiers import examples

# Each test starts a server.
pytestmark = pytest.mark.slow

UUID = "entryUUID"
KEYS = {"Person": UUID, "Sales": UUID, "Team": UUID}
LINKS = {"Member": "Team", "Manager": "Person"}
PEOPLE, STAFF = f"ou=people,{SUFFIX}", f"ou=staff,ou=people,{SUFFIX}"
NewSlapd = Callable[..., Slapd]


def question(server: Slapd, /, **settings: Any) -> Question:
    """Tables with and without filter and base, and links."""
    tables = (
        WantedTable(name="Person", columns=(UUID, "uid", "mail", "dn"), options={"ObjectClass": "inetOrgPerson"}),
        WantedTable(
            name="Sales",
            columns=(UUID, "cn"),
            options={"ObjectClass": "inetOrgPerson", "Filter": "(departmentNumber=Sales)", "Base": PEOPLE},
        ),
        WantedTable(name="Team", columns=(UUID, "cn", "description", "dn"), options={"ObjectClass": "groupOfNames"}),
        WantedTable(name="Member", columns=("owner", "value"), options={"Links": "Team", "Attribute": "member"}),
        WantedTable(name="Manager", columns=("owner", "value"), options={"Links": "Person", "Attribute": "manager"}),
    )
    return Question(
        connection="Directory",
        package="Ldap",
        settings={"server": server.address, "tls": "none", "user": ADMINISTRATOR, **settings},
        secrets={"password": lambda: Secret(PASSWORD)},
        tables=tables,
    )


def source() -> Any:
    """The source, which needs its library only when it is used."""
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    return LdapDirectory()


def snapshot(ask: Question) -> tuple[Reached, State]:
    """A complete reading, and what it adds up to."""
    rows, mirror = Collected(), Mirror(KEYS, LINKS, named_by="dn")
    reached = source().snapshot(ask, rows)
    mirror.replace(rows.rows)
    return reached, mirror.state


def oracle(client: Any) -> State:
    """What the server itself says, by plain searches."""
    import ldap

    def found(base: str, filtered: str) -> dict[str, dict[str, Any]]:
        entries = client.search_s(base, ldap.SCOPE_SUBTREE, filtered, ["*", "+"])
        return {values[UUID][0].decode(): {**values, "dn": [dn.encode()]} for dn, values in entries}

    def row(identity: str, values: dict[str, list[bytes]], *names: str) -> dict[str, str | None]:
        return {UUID: identity, **{name: values[name][0].decode() if name in values else None for name in names}}

    persons, teams = found(SUFFIX, "(objectClass=inetOrgPerson)"), found(SUFFIX, "(objectClass=groupOfNames)")
    by_dn = {values["dn"][0].lower(): key for key, values in {**persons, **teams}.items()}

    def pairs(owners: dict[str, dict[str, list[bytes]]], attribute: str) -> set[tuple[str, str]]:
        return {
            (key, by_dn[dn.lower()])
            for key, values in owners.items()
            for dn in values.get(attribute, [])
            if dn.lower() in by_dn
        }

    sales = found(PEOPLE, "(&(objectClass=inetOrgPerson)(departmentNumber=Sales))")
    return {
        "Person": {key: row(key, values, "uid", "mail", "dn") for key, values in persons.items()},
        "Sales": {key: row(key, values, "cn") for key, values in sales.items()},
        "Team": {key: row(key, values, "cn", "description", "dn") for key, values in teams.items()},
        "Member": pairs(teams, "member"),
        "Manager": pairs(persons, "manager"),
    }


def filled(server: Slapd) -> Any:
    """Units, and a connection for more."""
    client = server.client()
    client.add_s(SUFFIX, [("objectClass", [b"dcObject", b"organization"]), ("o", [b"Meridian"]), ("dc", [b"meridian"])])
    for dn in (PEOPLE, STAFF, f"ou=teams,{SUFFIX}"):
        client.add_s(dn, [("objectClass", [b"organizationalUnit"])])
    return client


def person(number: int) -> list[tuple[str, list[bytes]]]:
    """The values of a new person."""
    name = f"person{number}".encode()
    return [("objectClass", [b"inetOrgPerson"]), ("uid", [name]), ("cn", [name]), ("sn", [b"x"])]


class Edits:
    """Random edits of a directory."""

    def __init__(self, client: Any, random: Random) -> None:
        import ldap

        self.ldap, self.client, self.random = ldap, client, random
        self.done: list[str] = []
        self._number = 0
        for _ in range(8):
            self.add()
        for _ in range(3):
            self.group()

    def _of(self, filtered: str) -> list[str]:
        return sorted(dn for dn, _ in self.client.search_s(SUFFIX, self.ldap.SCOPE_SUBTREE, filtered, ["1.1"]))

    def _some(self, filtered: str) -> str:
        return self.random.choice(self._of(filtered))

    def add(self) -> None:
        """Creates a person."""
        self._number += 1
        values = person(self._number)
        if self.random.random() < 0.5:
            values.append(("departmentNumber", [b"Sales"]))
        self.client.add_s(f"uid=person{self._number},{self._some('(objectClass=organizationalUnit)')}", values)

    def group(self) -> None:
        """Creates a group."""
        self._number += 1
        members = self.random.sample(self._of("(objectClass=inetOrgPerson)"), 2)
        self.client.add_s(
            f"cn=team{self._number},{self._some('(objectClass=organizationalUnit)')}",
            [("objectClass", [b"groupOfNames"]), ("member", [dn.encode() for dn in members])],
        )

    def value(self) -> None:
        """Sets or clears a value."""
        name, value = self.random.choice(
            [
                ("mail", f"{self.random.randrange(99)}@meridian.example"),
                ("departmentNumber", self.random.choice(["Sales", "Support"])),
                ("manager", self._some("(objectClass=inetOrgPerson)")),
                ("telephoneNumber", "+1"),
            ]
        )
        new = None if self.random.random() < 0.4 else [value.encode()]
        self.client.modify_s(self._some("(objectClass=inetOrgPerson)"), [(self.ldap.MOD_REPLACE, name, new)])

    def member(self) -> None:
        """Puts a person or a group into a group, or takes a member out."""
        how = self.random.choice([self.ldap.MOD_ADD, self.ldap.MOD_DELETE])
        who = self._some(self.random.choice(["(objectClass=inetOrgPerson)", "(objectClass=groupOfNames)"]))
        self.client.modify_s(self._some("(objectClass=groupOfNames)"), [(how, "member", [who.encode()])])

    def rename(self) -> None:
        """Renames a person, or moves one."""
        self._number += 1
        dn = self._some("(objectClass=inetOrgPerson)")
        name = self.random.choice([f"uid=renamed{self._number}", dn.partition(",")[0]])
        self.client.rename_s(dn, name, newsuperior=self._some("(objectClass=organizationalUnit)"))

    def unit(self) -> None:
        """Creates a unit, or renames one with all that is below it, or moves it."""
        self._number += 1
        if self.random.random() < 0.4:
            parent = self._some("(objectClass=organizationalUnit)")
            self.client.add_s(f"ou=unit{self._number},{parent}", [("objectClass", [b"organizationalUnit"])])
            return
        dn = self.random.choice([unit for unit in self._of("(objectClass=organizationalUnit)") if unit != PEOPLE])
        elsewhere = self.random.choice([SUFFIX, PEOPLE, self._some("(objectClass=organizationalUnit)")])
        self.client.rename_s(dn, f"ou=unit{self._number}", newsuperior=elsewhere)

    def delete(self) -> None:
        """Deletes a person or a group."""
        self.client.delete_s(self._some("(|(objectClass=inetOrgPerson)(objectClass=groupOfNames))"))

    def any(self) -> None:
        """Does one of these; what the server refuses is no edit."""
        twice = [self.add, self.value, self.member]
        kind = self.random.choice([*twice, *twice, self.group, self.rename, self.unit, self.delete])
        try:
            kind()
        except (self.ldap.LDAPError, IndexError) as error:
            self.done.append(f"{kind.__name__}: {type(error).__name__}")
        else:
            self.done.append(kind.__name__)


def settled(client: Any) -> None:
    """Waits until the server has corrected the links to what was renamed or deleted: it does so by itself, later."""
    import ldap

    for _ in range(200):
        names = {dn.lower() for dn, _ in client.search_s(SUFFIX, ldap.SCOPE_SUBTREE, "(objectClass=*)", ["1.1"])}
        held = client.search_s(SUFFIX, ldap.SCOPE_SUBTREE, "(|(member=*)(manager=*))", ["member", "manager"])
        if all(value.decode().lower() in names for _, values in held for listed in values.values() for value in listed):
            return


@pytest.mark.parametrize("seed", [1, 2])
def test_deltas_are_complete_readings_and_what_the_server_says(new_slapd: NewSlapd, seed: int) -> None:
    random = Random(seed)
    server = new_slapd(session_log=40)
    ask = question(server)
    client = filled(server)
    edits = Edits(client, random)
    rows, mirror = Collected(), Mirror(KEYS, LINKS, named_by="dn")
    reached = source().snapshot(ask, rows)
    mirror.replace(rows.rows)
    lost = 0

    for number in range(examples(40)):
        edits.done.clear()
        for _ in range(random.randrange(1, 15)):
            edits.any()
        if number % 10 == 9:
            server.stop()
            server.start()
            client = edits.client = server.client()
        settled(client)
        delta = Collected()
        try:
            reached = source().changes(ask, reached.place, delta)
            mirror.apply(delta.rows)
        except PlaceLost:
            lost += 1
            rows = Collected()
            reached = source().snapshot(ask, rows)
            mirror.replace(rows.rows)

        expected = oracle(client)
        assert mirror.state == expected, edits.done
        assert snapshot(ask)[1] == expected
    assert lost < examples(40) / 2


def test_a_reading_in_which_nothing_changed_has_no_rows(new_slapd: NewSlapd) -> None:
    server = new_slapd()
    client = filled(server)
    client.add_s(f"uid=person1,{PEOPLE}", person(1))
    ask = question(server)
    reached, _ = snapshot(ask)

    rows = Collected()
    again = source().changes(ask, reached.place, rows)

    assert rows.rows == {}
    assert again.place == reached.place


def test_a_session_log_that_is_too_short_loses_the_place(new_slapd: NewSlapd) -> None:
    server = new_slapd(session_log=5)
    client = filled(server)
    for number in range(30):
        client.add_s(f"uid=person{number},{PEOPLE}", person(number))
    ask = question(server)
    reached, _ = snapshot(ask)
    for number in range(20):
        client.delete_s(f"uid=person{number},{PEOPLE}")

    rows = Collected()
    with pytest.raises(PlaceLost, match="deleted since"):
        source().changes(ask, reached.place, rows)


def test_a_restored_server_loses_the_place_also_where_it_went_on(new_slapd: NewSlapd) -> None:
    server = new_slapd()
    client = filled(server)
    client.add_s(f"uid=person1,{PEOPLE}", person(1))
    copy = server.backup()
    client = server.client()
    client.add_s(f"uid=person2,{PEOPLE}", person(2))
    ask = question(server)
    reached, _ = snapshot(ask)

    server.restore(copy)

    with pytest.raises(PlaceLost, match="restored from a backup"):
        source().changes(ask, reached.place, Collected())
    server.client().add_s(f"uid=person3,{PEOPLE}", person(3))
    with pytest.raises(PlaceLost):
        source().changes(ask, reached.place, Collected())


def test_a_cookie_that_is_altered_cut_off_or_of_the_future_loses_the_place(new_slapd: NewSlapd) -> None:
    from deltamark.infrastructure.ldap.places import sealed, unsealed

    server = new_slapd()
    filled(server)
    ask = question(server)
    place = snapshot(ask)[0].place
    assert place is not None
    future = {name: cookie.replace(b"csn=20", b"csn=21") for name, cookie in unsealed(place.cookie).items()}

    for bad in (
        evolve(place, cookie=place.cookie[:-9]),
        evolve(place, cookie=b""),
        evolve(place, cookie=b"garbage"),
        evolve(place, cookie=sealed(future)),
        evolve(place, cookie=sealed(dict.fromkeys(future, b"garbage"))),
        evolve(place, cookie=sealed({})),
    ):
        rows = Collected()
        with pytest.raises(PlaceLost):
            source().changes(ask, bad, rows)
        assert rows.count == 0


def test_a_server_without_content_synchronization_is_read_as_a_whole(new_slapd: NewSlapd) -> None:
    server = new_slapd(session_log=None)
    client = filled(server)
    for number in range(25):
        client.add_s(f"uid=person{number},{PEOPLE}", person(number))

    reached, state = snapshot(question(server, page_size=10))

    assert reached.place is None
    assert any("each reading is complete" in message for message in reached.messages)
    assert state == oracle(client)


@pytest.mark.parametrize("session_log", [None, 100])
def test_a_limit_of_the_server_voids_the_reading(new_slapd: NewSlapd, session_log: int | None) -> None:
    server = new_slapd(session_log=session_log, database=f'limits dn.exact="{READER}" size=20 size.prtotal=20')
    client = filled(server)
    client.add_s(
        READER,
        [
            ("objectClass", [b"organizationalRole", b"simpleSecurityObject"]),
            ("userPassword", [READER_PASSWORD.encode()]),
        ],
    )
    for number in range(50):
        client.add_s(f"uid=person{number},{PEOPLE}", person(number))
    ask = evolve(question(server, user=READER), secrets={"password": lambda: Secret(READER_PASSWORD)})

    with pytest.raises(SourceUnreachable, match=r"result (4|11)"):
        source().snapshot(ask, Collected())


def test_a_server_that_is_killed_midway_voids_the_reading(new_slapd: NewSlapd) -> None:
    server = new_slapd()
    client = filled(server)
    del client
    records = "\n\n".join(
        f"dn: uid=p{number},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: p{number}\ncn: p\nsn: {'x' * 200}"
        for number in range(30_000)
    )
    server.load(records)

    class Killing(Collected):
        def write(self, table: str, batch: Any) -> None:
            super().write(table, batch)
            server.kill()

    with pytest.raises(SourceUnreachable, match="midway"):
        source().snapshot(question(server), Killing())


def test_what_cannot_be_read_is_refused_with_what_to_do(new_slapd: NewSlapd, tmp_path: Path) -> None:
    certificate = issued(tmp_path / "good", "ldap.example")
    server = new_slapd(certificate=certificate)
    expired = new_slapd(certificate=issued(tmp_path / "old", "ldap.example", expired=True))
    named = new_slapd(certificate=issued(tmp_path / "other", "ldap.example", addresses=()))
    filled(server)
    safe = {"tls": "", "authority": str(certificate.authority)}
    ask = question(server, **safe)

    def refused(question: Question) -> str:
        with pytest.raises(SourceUnreachable) as caught:
            source().snapshot(question, Collected())
        return caught.value.problem

    def table(**options: str) -> Question:
        person = WantedTable(name="Person", columns=(UUID,), options={"ObjectClass": "inetOrgPerson", **options})
        return evolve(ask, tables=(person,))

    assert snapshot(ask)[0].place is not None
    assert "result 49" in refused(evolve(ask, secrets={"password": lambda: Secret("wr0ng")}))
    assert "empty password" in refused(evolve(ask, secrets={"password": lambda: Secret("")}))
    assert "empty password" in refused(evolve(ask, secrets={}))
    old = str(tmp_path / "old" / "authority.pem")
    assert "certificate is refused: certificate has expired" in refused(question(expired, **{**safe, "authority": old}))
    other = str(tmp_path / "other" / "authority.pem")
    assert "certificate is refused: IP address mismatch" in refused(question(named, **{**safe, "authority": other}))
    foreign = str(issued(tmp_path / "foreign", "foreign.example").authority)
    assert "certificate is refused: self-signed" in refused(question(server, **{**safe, "authority": foreign}))
    assert "cannot be read" in refused(question(server, **{**safe, "authority": str(tmp_path / "missing.pem")}))
    assert "not reached" in refused(question(server, tls="none", server="ldap://127.0.0.1:9"))
    assert "is not the address of a directory" in refused(question(server, server="http://127.0.0.1"))
    assert "has no server" in refused(question(server, server=""))
    assert "result 32" in refused(table(Base=f"ou=nowhere,{SUFFIX}"))
    assert "the attribute mial" in refused(table(Filter="(mial=*)"))
    assert "the filter of Person is wrong" in refused(table(Filter="(mail=*"))
    assert "holds secrets" in refused(
        evolve(ask, tables=(WantedTable(name="P", columns=("userPassword",), options={"ObjectClass": "person"}),))
    )


def test_referrals_are_told_and_not_followed(new_slapd: NewSlapd) -> None:
    server = new_slapd(session_log=None)
    client = filled(server)
    client.add_s(f"uid=person1,{PEOPLE}", person(1))
    from ldap.controls.simple import ManageDSAITControl

    client.add_ext_s(
        f"ou=elsewhere,{SUFFIX}",
        [
            ("objectClass", [b"referral", b"extensibleObject"]),
            ("ou", [b"elsewhere"]),
            ("ref", [b"ldap://127.0.0.1:9/ou=elsewhere,dc=example"]),
        ],
        serverctrls=[ManageDSAITControl()],
    )

    reached, state = snapshot(question(server))

    assert len(state["Person"]) == 1
    assert any("referred to other servers" in message for message in reached.messages)


def test_hostile_values_arrive_as_they_are(new_slapd: NewSlapd) -> None:
    import base64

    server = new_slapd()
    client = filled(server)
    names = ['a, "b" <c> #d; e\\', " leading", "=+x", "çŁ😀\u202e", "x'); drop table person; --", "a" * 5_000]
    for number, name in enumerate(names):
        values = [*person(number), ("description", [name.encode()]), ("jpegPhoto", [bytes(range(256))])]
        client.add_s(f"uid=person{number},{PEOPLE}", values)
    table = WantedTable(
        name="Person", columns=(UUID, "uid", "description", "jpegPhoto"), options={"ObjectClass": "inetOrgPerson"}
    )
    rows = Collected()

    source().snapshot(evolve(question(server), tables=(table,)), rows)

    found = {row["uid"]: row for row in rows.rows["Person"]}
    assert [found[f"person{number}"]["description"] for number in range(len(names))] == names
    assert {base64.b64decode(row["jpegPhoto"] or "") for row in rows.rows["Person"]} == {bytes(range(256))}


def test_several_values_in_one_column_are_told_once(new_slapd: NewSlapd) -> None:
    server = new_slapd()
    client = filled(server)
    for number in range(3):
        client.add_s(f"uid=person{number},{PEOPLE}", [*person(number), ("mail", [b"b@x", b"a@x"])])

    rows = Collected()
    reached = source().snapshot(question(server), rows)

    assert {row["mail"] for row in rows.rows["Person"]} == {"a@x"}
    assert reached.messages == ("Person: mail has several values; the first one in sorted order was taken",)


def test_a_group_of_thousands_is_read_whole_and_follows_members_in_and_out(new_slapd: NewSlapd) -> None:
    import ldap

    count = 5_200
    server = new_slapd(corrects_links=False)
    filled(server)
    people = [f"uid=m{number},{PEOPLE}" for number in range(count)]
    records = [f"dn: {dn}\nobjectClass: inetOrgPerson\nuid: m{n}\ncn: m{n}\nsn: x" for n, dn in enumerate(people)]
    listed = "\n".join(f"member: {dn}" for dn in people[:5_000])
    records.append(f"dn: cn=many,ou=teams,{SUFFIX}\nobjectClass: groupOfNames\ncn: many\n{listed}")
    server.load("\n\n".join(records) + "\n")
    client, ask = server.client(), question(server)
    rows = Collected()
    reached = source().snapshot(ask, rows)

    def members() -> set[str]:
        """The members as the server has them."""
        ((_, values),) = client.search_s(f"cn=many,ou=teams,{SUFFIX}", ldap.SCOPE_BASE, "(objectClass=*)", ["member"])
        return {value.decode() for value in values["member"]}

    assert {pair["value"] for pair in rows.rows["Member"]} == members() == set(people[:5_000])
    for out, into in ((people[:3], people[5_000:5_100]), (people[3:1_003], people[5_100:]), (people[:0], people[:1])):
        changes = [(ldap.MOD_ADD, "member", [dn.encode() for dn in into])]
        changes += [(ldap.MOD_DELETE, "member", [dn.encode() for dn in out])] if out else []
        client.modify_s(f"cn=many,ou=teams,{SUFFIX}", changes)

        delta = Collected()
        reached = source().changes(ask, reached.place, delta)

        assert {pair["value"] for pair in delta.rows["Member"] if pair["command"] == "insert"} == members()
        assert [pair["command"] for pair in delta.rows["Member"]].index("delete") == 0
        assert all(row["command"] == "delete" for row in delta.rows.get("Person", ()))
