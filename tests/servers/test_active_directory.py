"""Active Directory on a real domain controller: deltas are what complete readings are, and what the server says."""

from __future__ import annotations

import uuid
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve

from deltamark.application.ports.sources import PlaceLost, Question, Reached, SourceUnreachable, WantedTable
from deltamark.domain.secrets import Secret
from tests.servers.folding import Collected, Mirror, State
from tests.servers.samba import ADDRESS, ADMINISTRATOR, DOMAIN, PASSWORD, DomainController
from tests.tiers import examples

# Each test starts a domain controller; the first one makes its domain (10 to 20 s).
pytestmark = pytest.mark.slow

PEOPLE = f"OU=People,{DOMAIN}"
BASES = ("OU=Sales", "OU=Support", "OU=Inner,OU=Sales")
GUID, FLAGS = "objectGUID", "userAccountControl"
KEYS = {"User": GUID, "Sales": GUID, "Team": GUID, "Quiet": GUID}
LINKS = {"Member": "Team", "QuietMember": "Quiet", "Manager": "User", "Assistant": "User"}
USER_COLUMNS = (GUID, "sAMAccountName", "mail", "department", "dn", "uac.disabled")


def question(controller: DomainController, **settings: Any) -> Question:
    """Tables with and without filter and base, and the links of each."""
    people = "(objectCategory=person)"
    tables = (
        WantedTable(name="User", columns=USER_COLUMNS, options={"ObjectClass": "user", "Filter": people}),
        WantedTable(
            name="Sales",
            columns=(GUID, "cn", "department"),
            options={"ObjectClass": "user", "Filter": "(&(department=Sales)(mail=*))", "Base": PEOPLE},
        ),
        WantedTable(
            name="Team", columns=(GUID, "cn", "description", "groupType.scope"), options={"ObjectClass": "group"}
        ),
        WantedTable(
            name="Quiet",
            columns=(GUID, "cn"),
            options={"ObjectClass": "group", "Filter": "(!(description=*))", "Base": f"OU=Sales,{PEOPLE}"},
        ),
        WantedTable(name="Member", columns=("owner", "value"), options={"Links": "Team", "Attribute": "member"}),
        WantedTable(name="QuietMember", columns=("owner", "value"), options={"Links": "Quiet", "Attribute": "member"}),
        WantedTable(name="Manager", columns=("owner", "value"), options={"Links": "User", "Attribute": "manager"}),
        WantedTable(name="Assistant", columns=("owner", "value"), options={"Links": "User", "Attribute": "secretary"}),
    )
    return Question(
        connection="AD_Source",
        package="ActiveDirectory",
        settings={
            "server": ADDRESS.replace("ldap:", "ldaps:"),
            "authority": str(controller.authority),
            "user": ADMINISTRATOR,
            **settings,
        },
        secrets={"password": lambda: Secret(PASSWORD)},
        tables=tables,
    )


def source() -> Any:
    """The source, which needs its library only when it is used."""
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory

    return ActiveDirectory()


def snapshot(ask: Question) -> tuple[Reached, State, Collected]:
    """A complete reading, and what it adds up to."""
    rows, mirror = Collected(), Mirror(KEYS, LINKS, named_by=GUID)
    reached = source().snapshot(ask, rows)
    mirror.replace(rows.rows)
    return reached, mirror.state, rows


def oracle(client: Any) -> State:
    """What the server itself says, by a plain search."""
    import ldap
    from ldap.controls import SimplePagedResultsControl

    def found(base: str, filtered: str) -> dict[str, dict[str, list[bytes]]]:
        page = SimplePagedResultsControl(True, 500, "")
        entries: dict[str, dict[str, list[bytes]]] = {}
        while True:
            sent = client.search_ext(base, ldap.SCOPE_SUBTREE, filtered, ["*"], serverctrls=[page])
            _, data, _, answers = client.result3(sent)
            for dn, values in data:
                if dn is not None:
                    identity = str(uuid.UUID(bytes_le=values[GUID][0]))
                    entries[identity] = {**values, "dn": [dn.encode()]}
            page.cookie = answers[0].cookie
            if not page.cookie:
                return entries

    def value(values: dict[str, list[bytes]], name: str) -> str | None:
        return values[name][0].decode() if name in values else None

    def pairs(owners: dict[str, dict[str, list[bytes]]], attribute: str) -> set[tuple[str, str]]:
        by_dn = {values["dn"][0].lower(): key for key, values in everything.items()}
        return {
            (key, by_dn[dn.lower()])
            for key, values in owners.items()
            for dn in values.get(attribute, [])
            if dn.lower() in by_dn
        }

    users = found(DOMAIN, "(&(objectClass=user)(objectCategory=person))")
    sales = found(PEOPLE, "(&(objectClass=user)(department=Sales)(mail=*))")
    teams = found(DOMAIN, "(objectClass=group)")
    quiet = found(f"OU=Sales,{PEOPLE}", "(&(objectClass=group)(!(description=*)))")
    everything = {**users, **teams}
    scopes = {2: "global", 4: "domainLocal", 5: "builtin", 8: "universal"}
    return {
        "User": {
            key: {
                **{name: value(values, name) for name in ("sAMAccountName", "mail", "department", "dn")},
                GUID: key,
                "uac.disabled": str(bool(int(values[FLAGS][0]) & 2)).lower(),
            }
            for key, values in users.items()
        },
        "Sales": {key: {GUID: key, "cn": value(v, "cn"), "department": "Sales"} for key, v in sales.items()},
        "Team": {
            key: {
                GUID: key,
                "cn": value(values, "cn"),
                "description": value(values, "description"),
                "groupType.scope": scopes[int(values["groupType"][0]) & 0xF],
            }
            for key, values in teams.items()
        },
        "Quiet": {key: {GUID: key, "cn": value(values, "cn")} for key, values in quiet.items()},
        "Member": pairs(teams, "member"),
        "QuietMember": pairs(quiet, "member"),
        "Manager": pairs(users, "manager"),
        "Assistant": pairs(users, "secretary"),
    }


class Edits:
    """Random edits of a domain."""

    def __init__(self, client: Any, random: Random) -> None:
        import ldap

        self.ldap, self.client, self.random = ldap, client, random
        self.done: list[str] = []
        self._number = 0
        for unit in (PEOPLE, *(f"{base},{PEOPLE}" for base in ("OU=Sales", "OU=Support", "OU=Inner,OU=Sales"))):
            client.add_s(unit, [("objectClass", [b"organizationalUnit"])])
        for _ in range(8):
            self.user(again=0)
        for _ in range(4):
            self.group()

    def _of(self, filtered: str) -> list[str]:
        found = self.client.search_s(PEOPLE, self.ldap.SCOPE_SUBTREE, filtered, ["1.1"])
        return sorted(dn for dn, _ in found if dn is not None)

    def _some(self, filtered: str) -> str:
        return self.random.choice(self._of(filtered))

    def _unit(self) -> str:
        return self._some("(objectClass=organizationalUnit)")

    def user(self, again: float = 0.3) -> None:
        """Creates a user, sometimes with a name that was used before."""
        self._number += 1
        name = f"user{self.random.randrange(self._number)}" if self.random.random() < again else f"user{self._number}"
        values = [("objectClass", [b"user"]), ("sAMAccountName", [name.encode()])]
        if self.random.random() < 0.5:
            values.append(("mail", [f"{name}@meridian.example".encode()]))
        if self.random.random() < 0.5:
            values.append(("department", [b"Sales"]))
        self.client.add_s(f"CN={name},{self._unit()}", values)

    def group(self) -> None:
        """Creates a group with members."""
        self._number += 1
        users = self._of("(objectCategory=person)")
        members = self.random.sample(users, min(3, len(users)))
        values = [("objectClass", [b"group"]), ("sAMAccountName", [f"group{self._number}".encode()])]
        values += [("member", [dn.encode() for dn in members])] if members else []
        self.client.add_s(f"CN=group{self._number},{self._unit()}", values)

    def value(self) -> None:
        """Sets or clears a value of a user."""
        name = self.random.choice(["mail", "department", "manager", "secretary", "telephoneNumber"])
        new: list[bytes] | None = {
            "mail": [f"{self.random.randrange(100)}@meridian.example".encode()],
            "department": [self.random.choice([b"Sales", b"Support", "Öl & Gas".encode()])],
            "manager": [self._some("(objectCategory=person)").encode()],
            "secretary": [self._some("(objectCategory=person)").encode()],
            "telephoneNumber": [b"+1"],
        }[name]
        if self.random.random() < 0.4:
            new = None
        self.client.modify_s(self._some("(objectCategory=person)"), [(self.ldap.MOD_REPLACE, name, new)])

    def disable(self) -> None:
        """Disables a user."""
        self.client.modify_s(self._some("(objectCategory=person)"), [(self.ldap.MOD_REPLACE, FLAGS, [b"546"])])

    def describe(self) -> None:
        """Sets or clears the description of a group, which decides whether it is quiet."""
        new = self.random.choice([[b"loud"], None])
        self.client.modify_s(self._some("(objectClass=group)"), [(self.ldap.MOD_REPLACE, "description", new)])

    def member(self) -> None:
        """Puts a user or a group into a group, or takes a member out of it."""
        group = self._some("(objectClass=group)")
        how = self.random.choice([self.ldap.MOD_ADD, self.ldap.MOD_DELETE])
        who = self._some(self.random.choice(["(objectCategory=person)", "(objectClass=group)"]))
        self.client.modify_s(group, [(how, "member", [who.encode()])])

    def rename(self) -> None:
        """Renames a user or a group, or moves it."""
        self._number += 1
        dn = self._some("(|(objectCategory=person)(objectClass=group))")
        name = self.random.choice([f"CN=renamed{self._number}", dn.partition(",")[0]])
        self.client.rename_s(dn, name, newsuperior=self._unit())

    def unit(self) -> None:
        """Renames a unit with all that is below it, or moves it out of the people or into another unit."""
        self._number += 1
        dn = self.random.choice([unit for unit in self._of("(objectClass=organizationalUnit)") if unit != PEOPLE])
        elsewhere = self.random.choice([PEOPLE, DOMAIN, self._unit()])
        self.client.rename_s(dn, f"OU=unit{self._number}", newsuperior=elsewhere)

    def unit_back(self) -> None:
        """Moves a unit that is not below the people into them, under the name of a base."""
        found = self.client.search_s(DOMAIN, self.ldap.SCOPE_ONELEVEL, "(ou=unit*)", ["1.1"])
        outside = sorted(dn for dn, _ in found if dn is not None)
        self.client.rename_s(self.random.choice(outside), "OU=Sales", newsuperior=PEOPLE)

    def delete(self) -> None:
        """Deletes a user or a group."""
        self.client.delete_s(self._some("(|(objectCategory=person)(objectClass=group))"))

    def any(self) -> None:
        """Does one of these; what the server refuses is no edit."""
        kinds = [self.user, self.group, self.value, self.value, self.disable, self.describe, self.member, self.member]
        kinds += [self.member, self.rename, self.unit, self.unit_back, self.delete]
        kind = self.random.choice(kinds)
        try:
            kind()
        except (self.ldap.LDAPError, IndexError) as error:
            self.done.append(f"{kind.__name__}: {type(error).__name__}")
        else:
            self.done.append(kind.__name__)

    def sales_unit(self) -> None:
        """Sees that the base of a table is there: a reading of a base that is missing fails."""
        if not self.client.search_s(PEOPLE, self.ldap.SCOPE_ONELEVEL, "(ou=Sales)", ["1.1"]):
            self.client.add_s(f"OU=Sales,{PEOPLE}", [("objectClass", [b"organizationalUnit"])])


def test_deltas_are_complete_readings_and_what_the_server_says(controller: DomainController) -> None:
    random = Random(4711)
    ask = question(controller)
    client = controller.client()
    edits = Edits(client, random)
    rows, mirror = Collected(), Mirror(KEYS, LINKS, named_by=GUID)
    reached = source().snapshot(ask, rows)
    mirror.replace(rows.rows)
    assert mirror.state == oracle(client)

    for number in range(examples(20)):
        edits.done.clear()
        for _ in range(random.randrange(1, 12)):
            edits.any()
        edits.sales_unit()
        if number % 5 == 4:
            controller.stop()
            controller.start()
            client = edits.client = controller.client()
        delta = Collected()
        reached = source().changes(ask, reached.place, delta)
        mirror.apply(delta.rows)

        expected = oracle(client)
        assert mirror.state == expected, edits.done
        assert snapshot(ask)[1] == expected


def test_a_reading_in_which_nothing_changed_has_no_rows(controller: DomainController) -> None:
    ask = question(controller)
    Edits(controller.client(), Random(1))
    reached, _, _ = snapshot(ask)

    rows = Collected()
    again = source().changes(ask, reached.place, rows)

    assert rows.rows == {}
    assert again.place is not None


def test_a_group_of_many_members_comes_whole_and_one_more_member_as_one_pair(controller: DomainController) -> None:
    import ldap

    ask = question(controller)
    client = controller.client()
    client.add_s(PEOPLE, [("objectClass", [b"organizationalUnit"])])
    client.add_s(f"OU=Sales,{PEOPLE}", [("objectClass", [b"organizationalUnit"])])
    contacts = [f"CN=c{number},{PEOPLE}" for number in range(150)]
    for dn in contacts:
        client.add_s(dn, [("objectClass", [b"contact"])])
    group = f"CN=many,{PEOPLE}"
    client.add_s(group, [("objectClass", [b"group"]), ("member", [dn.encode() for dn in contacts])])

    reached, _, rows = snapshot(ask)
    client.add_s(f"CN=one,{PEOPLE}", [("objectClass", [b"user"]), ("sAMAccountName", [b"one"])])
    client.modify_s(group, [(ldap.MOD_ADD, "member", [f"CN=one,{PEOPLE}".encode()])])
    delta = Collected()
    source().changes(ask, reached.place, delta)

    (many,) = [row for row in rows.rows["Team"] if row["cn"] == "many"]
    assert sum(row["owner"] == many[GUID] for row in rows.rows["Member"]) == 150
    (one,) = delta.rows["User"]
    assert delta.rows["Member"] == [{"command": "insert", "owner": many[GUID], "value": one[GUID]}]


def test_a_restored_server_loses_the_place_also_where_it_went_on(controller: DomainController) -> None:
    ask = question(controller)
    edits = Edits(controller.client(), Random(2))
    copy = controller.backup()
    edits.client = controller.client()
    for _ in range(5):
        edits.user(again=0)
    reached, _, _ = snapshot(ask)
    assert reached.place is not None

    controller.restore(copy)

    with pytest.raises(PlaceLost, match="restored from a backup"):
        source().changes(ask, reached.place, Collected())
    edits.client = controller.client()
    for number in range(30):
        edits.client.add_s(f"CN=later{number},{PEOPLE}", [("objectClass", [b"contact"])])
    with pytest.raises(PlaceLost, match="restored from a backup"):
        source().changes(ask, reached.place, Collected())


def test_a_cookie_that_is_altered_cut_off_or_of_another_server_loses_the_place(controller: DomainController) -> None:
    from deltamark.infrastructure.ldap.places import sealed, unsealed

    ask = question(controller)
    Edits(controller.client(), Random(3))
    place = snapshot(ask)[0].place
    assert place is not None
    cookie = unsealed(place.cookie)[""]
    altered = [
        evolve(place, cookie=place.cookie[:-9]),
        evolve(place, cookie=place.cookie[:40] + b"7" + place.cookie[41:]),
        evolve(place, cookie=b""),
        evolve(place, cookie=sealed({"": b"garbage"})),
        evolve(place, cookie=sealed({"": cookie[:-7]})),
        evolve(place, guard={**place.guard, "invocationId": str(uuid.uuid4())}),
        evolve(place, guard={**place.guard, "dc": "dc2.meridian.example"}),
        evolve(place, guard={**place.guard, "usn": "999999999"}),
        evolve(place, guard={}),
    ]

    for bad in altered:
        rows = Collected()
        with pytest.raises(PlaceLost):
            source().changes(ask, bad, rows)
        assert rows.count == 0


def test_what_cannot_be_read_is_refused_with_what_to_do(controller: DomainController, tmp_path: Path) -> None:
    ask = question(controller)
    Edits(controller.client(), Random(4))

    def refused(question: Question) -> str:
        rows = Collected()
        with pytest.raises(SourceUnreachable) as caught:
            source().snapshot(question, rows)
        return caught.value.problem

    def of_user(**options: str) -> Question:
        table = WantedTable(name="User", columns=(GUID,), options={"ObjectClass": "user", **options})
        return evolve(ask, tables=(table,))

    def columns(*names: str) -> Question:
        return evolve(ask, tables=(WantedTable(name="User", columns=names, options={"ObjectClass": "user"}),))

    wrong = evolve(ask, secrets={"password": lambda: Secret("wr0ng")})
    assert "result 49" in refused(wrong)
    assert "empty password" in refused(evolve(ask, secrets={"password": lambda: Secret("")}))
    assert "certificate is refused" in refused(evolve(ask, settings={**ask.settings, "authority": _foreign(tmp_path)}))
    assert "names the attribute mial, which the schema" in refused(of_user(Filter="(mial=*)"))
    assert "did you mean department?" in refused(columns(GUID, "departmnt"))
    assert "result 32" in refused(of_user(Base=f"OU=Nowhere,{DOMAIN}"))
    assert "names other entries" in refused(columns(GUID, "memberOf"))
    groups = WantedTable(name="Groups", columns=("owner", "value"), options={"Links": "User", "Attribute": "memberOf"})
    assert "the other end of a link" in refused(evolve(ask, tables=(*ask.tables, groups)))
    assert "differs between domain controllers" in refused(columns(GUID, "lastLogon"))
    assert "is computed by the server" in refused(columns(GUID, "canonicalName"))
    assert "holds secrets" in refused(columns(GUID, "unicodePwd"))
    assert "more than 3 entries" in refused(evolve(ask, settings={**ask.settings, "max_entries": 3}))
    plain = {**ask.settings, "server": "ldap://dc1.meridian.example", "tls": "none"}
    assert 'tls = "none" is refused' in refused(evolve(ask, settings=plain))


def test_starttls_and_a_second_server_are_used(controller: DomainController) -> None:
    from tests.servers.processes import free_port

    Edits(controller.client(), Random(5))
    ask = question(controller)
    expected = snapshot(ask)[1]

    starttls = evolve(ask, settings={**ask.settings, "server": ADDRESS})
    second = evolve(ask, settings={**ask.settings, "server": f"ldaps://127.0.0.1:{free_port()} ldaps://127.0.0.1"})

    assert snapshot(starttls)[1] == expected
    assert snapshot(second)[1] == expected


def test_a_user_without_the_right_to_replicate_is_warned_in_every_reading(controller: DomainController) -> None:
    client = controller.client()
    edits = Edits(client, Random(6))
    client.add_s(
        f"CN=reader,{PEOPLE}",
        [
            ("objectClass", [b"user"]),
            ("sAMAccountName", [b"reader"]),
            ("userAccountControl", [b"512"]),
            ("unicodePwd", ['"R3ader!Pass"'.encode("utf-16-le")]),
        ],
    )
    ask = question(controller, user="reader@meridian.example")
    ask = evolve(ask, secrets={"password": lambda: Secret("R3ader!Pass")})

    reached, _, _ = snapshot(ask)
    edits.user(again=0)
    rows = Collected()
    after = source().changes(ask, reached.place, rows)

    for messages in (reached.messages, after.messages, source().probe(ask).findings):
        assert any("Replicating Directory Changes" in message for message in messages)
    assert len(rows.rows["User"]) == 1


def _foreign(folder: Path) -> str:
    from tests.servers.certificates import issued

    return str(issued(folder / "foreign", "other.example").authority)


@pytest.mark.soak  # the server makes 1,700 users
def test_a_group_of_1600_members_follows_them_in_and_out(controller: DomainController) -> None:
    import ldap

    ask = question(controller)
    client = controller.client()
    client.add_s(PEOPLE, [("objectClass", [b"organizationalUnit"])])
    client.add_s(f"OU=Sales,{PEOPLE}", [("objectClass", [b"organizationalUnit"])])
    users = [f"CN=u{number},{PEOPLE}" for number in range(1_700)]
    for number, dn in enumerate(users):
        client.add_s(dn, [("objectClass", [b"user"]), ("sAMAccountName", [f"u{number}".encode()])])
    group = f"CN=many,{PEOPLE}"
    client.add_s(group, [("objectClass", [b"group"]), ("member", [dn.encode() for dn in users[:1_600]])])
    rows, mirror = Collected(), Mirror(KEYS, LINKS, named_by=GUID)
    reached = source().snapshot(ask, rows)
    mirror.replace(rows.rows)
    assert mirror.state == oracle(client)

    for out, into in ((users[:3], users[1_600:1_603]), (users[3:103], users[1_603:]), ([], users[:1])):
        changes = [(ldap.MOD_ADD, "member", [dn.encode() for dn in into])]
        changes += [(ldap.MOD_DELETE, "member", [dn.encode() for dn in out])] if out else []
        client.modify_s(group, changes)
        delta = Collected()
        reached = source().changes(ask, reached.place, delta)
        mirror.apply(delta.rows)

        assert len(delta.rows["Member"]) == len(out) + len(into)
        assert "User" not in delta.rows
        assert mirror.state == oracle(client)
    assert snapshot(ask)[1] == mirror.state
