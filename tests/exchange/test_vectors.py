"""The published golden vectors (docs/vectors/canonical.json) are what this release computes.

They were made by other programs: the rfc8785 package and plain SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from services.exchange.canonical import NotCanonical, decode, encode, is_canonical, normalise
from services.exchange.digest import ROW_HASH_SQL, entity_digest, root, root_of, row_hash

DOCS = Path(__file__).parents[2] / "docs"
VECTORS: dict[str, list[dict[str, Any]]] = json.loads((DOCS / "vectors" / "canonical.json").read_text(encoding="ascii"))


def _each(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(v, id=v["name"]) for v in VECTORS[section]])


@_each("canonical")
def test_the_canonical_text(vector: dict[str, Any]) -> None:
    normal = normalise(vector["fields"])
    text = encode(normal)
    assert text == vector["text"]
    assert hashlib.sha256(text.encode()).hexdigest() == vector["sha256"]
    assert is_canonical(text)
    assert encode(decode(text)) == text
    assert rfc8785.dumps({name: value for name, value in normal.items() if value is not None}).decode() == text


@_each("refused")
def test_what_has_no_canonical_text(vector: dict[str, Any]) -> None:
    with pytest.raises(NotCanonical) as refused:
        encode(normalise(json.loads(vector["json"])))
    assert (refused.value.field, refused.value.reason) == (vector["field"], vector["reason"])


def _hash(row: dict[str, Any]) -> bytes:
    return row_hash(row["entity"], row["record_id"], row["version"], row["text"])


@_each("row_hashes")
def test_the_row_hash(vector: dict[str, Any]) -> None:
    assert _hash(vector).hex() == vector["row_hash"]
    assert vector["text"] is None or is_canonical(vector["text"])


@_each("roots")
def test_the_digests_and_the_root(vector: dict[str, Any]) -> None:
    rows = vector["rows"]
    assert root_of([(row["entity"], row["record_id"], _hash(row)) for row in rows]).hex() == vector["root"]
    entities = {}
    for entity in {row["entity"] for row in rows}:
        of_entity = sorted((r for r in rows if r["entity"] == entity), key=lambda r: str(r["record_id"]).encode())
        entities[entity] = len(of_entity), entity_digest(map(_hash, of_entity))
    listed = [{"entity": e, "rows": n, "digest": d.hex()} for e, (n, d) in sorted(entities.items())]
    assert listed == vector["entities"]
    assert root(entities).hex() == vector["root"]


def _in_the_doc(language: str) -> str:
    text = (DOCS / "canonical-form.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    return str(block)


def test_the_program_in_the_doc_computes_the_same_roots() -> None:
    program: dict[str, Any] = {}
    exec(_in_the_doc("python"), program)  # noqa: S102  our own documentation
    for vector in VECTORS["roots"]:
        rows = [(row["entity"], row["record_id"], row["version"], row["text"]) for row in vector["rows"]]
        assert program["root"](rows).hex() == vector["root"]


def test_the_expression_in_the_doc_is_the_one_the_database_runs() -> None:
    assert "".join(_in_the_doc("sql").split()) == "".join(ROW_HASH_SQL.split())
