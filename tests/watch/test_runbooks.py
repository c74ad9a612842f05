"""A runbook page for every alert, in one form, in two languages, with commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from scripts import alerts
from tests.test_documents import COMMANDS

FOLDER = Path(__file__).parents[2] / alerts.RUNBOOKS
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")
ALERTS = {alert.name: alert for alert in alerts.alerts()}
HEADINGS = ["Gejala · symptom", "Dampak · impact", "Diagnosis", "Tindakan · action", "Pemeriksaan · verification"]


def name_of(page: Path) -> str:
    return page.stem


def typed(page: Path) -> list[str]:
    """Every line of the page's shell blocks."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines()]


def test_every_alert_has_its_page_and_every_page_an_alert() -> None:
    assert {page.stem for page in PAGES} == set(ALERTS)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_says_symptom_impact_diagnosis_action_and_verification_in_both_languages(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    for about in re.split(r"^## .+$", text, flags=re.MULTILINE):
        assert re.search(r"\*[A-Z`].+?\*|· [a-z]", about, re.DOTALL), "English beside the Indonesian"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_commands_of_selaras_and_each_is_there_with_its_options(page: Path) -> None:
    ours = [line for line in typed(page) if line.startswith("selaras ")]
    assert ours
    for line in ours:
        words = shlex.split(line.partition(" > ")[0])
        command = next(name for n in range(len(words), 1, -1) if (name := " ".join(words[:n])) in COMMANDS)
        known = {option for one in COMMANDS[command].params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_every_metric_that_its_alert_reads_of_ours(page: Path) -> None:
    read = set(re.findall(r"\bselaras_\w+_(?:failed|letters|violations_total|pending)\b", ALERTS[page.stem].expr))
    text = page.read_text(encoding="utf-8")
    assert [metric for metric in read if metric not in text] == []


def test_the_overview_lists_every_alert_with_its_urgency() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| (\w+) \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert dict(rows) == {name: alert.severity for name, alert in ALERTS.items()}
    assert len(rows) == len(ALERTS)
