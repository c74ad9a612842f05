"""The catalogue is complete: every code that the code uses is in it, and every text of it can be filled in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from services import errors
from services.errors import CATALOGUE, MessageRefused, Permanent, SelarasError, Transient
from services.problems import problem

SERVICES = Path(errors.__file__).parent
CODE = re.compile(r"(MSG|UBAH|SYN|PUSAT|CAD)-\d\d")
PLACEHOLDER = re.compile(r"\{(\w*)\}")
RAISED = ("MessageRefused", "Permanent")


class Use(NamedTuple):
    """A place where a code is used. `given`: the names it fills in; None where that cannot be read from the text."""

    where: str
    code: str
    by: str
    given: frozenset[str] | None


def uses() -> Iterator[Use]:
    """Every code in the code but the catalogue itself."""
    for path in sorted(SERVICES.rglob("*.py")):
        if path == Path(errors.__file__):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and _code(node.args[0]):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                keywords = {keyword.arg for keyword in node.keywords}
                given = None if None in keywords else frozenset(str(keyword) for keyword in keywords)
                yield Use(f"{path.relative_to(SERVICES)}:{node.lineno}", _code(node.args[0]), name, given)
            elif isinstance(node, ast.Constant) and _code(node):
                yield Use(f"{path.relative_to(SERVICES)}:{node.lineno}", _code(node), "", None)


def _code(node: ast.expr) -> str:
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return text if CODE.fullmatch(text) else ""


def placeholders(code: str) -> set[str]:
    """The names that the texts of a code leave to be filled in."""
    about = CATALOGUE[code]
    return {name for text in (about.id, about.en, about.next_id, about.next_en) for name in PLACEHOLDER.findall(text)}


def test_every_code_that_is_used_is_in_the_catalogue_and_the_other_way_round() -> None:
    assert {use.code for use in uses()} == set(CATALOGUE)


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_code_says_what_is_wrong_and_what_to_do_in_both_languages(code: str) -> None:
    about = CATALOGUE[code]
    assert CODE.fullmatch(code)
    for text in (about.id, about.en, about.next_id, about.next_en):
        assert text == text.strip()
        assert len(text) > 10
        assert not text.endswith(".")
        assert text[0].isupper() or text[0] == "{" or text.startswith("record_id")
    assert about.id != about.en
    assert about.next_id != about.next_en


@pytest.mark.parametrize("code", CATALOGUE)
def test_both_languages_of_a_code_leave_the_same_to_be_filled_in(code: str) -> None:
    about = CATALOGUE[code]
    assert set(PLACEHOLDER.findall(about.id)) == set(PLACEHOLDER.findall(about.en))
    assert set(PLACEHOLDER.findall(about.next_id)) == set(PLACEHOLDER.findall(about.next_en))


def test_whoever_reports_a_code_fills_in_all_that_its_texts_leave_open() -> None:
    read = [use for use in uses() if use.by == "problem" and use.given is not None]
    assert len(read) > 20
    lacking = {use.where: missing for use in read if (missing := placeholders(use.code) - (use.given or frozenset()))}
    assert not lacking


def test_what_is_raised_about_a_message_leaves_nothing_to_be_filled_in() -> None:
    raised = {use.code for use in uses() if use.by in RAISED}
    assert {code.partition("-")[0] for code in raised} == {"MSG"}
    assert not {code for code in raised if placeholders(code)}


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_problem_is_told_whole_when_it_is_filled_in(code: str) -> None:
    told = problem(code, **dict.fromkeys(placeholders(code), "7"), detail="isian: alasan")
    for text in (told.text_id, told.text_en, told.next_id, told.next_en):
        assert not PLACEHOLDER.search(text)
    assert told.text_id.endswith(": isian: alasan")
    assert told.text_en.endswith(": isian: alasan")


def test_braces_in_what_is_filled_in_are_just_text() -> None:
    told = problem("UBAH-03", field="{expected}", expected="{0}{x!r}{")
    assert told.text_id.endswith("({0}{x!r}{)")
    assert problem("UBAH-02", field="{}").text_en == "The field {} is not known"


def test_what_is_raised_names_its_code_and_its_detail() -> None:
    assert str(MessageRefused("MSG-09", "changes.0.op: Input should be 'upsert'")) == (
        f"MSG-09 {CATALOGUE['MSG-09'].en}: changes.0.op: Input should be 'upsert'"
    )
    assert str(MessageRefused("MSG-04")) == f"MSG-04 {CATALOGUE['MSG-04'].en}"
    with pytest.raises(KeyError):
        MessageRefused("MSG-99")


def test_what_we_raise_either_passes_by_itself_or_never_does() -> None:
    ours = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SelarasError)} - {
        SelarasError
    }
    assert all(issubclass(one, Transient) != issubclass(one, Permanent) for one in ours)
