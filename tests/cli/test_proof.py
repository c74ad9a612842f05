"""Receipts checked and keys made by the command itself, with no server and no setting."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services import signing
from services.exchange import canonical
from services.signing import SigningKeys

STATEMENT: dict[str, Any] = {
    "npsn": "99000001", "install_id": "i", "session": 7, "incarnation": "x", "kind": "sync", "lineage": [],
    "head_seq": 12, "root": "ab" * 32, "counts": {"peserta_didik": 3, "sekolah": 1}, "unsent": 0, "held": 0,
    "refused": 0, "rules_version": "2026.1", "time": "2026-08-03T02:15:08.412Z",
}  # fmt: skip


def selaras(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *map(str, words)],
        env={**environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Central's key set."""
    signing.new(tmp_path / "keys.json")
    return tmp_path / "keys.json"


@pytest.fixture
def public(private: Path, tmp_path: Path) -> Path:
    """What it hands out."""
    (tmp_path / "public.json").write_text(signing.public_document(private))
    return tmp_path / "public.json"


Receipt = Callable[..., Path]


@pytest.fixture
def receipt(private: Path, tmp_path: Path) -> Receipt:
    """Writes a receipt file; `beside` is what its clear part says instead."""

    def write(beside: dict[str, Any] | None = None, **changed: Any) -> Path:
        statement = {**STATEMENT, **changed}
        token = SigningKeys.read(private).sign(canonical.encode(statement))
        file = tmp_path / "bukti.json"
        file.write_text(json.dumps({"jws": token, "statement": beside or statement}))
        return file

    return write


def test_keys_are_made_rotated_and_handed_out(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    assert selaras("keys", "new", file).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert selaras("keys", "new", file).returncode == 2
    rotated = selaras("keys", "rotate", file, "--json")
    public = json.loads(selaras("keys", "public", file).stdout)["keys"]
    assert public[0]["kid"] == json.loads(rotated.stdout)["kid"]
    assert len(public) == 2
    assert not any("d" in key for key in public)


def test_a_receipt_says_in_words_what_it_proves(receipt: Receipt, public: Path) -> None:
    done = selaras("receipt", "verify", receipt(), "--keys", public)
    assert done.returncode == 0, done.stderr
    for said in ("99000001", "signed by central", "exactly equal: seq 12", "ab" * 32, "nothing was left out"):
        assert said in done.stdout
    assert "NOT" not in done.stdout


def test_a_receipt_says_what_it_does_not_cover(receipt: Receipt, public: Path) -> None:
    done = selaras("receipt", "verify", receipt(unsent=3, held=1, refused=2, kind="pull"), "--keys", public)
    assert done.returncode == 0
    for said in ("3 perubahan BELUM terkirim", "1 data menunggu", "2 data DITOLAK", "NOT the receipt of a sync: pull"):
        assert said in done.stdout
    assert "nothing was left out" not in done.stdout


def test_a_bare_jws_is_a_receipt_too(receipt: Receipt, public: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bukti.jws"
    bare.write_text(json.loads(receipt().read_text())["jws"] + "\n")
    done = selaras("receipt", "verify", bare, "--keys", public, "--json")
    assert (done.returncode, json.loads(done.stdout)["statement"]) == (0, STATEMENT)


def test_a_receipt_whose_clear_part_says_something_else_is_refused(receipt: Receipt, public: Path) -> None:
    done = selaras("receipt", "verify", receipt(beside={**STATEMENT, "unsent": 9}), "--keys", public)
    assert done.returncode == 3
    assert "proves nothing" in done.stderr
    assert done.stdout == ""


def test_a_receipt_signed_by_another_central_is_refused(receipt: Receipt, tmp_path: Path) -> None:
    signing.new(tmp_path / "other.json")
    done = selaras("receipt", "verify", receipt(), "--keys", tmp_path / "other.json", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (3, {"proven": False, "reason": "key"})


def test_a_receipt_from_before_a_rotation_verifies_with_the_new_set(
    receipt: Receipt, private: Path, tmp_path: Path
) -> None:
    file = receipt()
    signing.rotate(private)
    (tmp_path / "later.json").write_text(signing.public_document(private))
    assert selaras("receipt", "verify", file, "--keys", tmp_path / "later.json").returncode == 0


def test_a_clear_part_that_says_a_thing_twice_or_of_another_type_is_refused(receipt: Receipt, public: Path) -> None:
    file = receipt()
    true = file.read_text()
    for otherwise in ('"unsent": 3, "unsent": 0', '"unsent": false', '"unsent": 0.0'):
        file.write_text(true.replace('"unsent": 0', otherwise))
        assert selaras("receipt", "verify", file, "--keys", public).returncode == 3, otherwise
    file.write_text("\ufeff" + true, encoding="utf-8")
    assert selaras("receipt", "verify", file, "--keys", public).returncode == 0, "an editor's mark is no change"


def test_a_file_nested_too_deep_to_be_read_is_no_receipt_and_no_key_set(
    receipt: Receipt, public: Path, tmp_path: Path
) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text('{"jws":' + "[" * 100_000)
    assert selaras("receipt", "verify", deep, "--keys", public).returncode == 3
    assert selaras("receipt", "verify", receipt(), "--keys", deep).returncode == 2


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"jws": 7}', b"\xff\xfe", b"a.b.c", b'{"jws": "a.b.c"}'])
def test_what_is_no_receipt_is_refused(body: bytes, public: Path, tmp_path: Path) -> None:
    file = tmp_path / "bukti.json"
    file.write_bytes(body)
    done = selaras("receipt", "verify", file, "--keys", public)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_a_mistake_of_the_command_line(public: Path, tmp_path: Path) -> None:
    assert selaras("receipt", "verify", tmp_path / "none", "--keys", public).returncode == 2
    assert selaras("receipt", "verify", public, "--keys", tmp_path / "none").returncode == 2


def test_what_is_signed_but_is_no_statement_is_refused(private: Path, public: Path, tmp_path: Path) -> None:
    file = tmp_path / "bukti.json"
    file.write_text(SigningKeys.read(private).sign('{"npsn":"99000001"}'))
    assert selaras("receipt", "verify", file, "--keys", public).returncode == 3
