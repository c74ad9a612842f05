"""A verdict is stored with its findings, and counts only for the revision, rules and day that it is about."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.database import Database
from services.exchange.absorb import Conflict, Replicated
from services.replica import judging, records
from services.rules import CONFLICT, DELETED_CONFLICT, Severity
from tests.replica.builders import NPSN, TODAY, first, held, register


async def break_rules(database: Database, entity: str, record_id: str, **fields: object) -> None:
    """Change data without a word to anybody, as a pull would."""
    key = (entity, record_id)
    record = (await held(database, key))[key]
    async with database.transaction() as transaction:
        data = {name: value for name, value in {**(record.data or {}), **fields}.items() if value is not None}
        await records.write(transaction, NPSN, {key: Replicated(record.base, data)})
        await records.touch(transaction, NPSN)


async def test_a_sound_school_passes(site_database: Database) -> None:
    await register(site_database)
    async with site_database.transaction() as transaction:
        verdict = await judging.judge(transaction, NPSN, TODAY)
        assert verdict.passes
        assert await judging.current(transaction, NPSN, TODAY) == verdict


async def test_records_are_counted_once_under_their_worst_finding(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    await break_rules(site_database, "peserta_didik", pupil, alamat_jalan=None, desa_kelurahan=None, nik="9")
    async with site_database.transaction() as transaction:
        verdict = await judging.judge(transaction, NPSN, TODAY)
    assert verdict.invalid == 1
    assert sum(verdict.by_rule().values()) == len(verdict.findings) >= 3


async def test_a_record_with_both_kinds_of_findings_counts_as_invalid_alone(site_database: Database) -> None:
    school = await register(site_database)
    pupil, fields = first(school, "peserta_didik")
    async with site_database.transaction() as transaction:
        before = await judging.judge(transaction, NPSN, TODAY)
    warned = {(f.entity, f.record_id) for f in before.findings}
    await break_rules(site_database, "peserta_didik", pupil, nama=fields["nama"] + " 7", alamat_jalan=None)
    async with site_database.transaction() as transaction:
        after = await judging.judge(transaction, NPSN, TODAY)
    assert {f.severity for f in after.findings if f.record_id == pupil} == set(Severity)
    assert (after.invalid, after.warning) == (1, len(warned - {("peserta_didik", pupil)}))


async def test_a_stored_verdict_is_read_back_whole(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    await break_rules(site_database, "peserta_didik", pupil, alamat_jalan=None, nik="9")
    async with site_database.transaction() as transaction:
        verdict = await judging.judge(transaction, NPSN, TODAY)
    async with site_database.transaction() as transaction:
        assert await judging.current(transaction, NPSN, TODAY) == verdict
        assert await judging.findings(transaction, NPSN) == verdict.findings
        invalid = await judging.findings(transaction, NPSN, "invalid", 1)
    assert invalid == [f for f in verdict.findings if f.severity is Severity.INVALID][:1]
    assert invalid[0].text("id")


@pytest.mark.parametrize("what", ["revision", "rules", "date"])
async def test_an_outdated_verdict_is_judged_anew(site_database: Database, what: str) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    today = TODAY
    async with site_database.transaction() as transaction:
        assert (await judging.judge(transaction, NPSN, TODAY)).passes
        # a finding nobody judged: it shows whether the stored verdict is believed
        await transaction.run("UPDATE school SET invalid = 77")
        if what == "rules":
            await transaction.run("UPDATE school SET verdict_rules = 'older'")
        assert (await judging.current(transaction, NPSN, TODAY)).invalid == (0 if what == "rules" else 77)
    if what == "revision":
        await break_rules(site_database, "peserta_didik", pupil, alamat_jalan=None)
    if what == "date":
        today += timedelta(days=1)
    async with site_database.transaction() as transaction:
        verdict = await judging.current(transaction, NPSN, today)
    assert verdict.invalid == (1 if what == "revision" else 0)
    assert verdict.date == today


async def test_every_field_in_conflict_is_an_invalid_finding(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    group, _ = first(school, "rombongan_belajar")
    keys = [("peserta_didik", pupil), ("rombongan_belajar", group)]
    before = await held(site_database, *keys)
    async with site_database.transaction() as transaction:
        for key, fields in zip(keys, ({"no_kk", "desa_kelurahan"}, {"*"}), strict=True):
            record = Replicated(before[key].base, before[key].data, None, Conflict(frozenset(fields)))
            await records.write(transaction, NPSN, {key: record})
        verdict = await judging.judge(transaction, NPSN, TODAY)
    conflicts = [f for f in verdict.findings if f.rule in (CONFLICT.code, DELETED_CONFLICT.code)]
    assert {(f.entity, f.field) for f in conflicts} == {
        ("peserta_didik", "no_kk"),
        ("peserta_didik", "desa_kelurahan"),
        ("rombongan_belajar", None),
    }
    assert verdict.invalid == 2
    assert not verdict.passes
