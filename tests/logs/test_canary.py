"""No person's data in any log, metric, page, trace, or in what is told to others, whatever path the data took.

What may show what, and why:

change.rejected          the names that the school itself sent: of an entity, a field, a record (never a value)
officer.change.rejected  likewise, to officers
sync.refused             the finding of a conflict shows central's value, to the school alone: a person has to choose
RabbitMQ's log           of what it refused for want of a right: routing key, exchange, user; never the message
selaras dead show        the properties of one message, to ops who ask for it, as its sender filled them; never the body

Bodies are in the two databases, in quarantine, and in files that somebody asked for by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from rich.console import Console

from services.demo.stage import Stage
from services.embedded.stack import SERVICES, Stack
from tests.conftest import new_npsn
from tests.logs.canary import NIK, Heard, servers_logs
from tests.logs.collector import Collector, collector
from tests.logs.paths import told
from tests.logs.test_traces import restart

SENT_NAMES = {"kanari_murid", "kanari_isian", "kanari_isian tidak dikenal", "kanari_isian is not known", NIK}
MAY_SHOW = {
    "change.rejected.v1": SENT_NAMES
    | {"Kanari Sumber"}
    | {"kanari_murid tidak dikenal", "kanari_murid is not known", "9900011234567890"},
    "officer.change.rejected.v1": SENT_NAMES,
    "sync.refused.v1": {"Kanari Dari Pusat"},
}


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as taken:
        yield taken


@pytest.fixture(scope="module")
async def heard(running: Stack, traces: Collector, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Heard]:
    """The story, told once; the services have stopped and started again after it, so their last words are there too."""
    if len(set(running.addresses.amqp.values())) == 1:
        pytest.skip("SELARAS_AMQP_URL names servers of one's own: no permissions to try, and no logs to read")
    stage = Stage(running, Console(quiet=True))
    await restart(stage, SELARAS_OTLP_ENDPOINT=traces.endpoint, SELARAS_LOG_LEVEL="DEBUG")
    async with told(stage, new_npsn(), new_npsn(), tmp_path_factory.mktemp("berkas")) as heard:
        await restart(stage)
        yield heard
    await stage.close()


def test_the_canaries_were_there_to_be_seen(heard: Heard) -> None:
    """A search that finds nothing where there is something proves nothing."""
    assert heard.canaries.seen(f"x{next(iter(heard.canaries.numbers))}") != []
    assert heard.canaries.seen('{"nama": "KANARI Ayu"}') == ["KANARI Ayu"]
    assert len(heard.canaries.numbers) > 100
    assert {"UBAH-01", "UBAH-02", "UBAH-03", "UBAH-04", "UBAH-10", "SYN-01", "SYN-12", "SYN-25", "MSG-11"} <= set(
        heard.codes
    )
    assert len(heard.events) > 50


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_log_shows_nothing_of_a_person(heard: Heard, running: Stack, service: str) -> None:
    text = running.log_file(service).read_text(errors="replace")
    assert heard.npsn in text
    assert heard.canaries.seen(text) == []


def test_the_servers_logs_show_nothing_of_a_person(heard: Heard, running: Stack) -> None:
    found = {name: set(heard.canaries.seen(text)) for name, text in servers_logs(running.run_dir)}
    broker = {name: seen for name, seen in found.items() if name.startswith("rabbitmq/")}
    assert set().union(*broker.values()) == {"Kanari Kunci"}
    assert {name: seen for name, seen in found.items() if name not in broker and seen} == {}


def test_traces_show_nothing_of_a_person(heard: Heard, traces: Collector) -> None:
    assert {span.service for span in traces.spans} >= set(SERVICES)
    assert any(heard.npsn.encode() in body for body in traces.raw)
    assert [seen for body in traces.raw if (seen := heard.canaries.seen(body))] == []


def test_metrics_pages_and_ops_commands_show_nothing_of_a_person(heard: Heard) -> None:
    shown = {what: seen for what, text in heard.shown.items() if (seen := heard.canaries.seen(text))}
    assert {what: seen for what, seen in shown.items() if not what.startswith("dead show")} == {}


def test_others_are_told_nothing_of_a_person(heard: Heard) -> None:
    assert heard.replies
    assert [seen for reply in heard.replies if (seen := heard.canaries.seen(reply.model_dump_json()))] == []


def test_what_is_announced_shows_a_person_only_where_the_school_has_to_see_it(heard: Heard) -> None:
    shown: dict[str, set[str]] = {}
    for event in heard.events:
        seen = heard.canaries.seen(event.data.model_dump_json())
        assert not seen or event.subject == heard.npsn
        shown.setdefault(event.type, set()).update(seen)
    assert {kind: more for kind, seen in shown.items() if (more := seen - MAY_SHOW.get(kind, set()))} == {}
    assert shown["sync.refused.v1"], "else nothing was listened to"
