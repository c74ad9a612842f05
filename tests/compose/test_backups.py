"""Backups of the stack, by schedule and by hand, as docs/deployment.md says; and the site's put back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from tests.compose import school
from tests.compose.project import Project, Ran, eventually


def a_key(project: Project) -> tuple[str, str]:
    """(the key file, the public half), made by the image without a network."""
    image = os.environ.get("SELARAS_IMAGE", "selaras:local")
    made = project.docker(
        "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c",
        "selaras backup keygen /tmp/k >&2 && cat /tmp/k",
    )  # fmt: skip
    assert made.code == 0, made
    (public,) = re.findall(r"^SELARAS_BACKUP_RECIPIENTS=(age1\w+)$", made.err, re.MULTILINE)
    return made.out, public


@pytest.fixture
def scheduled(project: Project) -> Iterator[tuple[Project, str]]:
    """The stack with a schedule in its .env, and the key that opens its backups; afterwards as before."""
    key, public = a_key(project)
    settings = {"SELARAS_BACKUP_EVERY": "24", "SELARAS_BACKUP_RECIPIENTS": public}
    project.environment.update(settings)
    project.up()
    yield project, key
    for name in settings:
        del project.environment[name]
    project.up()


def newest(run: object) -> str | None:
    """The newest backup that the command lists."""
    listed = run("backup", "list", "--json")  # type: ignore[operator]
    assert isinstance(listed, Ran)
    assert listed.code == 0, listed
    return str(listed.json[0]["file"]) if listed.json else None


def test_the_stack_backs_both_sides_up_and_the_site_is_put_back(scheduled: tuple[Project, str]) -> None:
    project, key = scheduled
    for run in (project.selaras, project.central):
        eventually(lambda run=run: newest(run) is not None)  # type: ignore[misc]
        checked = run("backup", "check", str(newest(run)), "--identity", "/dev/stdin", "--json", stdin=key)
        assert checked.code == 0, checked
        assert checked.json["tables"]["account"] > 0

    pupils = school.register("99000029", project, project)
    assert pupils.publish(anak_keberapa=3).code == 0
    made = project.selaras("backup", "site", "--json")
    assert made.code == 0, made
    assert pupils.sync().code == 0

    project.does("stop", "validator", "syncer", "puller")
    sql = (
        "ALTER DATABASE site RENAME TO site_aside", "CREATE DATABASE site OWNER site",
        "REVOKE CONNECT, TEMPORARY ON DATABASE site FROM PUBLIC",
    )  # fmt: skip
    words = [word for one in sql for word in ("-c", one)]
    project.does("exec", "-T", "postgres", "psql", "-U", "postgres", *words)
    back = project.selaras("backup", "restore", made.json["file"], "--identity", "/dev/stdin", stdin=key)
    assert back.code == 0, back
    assert "selaras reinstall" in back.out
    project.up()
    refused = pupils.sync()
    assert refused.code == 3
    assert "SYN-05" in refused.out + refused.err
    assert project.selaras("reinstall", pupils.npsn, "--yes").code == 0
    assert pupils.sync().code == 0
    project.does("exec", "-T", "postgres", "dropdb", "-U", "postgres", "site_aside")
