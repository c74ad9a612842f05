"""What central's log says of a request and its answer: numbers and codes, nothing of a record."""

from __future__ import annotations

from collections import Counter
from typing import Any

from services.messages import (
    HistoryAnswered,
    HistoryRefused,
    HistoryRequested,
    InSession,
    Message,
    OfficerChangeAccepted,
    OfficerChangeRejected,
    SessionEqual,
    SessionGranted,
    SessionMended,
    SessionOpen,
    SessionPage,
    SessionPush,
    SessionRefusal,
    SessionResult,
    SessionWait,
)


def told(asked: Message, answer: Message) -> dict[str, Any]:
    """Fields of the line "message taken" (`services.logs`)."""
    return {"answer": answer.type, **_of_request(asked), **_of_answer(answer)}


def _of_request(asked: Message) -> dict[str, Any]:
    match asked:
        case SessionOpen():
            return {"kind": asked.kind, "received": len(asked.early.changes) if asked.early else None}
        case SessionPush():
            return {"session": asked.session, "batch": asked.batch_no, "received": len(asked.changes)}
        case InSession():
            return {"session": asked.session}
        case HistoryRequested():
            return {"kind": "as_of" if asked.since is None else "diff"}
    return {}


def _of_answer(answer: Message) -> dict[str, Any]:
    match answer:
        case SessionGranted():
            early = [_of_answer(one) for one in (answer.result, answer.equal) if one]
            of_early = {name: value for one in early for name, value in one.items()}
            granted = {"session": answer.session, "sent": len(answer.page.rows), "outcome": "granted"}
            return {**of_early, **granted}
        case SessionRefusal():
            return {"code": answer.problem.code, "outcome": "refused"}
        case SessionWait():
            return {"retry_seconds": answer.retry_seconds, "outcome": "waiting_slot"}
        case SessionPage():
            return {"sent": len(answer.rows)}
        case SessionResult():
            sent = len(answer.page.rows) if answer.page else None
            return {"verdicts": dict(Counter(one.verdict for one in answer.verdicts)), "sent": sent}
        case SessionEqual():
            return {"seq": answer.statement["head_seq"], "outcome": "stated"}
        case SessionMended():
            return {"repaired": len(answer.written), "removed": len(answer.removed)}
        case HistoryAnswered():
            return {"seq": answer.as_of.seq, "sent": len(answer.rows)}
        case HistoryRefused():
            return {"code": answer.problem.code, "outcome": "refused"}
        case OfficerChangeAccepted():
            return {"stored": len(answer.changes)}
        case OfficerChangeRejected():
            problems = answer.problems or [why for change in answer.changes for why in change.problems]
            return {"rejected": len(answer.changes), "code": problems[0].code if problems else None}
    return {}
