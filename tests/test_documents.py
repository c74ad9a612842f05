"""What the documents say is so: generated pages are those of the code, and what they name is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer

from scripts import docs
from services.cli import commands as cli
from services.cli import outcomes
from services.cli.commands import app
from services.cli.later import Later
from services.embedded.stack import Stack
from services.errors import CATALOGUE
from services.messages import SCHEMA
from services.rules import CATALOGUE as RULES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GENERATED = {*docs.PAGES, "rules.md", "entities.md"}
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
SVG = "{http://www.w3.org/2000/svg}"
REGISTRATION_CODE = r"[0-9A-Z]\{4\}\(-[0-9A-Z]\{4\}\)\{4\}"


def name_of(page: Path) -> str:
    """As pytest shows it."""
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    """The whole page."""
    return page.read_text(encoding="utf-8")


def commands(group: Any = None, path: tuple[str, ...] = ("selaras",)) -> Iterator[tuple[str, Any]]:
    """Every command, as it is typed, and what typer knows of it."""
    group = group or typer.main.get_command(app)
    for name, known in group.commands.items():
        one = known.load() if isinstance(known, Later) else known
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        else:
            yield " ".join((*path, name)), one


COMMANDS = dict(commands())


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next."""
    _, _, rest = page.partition(f"\n{heading}\n")
    return re.split(r"\n#+ ", rest)[0]


# ── generated pages ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert text_of(DOCS / name) == docs.PAGES[name](), "run: python scripts/docs.py docs"


def test_every_message_code_metric_and_setting_has_its_row() -> None:
    messages, errors, metrics, settings = (
        text_of(DOCS / f"{name}.md") for name in ("messages", "errors", "metrics", "settings")
    )
    assert all(messages.count(f"\n## {name}\n") == 1 for name in SCHEMA)
    assert all(errors.count(f"\n| {code} |") == 1 for code in CATALOGUE)
    exported = {metric.name for metric in docs.metrics()}
    assert set(re.findall(r"^\| `(\w+)` \|", metrics, re.MULTILINE)) == exported
    of_services = {name for service in docs.built().values() for name in type(service.settings).model_fields}
    named = set(re.findall(r"^\| `SELARAS_(\w+)` \|", settings, re.MULTILINE))
    assert {name.upper() for name in of_services} <= named


def test_a_page_that_is_written_out_is_the_one_that_is_tested(tmp_path: Path) -> None:
    docs.write(tmp_path)
    assert {page.name for page in tmp_path.iterdir()} == set(docs.PAGES)
    assert all(text_of(page) == text_of(DOCS / page.name) for page in tmp_path.iterdir())


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_documented_with_all_its_options_and_an_example(command: str) -> None:
    about = section(text_of(DOCS / "command.md"), f"### {command}")
    assert f"\n{command}" in about, "an example"
    options = {option for one in COMMANDS[command].params for option in one.opts if option.startswith("--")}
    assert set(re.findall(r"--[a-z-]+", about)) == options - {"--help"}


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: str(command.name))
def test_the_line_that_help_shows_of_a_command_is_its_own(command: Later) -> None:
    assert command.help == command.load().help.partition("\n\n")[0].replace("\n", " ")


def test_no_command_is_documented_that_is_not_there() -> None:
    assert set(re.findall(r"^### (selaras .+)$", text_of(DOCS / "command.md"), re.MULTILINE)) == set(COMMANDS)


def test_every_exit_code_is_documented() -> None:
    codes = {value for name, value in vars(outcomes).items() if name.isupper() and isinstance(value, int)}
    rows = set(map(int, re.findall(r"^\| (\d+) \|", text_of(DOCS / "exit-codes.md"), re.MULTILINE)))
    assert rows == codes == set(outcomes.MEANINGS)
    short = section(text_of(DOCS / "command.md"), "## Exit codes")
    assert set(map(int, re.findall(r"\b\d+\b", short))) == codes


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_a_command_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"(?:^|`)(selaras(?: [a-z][a-z-]*)*)", text_of(page), re.MULTILINE)
    groups = {" ".join(command.split()[:n]) for command in COMMANDS for n in range(1, len(command.split()) + 1)}
    for command in named:
        words = command.split()
        known = max(n for n in range(1, len(words) + 1) if " ".join(words[:n]) in groups)
        taken = " ".join(words[:known])
        assert taken in COMMANDS or taken == command, f"{command} is no command"


def test_the_readmes_commands_work(running: Stack, npsn: str, tmp_path: Path) -> None:
    (block,) = [b for b in re.findall(r"```sh\n(.*?)```", text_of(ROOT / "README.md"), re.DOTALL) if "register" in b]
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith(("#", "."))]
    assert len(lines) > 8
    expected = [int(found[1]) if (found := re.search(r"exit code (\d+)", line)) else 0 for line in lines]
    block = "\n".join(f"{line.partition('  #')[0]}\necho @ $?" for line in lines).replace("99000010", npsn)
    block = "set -o pipefail\n" + block.replace(
        "--baseline .run/sekolah.jsonl", "--baseline .run/sekolah.jsonl | tee code"
    )
    (tmp_path / ".run").mkdir()  # where it stands once `make up` runs
    block = block.replace("--code CODE", f"--code $(grep -o '{REGISTRATION_CODE}' code)")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")},
        **running.addresses.of_site_command(),
        **running.addresses.of_officer_command(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        ["bash", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert [int(code) for code in re.findall(r"^@ (\d+)$", done.stdout, re.MULTILINE)] == expected, (
        done.stdout + done.stderr
    )
    roots = re.findall(r"\b[0-9a-f]{64}\b", done.stdout)
    assert len(set(roots[-3:])) == 1, "the receipt, the site and central name one root"


# ── what pages name ──────────────────────────────────────────────────────────────────────────────────────────────────


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links to them are written."""
    return {docs._anchor(heading) for heading in re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert ROOT in (target, *target.parents), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_what_a_page_names_is_there(page: Path) -> None:
    text = text_of(page)
    tests = "".join(text_of(file) for file in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests] == []
    files = re.findall(r"`((?:services|tests|scripts|docs)/[\w/.-]+)`", text)
    assert [name for name in files if not (ROOT / name).exists()] == []
    codes = re.findall(r"\b(?:MSG|UBAH|SYN|PUSAT|CAD)-\d\d\b", text)
    assert [code for code in codes if code not in CATALOGUE] == []
    rules = re.findall(r"\b(?:SKL|PD|GTK|RMB|PBJ|WAJIB)-\d\d\b", text)
    assert [code for code in rules if code not in RULES] == []
    types = [name for name in re.findall(r"`([a-z.]+\.v\d+)`", text) if not name.startswith(".")]
    assert [name for name in types if name not in SCHEMA] == []


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_a_metric_or_setting_that_a_page_names_is_there(page: Path) -> None:
    metrics = text_of(DOCS / "metrics.md")
    assert [name for name in re.findall(r"\bselaras_[a-z_]+\b", text_of(page)) if f"`{name}`" not in metrics] == []
    known = text_of(DOCS / "settings.md") + text_of(ROOT / "services" / "cli" / "commands.py")
    assert [name for name in re.findall(r"\bSELARAS_[A-Z_]+\b", text_of(page)) if name not in known] == []


def test_a_place_in_the_protocol_that_the_code_names_is_there() -> None:
    headings = set(re.findall(r"^## (\d+)\. ", text_of(DOCS / "protocol.md"), re.MULTILINE))
    cited = {
        number
        for file in (ROOT / "services").rglob("*.py")
        for number in re.findall(r"protocol\.md (\d+)", text_of(file))
    }
    assert cited
    assert cited <= headings


def test_a_page_that_the_code_names_is_there() -> None:
    named = {
        page
        for folder in ("services", "scripts")
        for file in (ROOT / folder).rglob("*.py")
        for page in re.findall(r"docs/[\w/-]+\.md", text_of(file))
    }
    assert [page for page in sorted(named) if not (ROOT / page).exists()] == []


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("*.md")), ids=name_of)
def test_a_decision_says_what_why_what_else_and_until_when_on_a_page(page: Path) -> None:
    text = text_of(page)
    heads = ("**Decision.**", "**Why.**", "**Rejected, and because.**", "**Revisit when**")
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert text.startswith(f"# {page.name[:4]}: ")
    assert len(text.split()) < 400


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(page.name[:4]) for page in sorted((DOCS / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_picture_reads_alone_and_names_the_four_services() -> None:
    picture = ElementTree.parse(DOCS / "picture.svg").getroot()  # noqa: S314  our own file
    assert picture.tag == f"{SVG}svg"
    assert picture.find(f"{SVG}title") is not None
    assert picture.find(f"{SVG}desc") is not None
    words = {" ".join("".join(text.itertext()).split()) for text in picture.iter(f"{SVG}text")}
    assert {"validator", "syncer", "puller", "central", "replica", "registry", "RabbitMQ"} <= words
    for element in picture.iter():
        assert not any("href" in name or "://" in value for name, value in element.attrib.items())
