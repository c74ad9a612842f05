"""`selaras account` and `selaras site`, as an administrator types them."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services import signing, topology
from services.demo.stage import Stage
from services.deploy import certificates
from tests.cli.conftest import Terminal


async def test_a_grant_is_listed_and_taken_back(terminal: Terminal, npsn: str) -> None:
    for _ in range(2):
        assert (await terminal.selaras("account", "grant", "impor", npsn, "operator")).code == 0
    row = {"user_name": "impor", "npsn": npsn, "role": "operator", "names_people": False}
    assert (await terminal.selaras("account", "list", "--json")).json.count(row) == 1
    assert (await terminal.selaras("account", "grant", "impor", npsn, "operator", "--names-people")).code == 0
    assert row | {"names_people": True} in (await terminal.selaras("account", "list", "--json")).json
    assert (await terminal.selaras("account", "revoke", "impor", npsn, "operator")).code == 0
    assert (await terminal.selaras("account", "revoke", "impor", npsn, "operator")).code == 3
    assert "impor" not in (await terminal.selaras("account", "list")).out


async def test_a_role_counts_where_it_belongs(terminal: Terminal) -> None:
    for side, role in (("site", "officer"), ("site", "site-sync"), ("central", "principal")):
        said = await terminal.selaras("account", "grant", "orang", "*", role, "--side", side)
        assert said.code == 2
        assert f"--side {side}" in said.err
    assert (await terminal.selaras("account", "grant", "orang", "bukan", "operator")).code == 2


@pytest.fixture
def office(terminal: Terminal, stage: Stage, tmp_path: Path) -> Terminal:
    """A terminal of central's administrator."""
    addresses = stage.stack.addresses
    if addresses.servers is None:
        pytest.skip("SELARAS_AMQP_URL names servers whose management interface is not known")
    user = topology.ADMINISTRATOR_USER
    signing.new(tmp_path / "keys.json")
    (tmp_path / "public.json").write_text(signing.public_document(tmp_path / "keys.json"))
    (tmp_path / "ca.pem").write_bytes(certificates.new_authority("pusat", certificates.now())[0])
    return terminal.told(
        SELARAS_MANAGEMENT_URL=f"http://{user}:{urlsplit(addresses.amqp[user]).password}@"
        f"127.0.0.1:{addresses.servers.management_port}/",
        SELARAS_CENTRAL_ADDRESS="pusat.example:5671",
        SELARAS_CENTRAL_KEYS_FILE="public.json",
        SELARAS_CENTRAL_CA_FILE="ca.pem",
    )


async def test_a_site_is_added_listed_and_removed(office: Terminal) -> None:
    added = await office.selaras("site", "add", "tengah")
    assert added.code == 0, added
    assert added.json["site"] == "tengah"
    assert urlsplit(added.json["pull_url"]).username == "tengah-pull"
    again = await office.selaras("site", "add", "tengah")
    assert (again.code, again.out) == (0, "")
    assert "tengah" in (await office.selaras("site", "list", "--json")).json
    assert (await office.selaras("site", "remove", "tengah")).code == 0
    assert (await office.selaras("site", "remove", "tengah")).code == 3


async def test_what_a_site_joins_with_is_written_for_its_owner_alone_and_over_nothing(office: Terminal) -> None:
    assert (await office.selaras("site", "add", "tepi", "--file", "tepi.json")).code == 0
    file = office.folder / "tepi.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = json.loads(file.read_text())
    refused = await office.selaras("site", "add", "tepi", "--rotate", "--file", "tepi.json")
    assert refused.code == 2
    assert json.loads(file.read_text()) == first
    await office.selaras("site", "remove", "tepi")


async def test_what_is_missing_for_a_site_is_named_before_anything_is_made(office: Terminal) -> None:
    for lacking in ("CENTRAL_ADDRESS", "CENTRAL_KEYS_FILE", "CENTRAL_CA_FILE", "MANAGEMENT_URL"):
        said = await office.lacking(f"SELARAS_{lacking}").selaras("site", "add", "jauh")
        assert said.code == 5
        assert f"SELARAS_{lacking} is not set" in said.err
    for name in ("Utara", "a b", "-a", "x" * 40):
        assert (await office.selaras("site", "add", name)).code == 2
    assert (await office.selaras("site", "add", "jauh", "--address", "tanpa-port")).code == 2
    assert "jauh" not in (await office.selaras("site", "list", "--json")).json
