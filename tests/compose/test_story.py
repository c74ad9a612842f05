"""A school's day on the stack, by published events: invalid and refused, pulled, corrected, synced, proven equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compose import school
from tests.compose.project import Project
from tests.compose.school import School


@pytest.fixture(scope="module")
def pupils(project: Project) -> School:
    """A registered school."""
    return school.register("99000010", project, project)


def test_a_sync_is_refused_while_a_record_is_invalid_and_goes_through_once_it_is_corrected(pupils: School) -> None:
    assert len(pupils.roots()) == 1, "the baseline"
    assert pupils.publish(agama_id=None, anak_keberapa=3).code == 0
    refused = pupils.sync()
    assert refused.code == 3
    assert "WAJIB-01" in refused.out + refused.err
    assert pupils.site.selaras("pull", pupils.npsn).code == 0
    assert pupils.publish(agama_id=1).code == 0
    synced = pupils.sync()
    assert synced.code == 0, synced
    ((_, root),) = pupils.roots()
    assert pupils.receipt()["statement"]["root"] == root


def test_the_receipt_is_proven_with_the_public_keys_that_central_hands_out(
    project: Project, pupils: School, tmp_path: Path
) -> None:
    pupils.publish(anak_keberapa=4)
    pupils.sync()
    receipt = project.selaras("receipt", "show", pupils.npsn).out
    verified = project.central(
        "receipt", "verify", "/dev/stdin", "--keys", "/run/secrets/central-keys.json", stdin=receipt
    )
    assert verified.code == 0, verified


def test_down_and_up_lose_nothing(project: Project, pupils: School) -> None:
    pupils.publish(anak_keberapa=2)
    assert pupils.sync().code == 0
    pupils.publish(anak_keberapa=5)  # not sent yet
    roots, receipt = pupils.roots(), pupils.receipt()
    pending = project.selaras("status", pupils.npsn, "--json").json["pending"]
    assert pending == 1
    accounts = project.central("account", "list", "--side", "central", "--json").json
    passwords = project.passwords()
    project.does("down", "--timeout", "60")
    assert project.running() == []
    project.up()
    assert project.passwords() == passwords
    assert project.central("account", "list", "--side", "central", "--json").json == accounts
    assert pupils.roots() == roots
    assert pupils.receipt() == receipt
    assert project.selaras("status", pupils.npsn, "--json").json["pending"] == pending
    assert pupils.sync().code == 0
    assert len(pupils.roots()) == 1
