"""Row hash, entity digest, root: what moves them, and what must not."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.exchange.digest import ROW_HASH_SQL, entity_digest, root, root_of, row_hash, row_hash_sql

names = st.sampled_from(["murid", "murid2", "ptk", "rombel"])
rows = st.dictionaries(
    st.tuples(names, st.text("0123456789abcdef-", min_size=1, max_size=4)), st.binary(min_size=32, max_size=32)
)


def _as_rows(held: dict[tuple[str, str], bytes]) -> list[tuple[str, str, bytes]]:
    return [(entity, record_id, row) for (entity, record_id), row in held.items()]


def test_a_row_hash_is_over_entity_id_version_and_text() -> None:
    assert row_hash("murid", "1", 7, '{"a":"é"}') == hashlib.sha256('murid\x1f1\x1f7\x1f{"a":"é"}'.encode()).digest()


def test_a_tombstone_is_no_empty_record() -> None:
    assert row_hash("murid", "1", 7, None) == hashlib.sha256(b"murid\x1f1\x1f7\x1f").digest()
    assert row_hash("murid", "1", 7, None) != row_hash("murid", "1", 7, "{}")


def test_the_root_of_an_empty_school_is_that_of_no_bytes() -> None:
    assert root({}) == root_of([]) == hashlib.sha256(b"").digest()


def test_an_entity_without_rows_does_not_count() -> None:
    assert root({"murid": (0, entity_digest([]))}) == root({})


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_is_of_no_matter(held: dict[tuple[str, str], bytes], random: Any) -> None:
    shuffled = _as_rows(held)
    random.shuffle(shuffled)
    assert root_of(shuffled) == root_of(_as_rows(held))


@given(rows, rows)
def test_two_schools_have_one_root_exactly_if_they_have_the_same_rows(
    a: dict[tuple[str, str], bytes], b: dict[tuple[str, str], bytes]
) -> None:
    def digests(held: dict[tuple[str, str], bytes]) -> set[tuple[str, str, bytes]]:
        return {(entity, id_, row_hash(entity, id_, 1, row.hex())) for (entity, id_), row in held.items()}

    assert (root_of(digests(a)) == root_of(digests(b))) == (a == b)


@given(rows)
def test_the_root_of_rows_is_that_of_their_entities(held: dict[tuple[str, str], bytes]) -> None:
    entities = {}
    for name in {entity for entity, _ in held}:
        in_order = [row for (entity, _), row in sorted(held.items(), key=lambda i: i[0][1].encode()) if entity == name]
        entities[name] = len(in_order), entity_digest(in_order)
    assert root(entities) == root_of(_as_rows(held))


def test_the_expression_for_the_database_names_the_columns_it_is_given() -> None:
    assert row_hash_sql(version="base_version", text="base") == ROW_HASH_SQL.replace("version", "base_version").replace(
        "coalesce(text", "coalesce(base"
    )
