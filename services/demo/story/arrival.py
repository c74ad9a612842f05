"""Central knows two schools; the site registers them, and the puller brings their baselines in."""

from __future__ import annotations

from services.central import administration
from services.demo.stage import Stage
from services.demo.story.cast import School
from services.demo.story.endings import received
from services.demo.synthetic import jsonl


async def baseline(stage: Stage, *schools: School) -> None:
    """Each with the code that central's officer gave it."""
    stage.step("Registrasi pertama", "first registration: the baseline comes down")
    for school in schools:
        code = await administration.add_school(stage.registry, school.npsn, jsonl(school.baseline))
        await stage.register(school.npsn, code)
        async with stage.at(school.npsn) as client:
            end = await stage.session(client, "pull", "operator")
        here, there = await stage.here(school.npsn), await stage.centre(school.npsn)
        stage.say(f"{here.nama} ({school.npsn}): {', '.join(f'{n} {entity}' for entity, n in there.counts.items())}")
        stage.check(
            f"{school.npsn}: {received(end)} data awal diterima · baseline received",
            received(end) == sum(map(len, school.baseline.values())),
        )
        await stage.equal(school.npsn)
