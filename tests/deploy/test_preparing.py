"""What the first start makes: once, whole, and for each container its own."""

from __future__ import annotations

import json
import re
import ssl
from pathlib import Path

import pytest

from services import signing, topology
from services.central.app import Settings as CentralSettings
from services.deploy import certificates, preparing
from services.deploy.installing import own_accounts
from services.deploy.joining import Joining, Unusable
from services.deploy.preparing import NotJoined, join, prepare
from services.embedded.stack import users
from services.link.settings import LinkSettings
from services.settings import load
from services.validator.app import Settings as ValidatorSettings

SITE = "situs"


def a_joining(**other: object) -> str:
    """What central hands to a site."""
    authority, _ = certificates.new_authority("pusat", certificates.now())
    return json.dumps(
        {
            "site": "utara",
            "sync_url": "amqps://utara-sync:rahasia%2F1@pusat.example:5671/",
            "pull_url": "amqps://utara-pull:rahasia2@pusat.example:5671/",
            "central_keys": {"keys": []},
            "central_ca": authority.decode(),
        }
        | other
    )


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A site and central, prepared."""
    prepare(tmp_path, "all", site=SITE, host="pusat.example")
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def passwords(root: Path) -> dict[str, str]:
    """Whose password is which."""
    found = json.loads((root / "own" / "passwords.json").read_text())
    assert isinstance(found, dict)
    return found


def test_doing_it_again_changes_nothing(whole: Path) -> None:
    before = contents(whole)
    prepare(whole, "all", site=SITE, host="pusat.example")
    assert contents(whole) == before


def test_what_got_lost_is_made_again_and_what_is_there_stays(whole: Path) -> None:
    before = contents(whole)
    (whole / "validator" / "selaras_amqp_url").unlink()
    prepare(whole, "all", site=SITE, host="pusat.example")
    assert contents(whole) == before


def test_every_password_is_long_and_its_own(whole: Path) -> None:
    found = passwords(whole)
    assert len(set(found.values())) == len(found)
    assert all(len(password) >= 32 for password in found.values())


def test_files_are_their_readers_alone(whole: Path) -> None:
    for file in whole.rglob("*"):
        servers = file.relative_to(whole).parts[0] in ("rabbitmq", "postgres", "grafana")
        mode = file.stat().st_mode & 0o777
        assert mode == ((0o750 if servers else 0o700) if file.is_dir() else (0o640 if servers else 0o600)), file


READERS: dict[str, set[str]] = {
    "validator": {"validator", "database:site"},
    "syncer": {"syncer", "situs-sync", "database:site"},
    "puller": {"puller", "situs-pull", "database:site"},
    "central": {"central", "database:central"},
    "migrate": {"database:site", "database:central"},
    "command": {"perintah", "situs-sync", "database:site"},
    "central-command": {"petugas", "pengelola", "database:central"},
    "rabbitmq": set(),
    "postgres": {"database:site", "database:central", "database:postgres"},
    "grafana": {"grafana"},
}
"""Each container, and whose passwords it is to know."""


@pytest.mark.parametrize(("part", "whose"), READERS.items())
def test_a_container_is_given_its_own_passwords_and_no_others(whole: Path, part: str, whose: set[str]) -> None:
    text = b"".join(contents(whole / part).values()).decode()
    assert {name for name, password in passwords(whole).items() if password in text} == whose
    private = json.loads((whole / "central" / "signing-keys.json").read_text())["keys"][0]["d"]
    assert (private in text) == (part == "central")


def test_there_is_no_part_that_nobody_asked_for(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {"own"} | READERS.keys()


def test_the_brokers_definitions_are_exactly_those_of_the_topology(whole: Path) -> None:
    made = json.loads((whole / "rabbitmq" / "definitions.json").read_text())
    everybody = [*users(), topology.administrator_user()]
    expected = topology.definitions({user.name: (user, passwords(whole)[user.name]) for user in everybody})
    assert {key: made[key] for key in expected if key != "users"} == {
        key: value for key, value in expected.items() if key != "users"
    }
    for user, wanted in zip(made["users"], expected["users"], strict=True):
        assert user.pop("hashing_algorithm") == "rabbit_password_hashing_sha256"
        assert user.pop("password_hash") == preparing.password_hash(wanted.pop("password"))
        assert user == wanted
    assert "guest" not in {user["name"] for user in made["users"]}


def test_services_read_their_settings_from_their_files(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELARAS_SECRETS_DIR", str(whole / "validator"))
    validator = load(ValidatorSettings)
    assert validator.amqp_url == f"amqp://validator:{passwords(whole)['validator']}@rabbitmq:5672/"
    assert validator.site_database_url.endswith("@postgres:5432/site")
    assert validator.site == SITE
    monkeypatch.setenv("SELARAS_SECRETS_DIR", str(whole / "syncer"))
    assert (load(LinkSettings).central_amqp_url or "").startswith("amqp://situs-sync:")
    monkeypatch.setenv("SELARAS_SECRETS_DIR", str(whole / "central"))
    monkeypatch.setenv("SELARAS_SIGNING_KEYS_FILE", str(whole / "central" / "signing-keys.json"))
    central = load(CentralSettings)
    assert central.site == "pusat"
    keys = signing.SigningKeys.read(central.signing_keys_file)
    published = json.loads((whole / "puller" / "central-keys.json").read_text())
    assert [key["kid"] for key in published["keys"]] == [keys.active]


def test_a_rotated_key_comes_to_the_site_with_the_next_start(whole: Path) -> None:
    kid = signing.rotate(whole / "central" / "signing-keys.json")
    prepare(whole, "all", site=SITE, host="pusat.example")
    published = json.loads((whole / "syncer" / "central-keys.json").read_text())
    assert published["keys"][0]["kid"] == kid
    assert len(published["keys"]) == 2


def test_the_brokers_certificate_is_made_anew_for_another_name_by_the_same_authority(whole: Path) -> None:
    before = contents(whole)
    prepare(whole, "all", site=SITE, host="lain.example")
    after = contents(whole)
    assert {name for name in after if after[name] != before[name]} == {"rabbitmq/server.pem", "rabbitmq/server.key"}
    context = ssl.create_default_context(cafile=str(whole / "rabbitmq" / "ca.pem"))
    context.load_cert_chain(whole / "rabbitmq" / "server.pem", whole / "rabbitmq" / "server.key")


# ── a site alone ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_site_alone_waits_for_central_to_let_it_in(tmp_path: Path) -> None:
    with pytest.raises(NotJoined, match="selaras deploy join"):
        prepare(tmp_path, "site", site=SITE, host="localhost")
    assert (tmp_path / "rabbitmq" / "definitions.json").exists()
    assert join(tmp_path, a_joining()) == "utara"
    prepare(tmp_path, "site", site=SITE, host="localhost")


def test_a_site_alone_checks_central_with_the_ca_that_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = a_joining()
    join(tmp_path, text)
    prepare(tmp_path, "site", site=SITE, host="localhost")
    monkeypatch.setenv("SELARAS_SECRETS_DIR", str(tmp_path / "puller"))
    settings = load(LinkSettings)
    assert settings.site == "utara"
    assert settings.central_amqp_url == (
        "amqps://utara-pull:rahasia2@pusat.example:5671/?cafile=/run/secrets/central-ca.pem"
    )
    assert (tmp_path / "puller" / "central-ca.pem").read_text() == json.loads(text)["central_ca"]
    assert "rahasia%2F1" not in b"".join(contents(tmp_path / "puller").values()).decode()


def test_a_site_alone_has_nothing_of_central(tmp_path: Path) -> None:
    join(tmp_path, a_joining())
    prepare(tmp_path, "site", site=SITE, host="localhost")
    assert not {"central", "central-command"} & {path.name for path in tmp_path.iterdir()}
    made = json.loads((tmp_path / "rabbitmq" / "definitions.json").read_text())
    assert {user["name"] for user in made["users"]} == {"validator", "syncer", "puller", "perintah", "pengelola"}
    assert not [queue["name"] for queue in made["queues"] if "central" in queue["name"]]
    assert {one["name"] for one in made["exchanges"]} == {e.name for e in topology.EXCHANGES if e.side == "site"}
    assert {path.name for path in (tmp_path / "postgres").iterdir()} == {"site.password", "postgres.password"}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "JSON"),
        ("{}", "site"),
        (a_joining(site="Utara Sekali"), "site"),
        (a_joining(sync_url="amqp://utara-sync:x@pusat.example/"), "sync_url"),
        (a_joining(central_ca="bukan sertifikat"), "central_ca"),
        (a_joining(lain=1), "lain"),
    ],
)
def test_what_central_did_not_write_is_refused_with_the_place_and_without_a_value(
    tmp_path: Path, text: str, where: str
) -> None:
    with pytest.raises(Unusable, match=rf"\({where}: ") as refused:
        join(tmp_path, text)
    assert "rahasia" not in str(refused.value)
    assert contents(tmp_path) == {}


def test_what_is_written_for_a_site_is_what_it_reads() -> None:
    document = Joining.read(a_joining())
    assert Joining.read(document.write()) == document


def test_the_installations_own_users_have_accounts_and_nobody_else() -> None:
    granted = {user for rows in own_accounts(SITE).values() for user, _, _ in rows}
    speaking = {user.name for user in users() if not re.fullmatch("validator|syncer|puller|central", user.name)}
    assert granted == speaking
