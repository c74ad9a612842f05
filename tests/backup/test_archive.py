"""The form of a backup: readable without us, and held against its manifest whatever it was made to say."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import asdict

import orjson
import pytest
import zstandard

from services.backup.archive import FORMAT, HEAD, PART_BYTES, TAIL, Head, Manifest, Reader, Writer
from services.errors import BackupFailed

COLUMNS = {"kosong": ["a"], "record": ["a", "b"]}
A_HEAD = Head("site", "situs", "0005", "2026-01-01T00:00:00+00:00", "0.1.0", COLUMNS)


def written(lines: bytes, step: int, sequences: Mapping[str, int] | None = None) -> tuple[bytes, Manifest]:
    """A backup of `lines`, given in pieces of `step` bytes."""
    out = io.BytesIO()
    writer = Writer(out, A_HEAD)
    writer.table_ends("kosong")
    for start in range(0, len(lines), step):
        writer.rows("record", lines[start : start + step])
    writer.table_ends("record")
    manifest = writer.close(sequences or {})
    return out.getvalue(), manifest


def read(backup: bytes) -> tuple[Reader, bytes]:
    """Read to the end; the lines of `record`."""
    reader = Reader(io.BytesIO(backup))
    return reader, b"".join(piece for _, pieces in reader.parts() for piece in pieces)


def packed(files: Mapping[str, bytes]) -> bytes:
    """Files as whoever has the public key could put them together."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return zstandard.compress(out.getvalue())


@pytest.mark.parametrize("step", [1, 7, 4096, 3 * PART_BYTES])
def test_what_is_read_is_what_was_written_in_whatever_pieces(step: int) -> None:
    lines = b"".join(b"%d\tisi \\n baris\n" % n for n in range(200 if step < 10 else 200_000))
    backup, manifest = written(lines, step, {"record.a": 9})
    reader, found = read(backup)
    assert found == lines
    assert (reader.head, reader.manifest) == (A_HEAD, manifest)
    assert manifest.tables["record"].rows == lines.count(b"\n")
    assert manifest.tables["kosong"].rows == 0


def test_zstd_and_tar_open_it_and_each_file_has_whole_lines() -> None:
    lines = b"".join(b"%d\tx\n" % n for n in range(400_000))
    backup, _ = written(lines, 10_000)
    unpacked = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(backup)).read()
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
        contents = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    assert next(iter(contents)) == HEAD
    assert list(contents)[-1] == TAIL
    parts = [content for name, content in contents.items() if name.startswith("record/")]
    assert len(parts) > 2
    assert all(part.endswith(b"\n") for part in parts)
    assert b"".join(parts) == lines


@pytest.mark.parametrize(
    "other", [{"side": "../site"}, {"revision": "head"}, {"revision": 5}, {"made_at": "kemarin"}, {"columns": None}]
)
def test_a_head_that_says_what_no_backup_says_is_not_taken(other: dict[str, object]) -> None:
    document = {"format": FORMAT, **asdict(A_HEAD), **other}
    with pytest.raises(BackupFailed, match=r"CAD-0[45]"):
        read(packed({HEAD: orjson.dumps(document), TAIL: b'{"tables": {}, "sequences": {}}'}))


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({}, "CAD-05"),
        ({TAIL: b"{}"}, "CAD-05"),
        ({HEAD: b"not json"}, "CAD-04"),
        ({HEAD: b"[]"}, "CAD-04"),
        ({HEAD: b'{"format": 99}'}, "CAD-05"),
        ({"head": b"", "../../etc/passwd": b"x"}, "CAD-04"),
        ({"head": b"", "lain/000001.copy": b"1\n"}, "CAD-04"),
        ({"head": b"", "record/000001.copy": b"1\n"}, "CAD-04"),
        ({"head": b"", TAIL: b'{"tables": {}, "sequences": {}}'}, "CAD-04"),
        ({"head": b"", TAIL: b'{"tables": 5}'}, "CAD-04"),
    ],
)
def test_what_somebody_put_together_is_not_taken(files: dict[str, bytes], code: str) -> None:
    head = {
        "format": FORMAT, "side": "site", "database": "situs", "revision": "0005",
        "made_at": "2026-01-01T00:00:00+00:00", "release": "0.1.0", "columns": COLUMNS,
    }  # fmt: skip
    named = {HEAD if name == "head" else name: content for name, content in files.items()}
    if "head" in files:
        named[HEAD] = orjson.dumps(head)
    with pytest.raises(BackupFailed) as error:
        read(packed(named))
    assert error.value.code == code


def test_a_row_more_or_less_than_the_manifest_counts_is_seen() -> None:
    backup, _ = written(b"1\ta\n2\tb\n", 100)
    unpacked = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(backup)).read()
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
        contents = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    assert read(packed(contents))[1] == b"1\ta\n2\tb\n"
    for other in (b"1\ta\n", b"1\ta\n2\tb\n3\tc\n", b"1\ta\n2\tB\n"):
        with pytest.raises(BackupFailed, match="CAD-04"):
            read(packed(contents | {"record/000001.copy": other}))
    del contents["record/000001.copy"]
    with pytest.raises(BackupFailed, match="CAD-04"):
        read(packed(contents))


def test_a_packing_that_asks_for_much_memory_is_refused() -> None:
    greedy = zstandard.ZstdCompressionParameters(window_log=27)
    out = io.BytesIO()
    stream = zstandard.ZstdCompressor(compression_params=greedy).stream_writer(out, closefd=False)
    stream.write(bytes(40_000_000))
    stream.close()  # type: ignore[no-untyped-call]
    with pytest.raises(BackupFailed, match="CAD-04"):
        Reader(io.BytesIO(out.getvalue()))
