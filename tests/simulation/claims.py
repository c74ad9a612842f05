"""Two schools with one identity between them: central tells both, by a record of its own (protocol.md 5).

What a write changes in the claims is noted with it. A follow-up then reads who claims the identity, locks those schools
in order, reads again, and starts over if another one has appeared.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.entities.schema import Fields
from tests.simulation.central import Central, School, Version
from tests.simulation.safeguards import Broken, Safeguard

ENTITY = "residu"


@dataclass
class FollowUp:
    """An identity whose claims have changed; `read`: who claimed it, or had been told so, before the locks."""

    nik: str
    read: dict[str, bool] | None = None


class Claims:
    """The follow-ups that are to be done."""

    def __init__(self, central: Central) -> None:
        self.central = central
        self.open: list[FollowUp] = []

    def noticed(self, before: Version | None, now: Version) -> None:
        """A record was written: whose claims are others now?"""
        if now.key[0] != "murid":
            return
        old, new = _nik(before.fields if before else None), _nik(now.fields)
        if old != new:
            self.open += [FollowUp(nik) for nik in (old, new) if nik]

    def step(self, index: int) -> None:
        """One follow-up goes on by one transaction."""
        follow_up = self.open[index]
        now = self._concerned(follow_up.nik)
        again = Safeguard.CLAIMS_READ_AGAIN not in self.central.without
        if follow_up.read is None or (again and not now.keys() <= follow_up.read.keys()):
            follow_up.read = now
            return
        self._tell(follow_up.nik, now if again else follow_up.read)
        del self.open[index]

    def check(self) -> None:
        """Every school knows what it shares, and nothing else."""
        niks = {key[1] for school in self.central.schools.values() for key in school.records if key[0] == ENTITY}
        for nik in sorted(niks | {_nik(v.fields) or "" for s in self.central.schools.values() for v in s.log} - {""}):
            told = {s.npsn: s.fields((ENTITY, nik)) for s in self.central.schools.values()}
            wanted = {npsn: _shown(nik, npsn, self._concerned(nik)) for npsn in told}
            if told != wanted:
                raise Broken(f"{nik} is claimed as {wanted}, and told as {told}")

    def _concerned(self, nik: str) -> dict[str, bool]:
        """Who claims the identity (True), or has been told that others do."""
        concerned = {}
        for npsn, school in sorted(self.central.schools.items()):
            claims = _claims(school, nik)
            if claims or school.fields((ENTITY, nik)) is not None:
                concerned[npsn] = claims
        return concerned

    def _tell(self, nik: str, concerned: dict[str, bool]) -> None:
        for npsn in concerned:
            self.central.write(self.central.schools[npsn], (ENTITY, nik), _shown(nik, npsn, concerned), session=None)


def _shown(nik: str, npsn: str, concerned: dict[str, bool]) -> Fields | None:
    claimants = [one for one, claims in concerned.items() if claims]
    if npsn not in claimants or len(claimants) < 2:
        return None
    return {"nik": nik, "pesaing": ", ".join(one for one in claimants if one != npsn)}


def _claims(school: School, nik: str) -> bool:
    return any(key[0] == "murid" and _nik(versions[-1].fields) == nik for key, versions in school.records.items())


def _nik(fields: Fields | None) -> str | None:
    return (fields or {}).get("nik")
