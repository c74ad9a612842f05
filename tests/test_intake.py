"""What every consumer needs before and after its own work, on the real database."""

from __future__ import annotations

import pytest

from services.database import Database
from services.errors import MessageRefused
from services.intake import Account, Accounts, Answers, Quarantine
from services.intake.accounts import ANY_SCHOOL

NPSN, OTHER = "97000002", "97000003"
KEY = (NPSN, "/uji", "event-1")


async def may(database: Database, user: str, npsn: str) -> Account | None:
    async with database.transaction() as transaction:
        return await Accounts.read(transaction, user, npsn)


async def test_an_account_speaks_for_its_school_and_no_other(site_database: Database) -> None:
    accounts = Accounts(site_database)
    await accounts.grant("operator-satu", NPSN, "operator")
    assert await may(site_database, "operator-satu", OTHER) is None
    assert await may(site_database, "orang-lain", NPSN) is None
    account = await may(site_database, "operator-satu", NPSN)
    assert account is not None
    assert account.roles == {"operator"}


async def test_a_role_in_a_body_is_believed_only_of_a_user_who_may_name_people(site_database: Database) -> None:
    accounts = Accounts(site_database)
    for role in ("operator", "principal"):
        await accounts.grant("konsol", ANY_SCHOOL, role, names_people=True)
        await accounts.grant("orang", ANY_SCHOOL, role)
    console, person = await may(site_database, "konsol", NPSN), await may(site_database, "orang", NPSN)
    assert console is not None
    assert person is not None
    assert console.acts_as("operator") == {"operator"}
    assert console.acts_as("officer") == frozenset(), "a role that the user itself has not got"
    assert person.acts_as("operator") == {"operator", "principal"}


async def test_an_answer_is_found_again_and_other_content_is_refused(site_database: Database) -> None:
    async with site_database.transaction() as transaction:
        assert await Answers.find(transaction, *KEY, b"one") is None
        await Answers.keep(transaction, *KEY, b"one", [("change.accepted.v1", {"n": 1})])
        found = await Answers.find(transaction, *KEY, b"one")
        assert found is not None
        assert found.messages == [("change.accepted.v1", {"n": 1})]
        with pytest.raises(MessageRefused, match="MSG-08"):
            await Answers.find(transaction, *KEY, b"other")


async def test_answers_are_forgotten_after_ninety_days(site_database: Database) -> None:
    async with site_database.transaction() as transaction:
        await Answers.keep(transaction, *KEY, b"one", [])
        await Answers.keep(transaction, NPSN, "/uji", "event-2", b"two", [])
        await transaction.run("UPDATE answer SET answered_at = now() - interval '91 days' WHERE id = 'event-1'")
    assert await Answers.forget_old(site_database) == 1
    async with site_database.transaction() as transaction:
        assert await Answers.find(transaction, *KEY, b"one") is None
        assert await Answers.find(transaction, NPSN, "/uji", "event-2", b"two") is not None


async def test_quarantine_keeps_a_message_whole_until_it_is_closed(site_database: Database) -> None:
    quarantine = Quarantine(site_database)
    row = await quarantine.put(
        queue="q", code="MSG-01", cause="x", sender="s", routing_key="k", properties={"headers": {}}, body=b"\x00\xff"
    )
    (kept,) = await quarantine.open()
    assert (kept.id, kept.body, kept.sender) == (row, b"\x00\xff", "s")
    assert await quarantine.counts() == {("q", "MSG-01"): 1}
    assert await quarantine.ask_replay(row)
    assert [r.id for r in await quarantine.to_replay(["q"])] == [row]
    assert await quarantine.to_replay(["another"]) == []
    await quarantine.close(row, "dismissed")
    assert await quarantine.open() == []
    assert not await quarantine.ask_replay(row), "what is closed is not replayed"
    closed = await quarantine.get(row)
    assert closed is not None
    assert closed.closed_as == "dismissed"
