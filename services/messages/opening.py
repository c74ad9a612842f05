"""A site and central: how a session begins (docs/protocol.md 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from services.exchange.marks import tried
from services.messages.exchange import PushedChange, RecordVerdict, SessionPage, SessionResult
from services.messages.parts import Count, Kind, Message, Part, Problem, Text
from services.messages.proof import SessionEqual, SessionVerify


class LineageEntry(Part):
    """One life of central's database, and the school's head_seq at its start."""

    incarnation: str
    head_seq: Count


class Mark(Part):
    """The last session of one incarnation that sent something."""

    incarnation: str
    session: int


class Stated(Part):
    """The site's latest statement, by what names it at central. `root` in hex."""

    incarnation: str
    session: int
    head_seq: Count
    root: str


class Early(Part):
    """A small sync as a whole: what would be its only batch (nothing, maybe), and `root`, in hex, as the site's will be
    if central takes all of it as it is. `after`: the latest session that the site knows of; with a later one at central
    nothing of it is taken. Nothing is unsent then, nor held, nor refused.
    """

    after: Count
    changes: Annotated[list[PushedChange], Field(max_length=500)]
    root: str

    def claim(self, session: int, incarnation: str, cursor: int, verdicts: Sequence[RecordVerdict]) -> SessionVerify:
        """What VERIFY would ask once the changes are taken so, by a site that was at `cursor`."""
        reached = max([cursor, *(verdict.seq for verdict in verdicts)])
        return SessionVerify(
            session=session, incarnation=incarnation, cursor=reached, root=self.root, unsent=0, held=0, refused=0
        )


class SessionOpen(Message):
    """site → central: begin a session. The same message id again gets the same grant; every new attempt has a new
    id. The site speaks every protocol from `oldest_protocol_version` (if absent, this one alone) to `protocol_version`.
    `proof`: the latest statement as central signed it; a central that was put back knows an installation by it.
    `early`: what would follow, if central has nothing new for the site. `marks`: of each life of central's the last
    session that sent something; at 0, the id of an OPEN that did, and that the site has heard nothing of.
    """

    type = "session.open.v1"

    install_id: str
    kind: Kind
    protocol_version: int
    oldest_protocol_version: int | None = None
    rules_version: str
    lineage: list[LineageEntry]
    cursor: Count
    highest_seq: Count
    marks: dict[str, int]
    clock: str
    actor: str | None = None
    statement: Stated | None = None
    proof: str | None = None
    early: Early | None = None

    @property
    def tried(self) -> str | None:
        """The OPEN that the site has heard nothing of."""
        return tried(self.marks)


class Limits(Part):
    """What central takes in one batch: records, and bytes before compression."""

    records: int
    bytes: int


class SessionGranted(Message):
    """central → site: the session, and the first page. Of a restore, `as_of` is the seq that is given back, and `mark`
    what the site's marks become. `common`: the seq up to which both histories are one; of a recover, whose page is
    empty, what the site goes back to. To what came `early`: its `result`, and `equal` if both sides are; neither, if
    central did not take it. `tried_taken`: did it take what the OPEN carried that the site has heard nothing of? Null:
    there is none; or central is of a release that does not say.
    """

    type = "session.granted.v1"

    session: int
    incarnation: str
    head_seq: Count
    lineage: list[LineageEntry]
    limits: Limits
    page: SessionPage
    mark: Mark | None = None
    as_of: Count | None = None
    common: Count | None = None
    result: SessionResult | None = None
    equal: SessionEqual | None = None
    tried_taken: bool | None = None


class SessionRefusal(Message):
    """central → site: no session, and why."""

    type = "session.refused.v1"

    problem: Problem


class SessionWait(Message):
    """central → site: not now, but in `retry_seconds`, which is `retry_at` by central's clock. The place is kept."""

    type = "session.wait.v1"

    retry_at: str
    retry_seconds: Count
    position: Annotated[int, Field(ge=1)]
    reason: Text
