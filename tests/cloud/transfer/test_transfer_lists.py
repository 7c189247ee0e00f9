# SPDX-License-Identifier: Apache-2.0
"""P13: files of source,,targets are written and read, and refused by line where they are damaged."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.transfer.lists import Line, read_lists, read_sources, write_lists
from pocketrec.device.base.errors import DataError

ITEMS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters=","), min_size=1)
LINES = st.lists(st.builds(Line, st.lists(ITEMS, min_size=1, max_size=5).map(tuple),
                           st.lists(ITEMS, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=5)  # fmt: skip


@given(LINES)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, lines: list[Line]) -> None:
    path = tmp_path_factory.mktemp("lists") / "tune.csv"
    write_lists(path, lines)
    assert read_lists(path) == lines
    assert read_sources(path) == [Line(line.source) for line in lines]


def test_the_form_is_theirs(tmp_path: Path) -> None:
    path = tmp_path / "tune.csv"
    write_lists(path, [Line(("1", "2", "3"), ("7", "8")), Line(("4",), ("9",))])
    assert path.read_text() == "1,2,3,,7,8\n4,,9\n"
    packed = tmp_path / "tune.csv.gz"
    packed.write_bytes(gzip.compress(b"1,2,3,,7,8\r\n\r\n4,,9"))
    assert read_lists(packed) == read_lists(path)
    (tmp_path / "pretrain.csv").write_text("1,2,3\n4\n")
    assert read_sources(tmp_path / "pretrain.csv") == [Line(("1", "2", "3")), Line(("4",))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,,3\n1,2,3\n", r"line 2 of .* has no ',,' between source and targets"),
        ("1,2,,\n", "line 1 of .*: a target is empty"),
        (",,3\n", "line 1 of .*: a source item is empty"),
        ("1,2,,3,,4\n", "line 1 of .* has an empty item, or ',,' twice"),
        ("1,,,3\n", "line 1 of .* has an empty item, or ',,' twice"),
        ("1,2,,3,\n", "line 1 of .*: a target is empty"),
        ("\n\n", "has no line"),
    ],
)
def test_a_damaged_line_is_told_by_its_number(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tune.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_lists(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_bytes(b"\xff\xfe1,,2\n")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"1,,2\n" * 100)[:-12])
    for name, message in (("none.csv", "cannot read"), ("odd.csv", "is not UTF-8 text"), ("cut.csv.gz", "cannot read")):
        with pytest.raises(DataError, match=message) as caught:
            read_lists(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_item_that_the_form_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for item in ("a,b", "a\nb", ""):
        with pytest.raises(DataError, match="has a comma or a line break"):
            write_lists(tmp_path / "tune.csv", [Line(("1",), ("2",)), Line((item,), ("3",))])
    assert list(tmp_path.iterdir()) == []
