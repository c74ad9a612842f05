"""The generated pages are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.entities import SPECS
from services.rules import CATALOGUE
from services.rules.documents import entities_page, rules_page, write

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "page"), [("rules.md", rules_page), ("entities.md", entities_page)])
def test_the_page_is_up_to_date(name: str, page: object) -> None:
    assert callable(page)
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == page(), "run: python -m services.rules.documents docs"


def test_every_rule_and_every_field_has_its_row(tmp_path: Path) -> None:
    write(tmp_path)
    rules = (tmp_path / "rules.md").read_text(encoding="utf-8")
    entities = (tmp_path / "entities.md").read_text(encoding="utf-8")
    assert all(rules.count(f"| {code} |") == 1 for code in CATALOGUE)
    assert entities.count("| `") == sum(len(spec.fields) for spec in SPECS.values())
