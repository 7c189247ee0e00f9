# SPDX-License-Identifier: Apache-2.0
"""Open quotes, NUL bytes, line ends, long headers, packed files: counted as bad, read, or refused in words."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
from case_logs import HEADER, Read, events, expected, rows, table

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.load import load_config
from pocketrec.cloud.data.readers import read_log
from pocketrec.device.base.errors import DataError

LINES = rows()
TITLED = ("user", "item", "title", "timestamp")


def titled(*titles: tuple[int, str], count: int = 40) -> str:
    """A table whose third column is as written in some rows."""
    said = dict(titles)
    body = [f"{u},{i},{said.get(n, 'plain')},{t}\n" for n, (u, i, t) in enumerate(rows(count))]
    return ",".join(TITLED) + "\n" + "".join(body)


def test_rows_that_an_open_quote_swallows_are_bad_rows_by_line(read: Read) -> None:
    log = read(titled((10, '"12 inch'), (30, '"tv')))
    assert (log.report.rows, log.report.bad, log.report.bad_lines) == (40, 21, [12, 13, 14, 15, 16])
    assert events(log) == expected(rows())[:10] + expected(rows())[31:]
    (reason,) = log.report.details.bad
    assert (reason.rows, reason.lines[0]) == (21, 12)
    assert "a quote is left open" in reason.why


def test_two_rows_joined_by_quotes_are_both_bad(read: Read) -> None:
    log = read(titled((10, '"left'), (11, 'right"')))
    assert (log.report.rows, log.report.bad, log.report.bad_lines) == (40, 2, [12, 13])
    assert events(log) == expected(rows())[:10] + expected(rows())[12:]


def test_an_open_quote_swallows_the_same_whatever_the_blocks(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(titled((10, '"12 inch'), (30, '"tv'), (35, '"two\nlines, of text"')))
    config = DataConfig(path=str(path), max_bad_share=0.99)
    whole = read_log(config)
    for size in (1, 7, 100, 1000):
        log = read_log(config, block_bytes=size)
        assert (events(log), log.report) == (events(whole), whole.report)


def test_a_text_of_several_lines_is_read_and_the_lines_after_it_keep_their_numbers(read: Read) -> None:
    log = read(
        titled((3, '"a review,\nof two lines"'), (9, '"three\n\n""lines"", here"')).replace(
            "u0,i0,plain,1600000000", ",i0,plain,1600000000"
        )
    )
    assert events(log) == expected(rows())[1:]
    assert (log.report.rows, log.report.bad_lines) == (40, [2])
    late = read(titled((3, '"a\nb"'), (20, "x")).replace(",x,", ",x,y"))
    assert late.report.bad_lines == [23]  # the 22nd line but for the text of two


def test_a_quote_that_is_never_closed_is_refused_by_line(read: Read) -> None:
    with pytest.raises(DataError, match=r"line 42 opens a quote that is not closed .*: close it"):
        read(titled((40, '"open'), count=60))


def test_an_endless_quote_is_refused_before_the_whole_file_is_held(read: Read) -> None:
    filler = "x" * 2000 + "\n"
    with pytest.raises(DataError, match=r"line 42 opens a quote that is not closed within 1 MiB"):
        read(titled((40, '"open\n' + filler * 600 + '"'), count=60))


def test_a_quote_that_is_never_closed_stops_reading(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(titled((20, '"open')) + ("x" * 2000 + "\n") * 4000)
    done: list[int] = []
    with pytest.raises(DataError, match=r"line 22 opens a quote"):
        read_log(
            DataConfig(path=str(path)), block_bytes=1 << 16, progress=lambda place, total, note="": done.append(place)
        )
    assert done[-1] < 3 << 20, "the whole file would be held in memory"


def test_an_open_quote_in_the_header_is_refused(read: Read) -> None:
    with pytest.raises(DataError, match=r"cannot read the header of .*: a quote is left open in it"):
        read('user,item,"timestamp\n' + table(LINES).partition("\n")[2])


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("user", ["u", "quoted, so that pandas cuts the block"])
def test_a_nul_byte_makes_a_bad_row(read: Read, column: int, user: str) -> None:
    lines = [list(row) for row in LINES] + [[user, "i0", "1"]]
    for number in (7, 8):
        lines[number][column] = lines[number][column][:2] + "\0" + lines[number][column][2:]
    log = read(table(lines))
    assert events(log) == expected([*LINES[:7], *LINES[9:], (user, "i0", "1")])
    (reason,) = log.report.details.bad
    assert (reason.column, reason.why, reason.lines) == (HEADER[column], "holds a NUL byte", [9, 10])


def test_a_nul_byte_in_a_column_that_is_not_read_does_no_harm(read: Read) -> None:
    log = read(titled((5, "a\0b"), (6, "\0")))
    assert (events(log), log.report.bad) == (expected(rows()), 0)


def test_utf16_without_mark_is_refused(read: Read) -> None:
    with pytest.raises(DataError, match="NUL bytes in its first line: is it UTF-16"):
        read(table(LINES).encode("utf-16-le"))


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_line_ends(tmp_path: Path, end: str, block: int) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(("\ufeff" + table([*LINES, ("u", "", "9")])).replace("\n", end).encode())
    log = read_log(DataConfig(path=str(path), max_bad_share=0.9), block_bytes=block)
    assert events(log) == expected(LINES)
    assert log.report.bad_lines == [len(LINES) + 2]


@pytest.mark.parametrize("width", [1 << 16, 1 << 18, pytest.param(3 << 20, marks=pytest.mark.long)])
def test_a_long_header_is_read(read: Read, width: int) -> None:
    others = [f"c{n:07d}" for n in range(width // 9)]
    lines = [(*["x"] * 3, u, i, t) for u, i, t in LINES]
    content = ",".join(others + list(HEADER)) + "\n"
    content += "".join("," * len(others) + ",".join(row[3:]) + "\n" for row in lines[: 2 if width > 1 << 20 else 9])
    assert events(read(content)) == expected(LINES[: 2 if width > 1 << 20 else 9])


def zipped(files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


RAW = table(LINES).encode()
PACKED = {
    "gzip": gzip.compress(RAW),
    "gzip of two members": gzip.compress(RAW[:99]) + gzip.compress(RAW[99:]),
    "bz2": bz2.compress(RAW),
    "xz": lzma.compress(RAW),
    "zip": zipped({"log.csv": RAW}),
    "zip, stored": zipped({"log.csv": RAW}, zipfile.ZIP_STORED),
    "zip, bz2": zipped({"log.csv": RAW}, zipfile.ZIP_BZIP2),
    "zip, lzma": zipped({"log.csv": RAW}, zipfile.ZIP_LZMA),
    "zip in a folder, as a Mac writes it": zipped({"a/": b"", "a/log.csv": RAW, "__MACOSX/a/._log.csv": b"x"}),
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", ["log.csv", "log.bin"])
def test_packed_files_are_read_whatever_they_are_called(read: Read, packing: str, name: str) -> None:
    log = read(PACKED[packing], name)
    assert (events(log), log.report.bad) == (expected(LINES), 0)


def tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        entry = tarfile.TarInfo("log.csv")
        entry.size = len(RAW)
        archive.addfile(entry, io.BytesIO(RAW))
    return content.getvalue()


REFUSED = {
    "zstd": (b"\x28\xb5\x2f\xfd" + RAW, "is compressed with zstd: unpack it"),
    "lz4": (b"\x04\x22\x4d\x18" + RAW, "lz4: unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + RAW, "7z archive: unpack it"),
    "rar": (b"Rar!\x1a\x07" + RAW, "rar archive: unpack it"),
    "compress": (b"\x1f\x9d" + RAW, "compress: unpack it"),
    "zip of two": (zipped({"a.csv": RAW, "b.csv": RAW}), "zip of 2 files: unpack it, and name"),
    "empty zip": (zipped({}), "zip of 0 files"),
    "Excel": (zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}), "Excel .*: export it as CSV"),
    "old Excel": (b"\xd0\xcf\x11\xe0" + RAW, "Excel .*: export it as CSV"),
    "tar": (tar(), "tar archive: unpack it"),
    "tar.gz": (gzip.compress(tar()), "unpacked from gzip, is a tar archive"),
    "gzip within bz2": (bz2.compress(gzip.compress(RAW)), "gzip within bz2: unpack it once"),
    "zstd within gzip": (gzip.compress(b"\x28\xb5\x2f\xfd" + RAW), "zstd: unpack it"),
    "SQLite": (b"SQLite format 3\x00" + RAW, "SQLite .*: export the table"),
    "Arrow": (b"ARROW1\0\0" + RAW, "Arrow .*: export it"),
    "Avro": (b"Obj\x01" + RAW, "Avro: export it"),
    "cut bz2": (bz2.compress(RAW * 99)[:-9], "ended before .*: repair or replace"),
    "cut xz": (lzma.compress(RAW * 99)[:-9], "ended before .*: repair or replace"),
    "cut zip": (zipped({"a": RAW * 99})[:-9], "not a zip file: repair or replace"),
    "damaged xz": (lzma.compress(RAW)[:60] + b"xxxx" + lzma.compress(RAW)[64:], "repair or replace"),
    "damaged zip": (zipped({"a": RAW}, 0).replace(b"u1,", b"u2,"), "Bad CRC-32.*: repair or replace"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_files_are_refused_with_what_to_do(read: Read, kind: str) -> None:
    content, words = REFUSED[kind]
    with pytest.raises(DataError, match=words) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_a_zip_with_a_password_is_refused(read: Read) -> None:
    content = bytearray(zipped({"log.csv": RAW}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="zip with a password: unpack it"):
        read(bytes(content))


def test_a_byte_order_mark_in_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbf" + b'seed = 7\n[data]\npath = "log.csv"\n')
    assert load_config(path).seed == 7


def test_a_byte_order_mark_within_a_file_belongs_to_the_id(tmp_path: Path) -> None:
    """pyarrow drops one at the beginning of whatever it is given: wherever a block begins."""
    path = tmp_path / "log.csv"
    lines = [("\ufeff" + user, item, time) for user, item, time in LINES]
    path.write_text(table(lines))
    for size in (1, 40, 1 << 20):
        assert events(read_log(DataConfig(path=str(path)), block_bytes=size)) == expected(lines)
