"""Is what central states true of what this site asked, and did central sign it? Else it is no receipt."""

from __future__ import annotations

from services.exchange import canonical
from services.messages import SessionEqual, SessionVerify
from services.signing import NotProven, PublicKeys


def wrong(answer: SessionEqual, asked: SessionVerify, keys: PublicKeys | None, *, npsn: str, kind: str) -> str | None:
    """What is wrong with a statement: a field that says something else, or how its signature fails; None: nothing.

    Without pinned `keys` nobody can say who signed it.
    """
    said = answer.statement
    expected = {
        "npsn": npsn,
        "kind": kind,
        "session": asked.session,
        "incarnation": asked.incarnation,
        "head_seq": asked.cursor,
        "root": asked.root,
        "unsent": asked.unsent,
        "held": asked.held,
        "refused": asked.refused,
    }
    for name, value in expected.items():
        if not canonical.same(said.get(name), value):
            return name
    if keys is None:
        return None
    if not answer.jws:
        return "jws: absent, central's release does not sign yet"
    try:
        return None if canonical.same_fields(keys.verify(answer.jws), said) else "jws"
    except NotProven as error:
        return f"jws: {error.reason}"
