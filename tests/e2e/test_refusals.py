"""What central refuses, over the running system: a newer rule set at central, which the site knows nothing of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from services import topology
from services.central import pushing
from services.demo.stage import PATIENCE_SECONDS, Stage
from services.entities import Fields
from services.messages import SessionCompleted, ValidationCompleted, ValidationRequested
from services.replica import judging
from services.rules import REFUSED, Context, Finding, Rule, Severity, findings, record_findings
from services.rules.catalogue import EXPLAINED
from tests.e2e.conftest import School
from tests.e2e.inside import at_central, inside
from tests.e2e.test_sync import are_equal

NEWER = Rule(
    code="PD-99",
    severity=Severity.INVALID,
    tab=None,
    scope="record",
    condition="of a newer release",
    text_id="{label}: paling banyak 8",
    text_en="{label}: 8 at most",
    todo_id="Periksa kartu keluarga.",
    todo_en="Look at the family card.",
    source="P",
)


@pytest.fixture
async def judged(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """A central with one rule more; the students that it judged and found wrong by it, each time it was asked."""
    found_wrong: list[str] = []

    def stricter(entity: str, record_id: str, fields: Fields, context: Context) -> Sequence[Finding]:
        found = record_findings(entity, record_id, fields, context)
        if entity == "peserta_didik" and fields.get("anak_keberapa", 0) > 8:
            found_wrong.append(record_id)
            found.append(Finding("PD-99", Severity.INVALID, entity, record_id, "anak_keberapa"))
        return found

    monkeypatch.setattr(pushing, "record_findings", stricter)
    monkeypatch.setattr(findings, "EXPLAINED", {**EXPLAINED, "PD-99": NEWER})
    async with inside(stage, "central"):
        yield found_wrong


async def refusals(stage: Stage, npsn: str) -> list[tuple[str, str | None, str, str]]:
    """The site is judged by its validator; what it then lists of central's refusals."""
    async with stage.at(npsn) as client:
        event_id = await client.publish(topology.COMMANDS, f"validate.{npsn}", ValidationRequested())
        async for event in client.events(event_id, seconds=PATIENCE_SECONDS):
            if isinstance(event.data, ValidationCompleted):
                break
        assert event.data.counts.invalid == 0, "it closes no gate"
    async with stage.replica.transaction() as transaction:
        listed = [f for f in await judging.findings(transaction, npsn) if f.rule == REFUSED.code]
    assert event.data.findings.get(REFUSED.code, 0) == len(listed)
    return [(f.record_id, f.field, f.text("en"), f.todo("en")) for f in listed]


async def sync(stage: Stage, npsn: str) -> SessionCompleted:
    async with stage.at(npsn) as client:
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    return end


async def test_a_refused_record_is_shown_with_centrals_words_and_tried_once_by_each_later_session(
    stage: Stage, school: School, judged: list[str]
) -> None:
    bad, good = school.pupils[0], school.pupils[1]
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=9), school.change(1, anak_keberapa=4)])
    for session in (1, 2, 3):
        end = await sync(stage, school.npsn)
        assert end.outcome == "needs_review"
        assert end.verdicts == ({"refused": 1, "applied": 1} if session == 1 else {"refused": 1})
        assert (end.receipt["refused"], end.receipt["unsent"]) == (1, 1)
        assert judged == [bad] * session, "once a session, not more"
    assert await refusals(stage, school.npsn) == [
        (
            bad,
            "anak_keberapa",
            "Refused by central, PD-99: Anak keberapa: 8 at most",
            "Look at the family card. It is sent once more with every sync.",
        )
    ]
    here = await stage.here(school.npsn)
    assert (here.pending, here.refused, here.held) == (1, 1, 0)
    assert ((await at_central(stage, school.npsn, "peserta_didik", good)) or {})["anak_keberapa"] == 4
    assert ((await at_central(stage, school.npsn, "peserta_didik", bad)) or {})["anak_keberapa"] != 9
    assert await are_equal(stage, school.npsn), "what was refused is in neither side's proof"


async def test_what_was_mended_is_taken_and_the_finding_is_gone(
    stage: Stage, school: School, judged: list[str]
) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=9)])
        await sync(stage, school.npsn)
        await stage.publish(client, [school.change(0, anak_keberapa=8)])
    end = await sync(stage, school.npsn)
    assert (end.outcome, end.verdicts, end.receipt["refused"]) == ("completed", {"applied": 1}, 0)
    assert len(judged) == 1
    assert await refusals(stage, school.npsn) == []
    here = await stage.here(school.npsn)
    assert (here.pending, here.refused) == (0, 0)
    assert await are_equal(stage, school.npsn)


async def test_what_central_would_take_after_all_is_taken_by_the_next_session(
    stage: Stage, school: School, monkeypatch: pytest.MonkeyPatch, judged: list[str]
) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=9)])
    await sync(stage, school.npsn)
    assert len(judged) == 1
    monkeypatch.setattr(pushing, "record_findings", record_findings)
    end = await sync(stage, school.npsn)
    assert (end.outcome, end.verdicts) == ("completed", {"applied": 1})
    assert await refusals(stage, school.npsn) == []
    assert await are_equal(stage, school.npsn)
