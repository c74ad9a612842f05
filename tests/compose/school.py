"""A school's story in a compose project, told with the command alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.compose.project import Project, Ran

CODE = re.compile(r"(?:[0-9A-Z]{4}-){4}[0-9A-Z]{4}")


@dataclass(frozen=True)
class School:
    """One school: where it is at home, and where central is."""

    npsn: str
    site: Project
    central: Project
    pupil: str

    def publish(self, **fields: Any) -> Ran:
        """The operator changes a pupil."""
        change = {"entity": "peserta_didik", "record_id": self.pupil, "fields": fields}
        return self.site.selaras("publish", self.npsn, "/dev/stdin", stdin=json.dumps([change]))

    def sync(self) -> Ran:
        """The principal asks for a sync."""
        return self.site.selaras("sync", self.npsn)

    def roots(self) -> set[tuple[int, str]]:
        """Seq and root as the site and as central have them: one, if both are equal."""
        here = self.site.selaras("status", self.npsn, "--json").json
        there = self.central.central("officer", "school", "show", self.npsn, "--as-of", "head", "--json").json
        return {(here["cursor"], here["root"]), (there["seq"], there["root"])}

    def receipt(self) -> Any:
        """The receipt of its last sync."""
        return self.site.selaras("receipt", "show", self.npsn).json


def register(npsn: str, site: Project, central: Project) -> School:
    """At central with a synthetic baseline, at the site with its code."""
    baseline = central.central("sample", npsn, "--pupils", "12").out
    pupil = next(line for line in map(json.loads, baseline.splitlines()) if line["entity"] == "peserta_didik")
    added = central.central("officer", "school", "add", npsn, "--baseline", "/dev/stdin", stdin=baseline)
    assert added.code == 0, added
    code = CODE.search(added.out)
    assert code
    registered = site.selaras("register", npsn, "--code", code[0])
    assert registered.code == 0, registered
    return School(npsn, site, central, pupil["record_id"])
