"""A statement is proven by central's key and nothing else."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from services import signing
from services.exchange import canonical
from services.signing import KeysUnusable, NotProven, PublicKeys, SigningKeys

STATEMENT = {"npsn": "99000001", "root": "ab", "unsent": 0, "lineage": [{"head_seq": 0, "incarnation": "x"}]}
TEXT = canonical.encode(STATEMENT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private key set."""
    file = tmp_path / "keys.json"
    signing.new(file)
    return file


@pytest.fixture
def keys(file: Path) -> SigningKeys:
    """Its keys."""
    return SigningKeys.read(file)


def encoded(part: object) -> str:
    body = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def reason(keys: PublicKeys, token: str) -> str:
    with pytest.raises(NotProven) as refused:
        keys.verify(token)
    return refused.value.reason


def test_a_signed_statement_comes_back_as_it_was(keys: SigningKeys) -> None:
    token = keys.sign(TEXT)
    assert keys.public.verify(token) == STATEMENT
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"alg": "Ed25519", "kid": keys.active, "typ": "selaras-statement"}


def test_a_byte_changed_anywhere_is_refused(keys: SigningKeys) -> None:
    header, payload, signature = keys.sign(TEXT).split(".")
    other = encoded(canonical.encode({**STATEMENT, "unsent": 1}).encode())
    assert reason(keys.public, f"{header}.{other}.{signature}") == "signature"
    changed = bytearray(base64.urlsafe_b64decode(signature + "=="))
    for index in range(len(changed)):
        changed[index] ^= 1
        assert reason(keys.public, f"{header}.{payload}.{encoded(bytes(changed))}") == "signature"
        changed[index] ^= 1


@pytest.mark.parametrize(
    "changed",
    [
        {"alg": "none"},
        {"alg": "EdDSA"},
        {"alg": "HS256"},
        {"typ": "JWT"},
        {"jwk": {"kty": "OKP"}},
        {"crit": ["b64"], "b64": False},
    ],
)
def test_a_header_of_another_kind_is_refused(keys: SigningKeys, changed: dict[str, Any]) -> None:
    _, payload, signature = keys.sign(TEXT).split(".")
    header = encoded({"alg": "Ed25519", "kid": keys.active, "typ": "selaras-statement", **changed})
    assert reason(keys.public, f"{header}.{payload}.{signature}") in ("header", "form")
    assert reason(keys.public, f"{header}.{payload}.") in ("header", "form")


def test_a_symmetric_signature_keyed_with_the_public_key_is_refused(keys: SigningKeys, file: Path) -> None:
    public = json.loads(signing.public_document(file))["keys"][0]
    secret = OctKey.import_key(base64.urlsafe_b64decode(public["x"] + "="))
    header = {"alg": "HS256", "kid": keys.active, "typ": "selaras-statement"}
    forged = jws.serialize_compact(header, TEXT, secret, algorithms=["HS256"])
    assert reason(keys.public, forged) == "header"


def test_another_centrals_key_is_refused_even_under_a_kid_of_ours(keys: SigningKeys, tmp_path: Path) -> None:
    signing.new(tmp_path / "other.json")
    other = SigningKeys.read(tmp_path / "other.json")
    assert reason(keys.public, other.sign(TEXT)) == "key"
    stranger = OKPKey.generate_key("Ed25519")
    header = {"alg": "Ed25519", "kid": keys.active, "typ": "selaras-statement"}
    assert reason(keys.public, jws.serialize_compact(header, TEXT, stranger, algorithms=["Ed25519"])) == "signature"


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "....", "{}", "e30.e30.e30", "é.é.é"])
def test_what_is_no_jws_is_refused(keys: SigningKeys, token: str) -> None:
    assert reason(keys.public, token) in ("form", "header")


def test_what_a_statement_says_can_be_read_without_its_key(keys: SigningKeys) -> None:
    assert signing.unverified(keys.sign(TEXT)) == STATEMENT
    for token, why in (("a.b.c", "form"), (keys.sign("[]"), "content")):
        with pytest.raises(NotProven) as refused:
            signing.unverified(token)
        assert refused.value.reason == why


@pytest.mark.parametrize("text", ["", "[]", '{"b":1,"a":2}', '{"a":1.5}', '{"a": 1}'])
def test_what_is_signed_must_be_a_canonical_text(keys: SigningKeys, text: str) -> None:
    assert reason(keys.public, keys.sign(text)) in ("content", "form")


def test_what_the_older_keys_signed_verifies_after_a_rotation(file: Path) -> None:
    before = SigningKeys.read(file)
    token = before.sign(TEXT)
    newer = signing.rotate(file)
    after = SigningKeys.read(file)
    assert after.active == newer != before.active
    assert after.public.verify(token) == STATEMENT
    assert reason(before.public, after.sign(TEXT)) == "key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_new_key_is_its_owners_alone_and_is_never_written_over(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    with pytest.raises(KeysUnusable):
        signing.new(file)
    assert file.read_bytes() == before


def test_a_public_set_holds_no_private_part_and_is_enough_to_check_with(file: Path, tmp_path: Path) -> None:
    public = tmp_path / "public.json"
    public.write_text(signing.public_document(file))
    assert all("d" not in key for key in json.loads(public.read_text())["keys"])
    assert PublicKeys.read(public).verify(SigningKeys.read(file).sign(TEXT)) == STATEMENT
    with pytest.raises(KeysUnusable, match="public keys"):
        SigningKeys.read(public)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "YQ"}]}'])
def test_a_file_that_is_no_key_set_is_said_in_one_sentence(tmp_path: Path, body: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(body)
    file.chmod(0o600)
    for read in (SigningKeys.read, PublicKeys.read):
        with pytest.raises(KeysUnusable, match=r"keys\.json"):
            read(file)


def test_private_keys_that_everybody_can_read_are_not_used(file: Path) -> None:
    file.chmod(0o644)
    with pytest.raises(KeysUnusable, match="chmod 600"):
        SigningKeys.read(file)
