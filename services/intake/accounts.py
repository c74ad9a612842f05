"""Who may speak for which school: the broker's user → schools and roles."""

from __future__ import annotations

from dataclasses import dataclass

from services.database import Database, Transaction

ANY_SCHOOL = "*"

SCHEMA = """
CREATE TABLE account (
    user_name    text    NOT NULL,
    npsn         text    NOT NULL,
    role         text    NOT NULL,
    names_people boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_name, npsn, role)
)
"""


@dataclass(frozen=True, slots=True)
class Account:
    """What one user may do at one school. `names_people`: a console or command whose `actor` is believed."""

    user_name: str
    roles: frozenset[str]
    names_people: bool

    def acts_as(self, claimed: str | None) -> frozenset[str]:
        """The roles behind a message: the claimed one if this user may name people and has it, else its own."""
        if claimed is None:
            return self.roles
        return self.roles & {claimed} if self.names_people else self.roles


@dataclass(frozen=True, slots=True)
class Grant:
    """One row: a user, a school or ANY_SCHOOL, and a role there."""

    user_name: str
    npsn: str
    role: str
    names_people: bool


class Accounts:
    """The table of users, schools and roles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    async def read(transaction: Transaction, user_name: str, npsn: str) -> Account | None:
        """What `user_name` may do at `npsn`; None if nothing."""
        rows = await transaction.rows(
            "SELECT role, names_people FROM account WHERE user_name = :user AND npsn IN (:npsn, '*')",
            user=user_name,
            npsn=npsn,
        )
        if not rows:
            return None
        return Account(user_name, frozenset(r.role for r in rows), any(r.names_people for r in rows))

    async def grant(self, user_name: str, npsn: str, role: str, *, names_people: bool = False) -> None:
        """Let `user_name` act as `role` at `npsn` (or ANY_SCHOOL)."""
        async with self._database.transaction() as transaction:
            await transaction.run(
                """
                INSERT INTO account (user_name, npsn, role, names_people) VALUES (:user, :npsn, :role, :people)
                ON CONFLICT (user_name, npsn, role) DO UPDATE SET names_people = excluded.names_people
                """,
                user=user_name,
                npsn=npsn,
                role=role,
                people=names_people,
            )

    async def revoke(self, user_name: str, npsn: str, role: str) -> bool:
        """Take a grant back; False if there was none."""
        async with self._database.transaction() as transaction:
            return bool(
                await transaction.run(
                    "DELETE FROM account WHERE user_name = :user AND npsn = :npsn AND role = :role",
                    user=user_name,
                    npsn=npsn,
                    role=role,
                )
            )

    async def every(self) -> list[Grant]:
        """All that was granted."""
        async with self._database.transaction() as transaction:
            rows = await transaction.rows(
                "SELECT user_name, npsn, role, names_people FROM account ORDER BY user_name, npsn, role"
            )
        return [Grant(r.user_name, r.npsn, r.role, r.names_people) for r in rows]
