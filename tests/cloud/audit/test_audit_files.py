# SPDX-License-Identifier: Apache-2.0
"""Files that other libraries write are read as they are; what cannot be used is one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from audit_planted import change, clean

from pocketrec.cloud.audit import inputs
from pocketrec.cloud.audit.case import Case
from pocketrec.cloud.audit.choice_checks import chosen_on_test
from pocketrec.cloud.audit.files import Files, benchmark_files, parts_of_files
from pocketrec.cloud.audit.tables import USUAL, Columns
from pocketrec.device.base.errors import ConfigError, DataError

ROWS = [("1", "10", 1_700_000_000.0), ("2", "20", 1_700_000_100.0)]
SHAPES = {
    "a header": "user,item,timestamp\n1,10,1700000000\n2,20,1700000100\n",
    "other names": "ItemId;UserId;Time\n10;1;1700000000\n20;2;1700000100\n",
    "RecBole": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t10\t5\t1700000000\n2\t20\t4\t1700000100\n",
    "RecBole with lists": "user_id:token\titem_id_list:token_seq\titem_id:token\ttimestamp:float\n"
    "1\t5 6\t10\t1700000000\n2\t7\t20\t1700000100\n",
    "u.data": "1\t10\t5\t1700000000\n2\t20\t4\t1700000100\n",
    "ratings.dat": "1::10::5::1700000000\n2::20::4::1700000100\n",
    "three columns": "1,10,1700000000\n2,20,1700000100\n",
    "floats": "user\titem\ttimestamp\n1.0\t10.0\t1700000000.0\n2.0\t20.0\t1700000100.0\n",
    "Taobao": "1,10,77,pv,1700000000\n2,20,78,buy,1700000100\n",
    "RecSys 2015": "1,2023-11-14T22:13:20.000Z,10,0\n2,2023-11-14T22:15:00.000Z,20,S\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n1,10,4.5,1700000000\n2,20,3.0,1700000100\n",
    "dates": "user,item,date\n1,10,2023-11-14T22:13:20Z\n2,20,2023-11-14 22:15:00\n",
    "BOM, CRLF, blank lines": "\ufeff\r\nuser,item,timestamp\r\n1,10,1700000000\r\n\r\n2,20,1700000100\r\n",
}
NO_TIMES = {
    "pairs": "user,item\n1,10\n2,20\n",
    "ratings": "1,10,5\n2,20,4.5\n",
    "LightGCN": "1 10\n2 20 30\n",
    "LightGCN, a user without items": "7\n1 10\n2 20 30\n",
    "SASRec": "1 10\n2 20\n",
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("packed", [False, True])
def test_shapes_with_times(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / "file.txt"
    raw = SHAPES[name].encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    frame = inputs.read_events(path, USUAL, "--train")
    assert list(frame[["user", "item", "time"]].itertuples(index=False, name=None)) == ROWS


@pytest.mark.parametrize("name", NO_TIMES)
def test_shapes_without_times(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.txt"
    path.write_text(NO_TIMES[name], encoding="utf-8")
    frame = inputs.read_events(path, USUAL, "--train")
    assert list(frame.columns) == ["user", "item"]
    assert list(frame.itertuples(index=False, name=None))[:2] == [row[:2] for row in ROWS]


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pd.DataFrame({"userId": [1, 2], "movieId": [10, 20], "timestamp": pd.to_datetime([1_700_000_000, 1_700_000_100],
                  unit="s")}).to_parquet(tmp_path / "x.parquet")  # fmt: skip
    frame = inputs.read_events(tmp_path / "x.parquet", USUAL, "--train")
    assert list(frame.itertuples(index=False, name=None)) == ROWS


def test_columns_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("who,what,when\n1,10,1700000000\n2,20,1700000100\n", encoding="utf-8")
    frame = inputs.read_events(path, Columns("who", "what", "when"), "--train")
    assert list(frame.itertuples(index=False, name=None)) == ROWS


def test_negatives_of_a_benchmark_are_the_evaluations(tmp_path: Path) -> None:
    path = tmp_path / "ml.test.negative"
    path.write_text("(0,25)\t1064\t174\n(1,133)\t1072\n", encoding="utf-8")
    frame, of_test = inputs.read_negatives(path, USUAL)
    assert of_test
    assert list(frame.itertuples(index=False, name=None)) == [("0", "1064"), ("0", "174"), ("1", "1072")]
    path.write_text("user,item\n0,1064\n", encoding="utf-8")
    frame, of_test = inputs.read_negatives(path, USUAL)
    assert (of_test, len(frame)) == (False, 1)


@pytest.mark.parametrize("ends", [("_train.csv", "_test.csv"), ("-train.tsv.gz", "-test.parquet")])
def test_other_names_of_split_files(tmp_path: Path, ends: tuple[str, str]) -> None:
    for end in ends:
        (tmp_path / f"x{end}").write_bytes(b"")
    assert [path.name for path in benchmark_files(tmp_path / "x").values()] == [f"x{end}" for end in ends]


def test_negatives_in_a_column_of_the_test(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("user_id\titem_id\ttime\n1\t10\t5\n2\t20\t6\n")
    (tmp_path / "test.csv").write_text("user_id\titem_id\ttime\tneg_items\n1\t20\t7\t[10, 11]\n2\t10\t8\t[12]\n")
    frame = parts_of_files(Files(tmp_path / "train.csv", tmp_path / "test.csv")).test_negatives
    assert frame is not None
    assert list(frame.itertuples(index=False, name=None)) == [("1", "10"), ("1", "11"), ("2", "12")]


@pytest.mark.parametrize("text", ["user,item,score\na,x,.5\na,y,nan\n", "a,x,.5\na,y,nan\n", "a\tx\t0.5\na\ty\t\n"])
def test_predictions_keep_what_is_no_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    frame = inputs.read_scores(path, USUAL, "--predictions", needed=True)
    assert frame["score"].isna().tolist() == [False, True]


def test_items_as_a_list_or_a_table(tmp_path: Path) -> None:
    path = tmp_path / "items"
    path.write_text("b\na\n", encoding="utf-8")
    assert inputs.read_items(path, USUAL) == (["b", "a"], None, True)
    path.write_text("item_id:token\nb\na\n", encoding="utf-8")
    assert inputs.read_items(path, USUAL) == (["b", "a"], None, False)
    path.write_text("item,count\nb,3\na,1\n", encoding="utf-8")
    items, counts, in_order = inputs.read_items(path, USUAL)
    assert (items, counts.tolist(), in_order) == (["b", "a"], [3, 1], False)


def test_results_are_figures_or_trials(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text('{"recall@20": 0.3, "name": "x"}', encoding="utf-8")
    assert inputs.read_results(path) == ({"recall@20": 0.3}, None)
    for text in ("trial,test_ndcg\n1,.2\n2,.3\n", '[{"trial": 1, "test_ndcg": 0.2}, {"trial": 2, "test_ndcg": 0.3}]',
                 '{"trial": 1, "test_ndcg": 0.2}\n{"trial": 2, "test_ndcg": 0.3}\n'):  # fmt: skip
        path.write_text(text, encoding="utf-8")
        figures, table = inputs.read_results(path)
        assert (figures, None if table is None else len(table)) == ({}, 2)


def test_a_search_of_ours_is_judged_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    trials = [{"trial": number, "figures": {"mrr@20": 0.1 * number}} for number in range(3)]
    path.write_text(json.dumps({"format": 1, "key": "x", "system": "global", "trials": trials}), encoding="utf-8")
    _, table = inputs.read_results(path)
    assert table is not None
    assert "validation.figures.mrr@20" in table
    case = Case.of(change(clean(), trials=table))
    assert chosen_on_test(case).verdict == "ok"


def test_split_files_are_found_by_their_prefix(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        (tmp_path / f"x.{part}.inter").write_text("user_id:token\titem_id:token\n1\t2\n", encoding="utf-8")
        (tmp_path / f"{part}.txt").write_text("1 2\n", encoding="utf-8")
    (tmp_path / "x.test.negative").write_text("(1,2)\t3\n", encoding="utf-8")
    assert {part: path.name for part, path in benchmark_files(tmp_path / "x").items()} == {
        "train": "x.train.inter", "valid": "x.valid.inter", "test": "x.test.inter", "negatives": "x.test.negative",
    }  # fmt: skip
    assert benchmark_files(tmp_path)["test"] == tmp_path / "test.txt"
    assert benchmark_files(tmp_path / "y") == {}
    assert benchmark_files(tmp_path / "no" / "such") == {}


UNUSABLE = {
    "": "is empty",
    "user,item,timestamp\n": "no row",
    "buyer,thing\n1,2\n": r"no column 'user' \(it has buyer, thing\): name it with --user-column",
    "user,item,timestamp\n1,2,soon\n": "'soon' is neither a number nor an ISO 8601 date",
    "user,item,timestamp\n1,2,2023-11-14\n1,3,17\n": "mixes numbers and dates",
    "user,item,timestamp\n1,2,inf\n": "infinite time",
    "user,item,timestamp\n,2,3\n": "row 1 has no user",
    "user,item,timestamp\n1,2,3\n1,2,3,4,5\n": "cannot read",
    "1\n2\n3\n": "needs user and item",
    "1,2,3,4,5,6,7\n": "7 columns and no header",
    'user,item\n"1,2\n': "cannot read",
}


@pytest.mark.parametrize("text", UNUSABLE)
def test_unusable_files_are_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=UNUSABLE[text]) as error:
        inputs.read_events(path, USUAL, "--train")
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("raw", "words"), [
    (b"\xff\xfe\x00u", "is UTF-16"), (b"user,item\n\xffa,b\n", "cannot read"),
    (b"\x1f\x8bnonsense", "cannot read"), (b"PAR1nonsense", "cannot read"),
])  # fmt: skip
def test_damaged_files_are_one_line(tmp_path: Path, raw: bytes, words: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=words) as error:
        inputs.read_events(path, USUAL, "--train")
    assert "\n" not in str(error.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*: name an existing one for --train"):
        inputs.read_events(tmp_path / "x", USUAL, "--train")
    with pytest.raises(DataError, match="is a folder"):
        inputs.read_events(tmp_path, USUAL, "--train")
    (tmp_path / "p.csv").write_text("user,item\na,x\n")
    with pytest.raises(DataError, match="no column 'score'"):
        inputs.read_scores(tmp_path / "p.csv", USUAL, "--predictions", needed=True)
    (tmp_path / "p.csv").write_text("user,item,score\na,x,high\n")
    with pytest.raises(DataError, match="'high' in column 'score' is not a number"):
        inputs.read_scores(tmp_path / "p.csv", USUAL, "--predictions", needed=True)
    (tmp_path / "n").write_text("(1,2)\t3\n(1;2)\t3\n")
    with pytest.raises(DataError, match="line 2: not of the form"):
        inputs.read_negatives(tmp_path / "n", USUAL)
    (tmp_path / "r").write_text("{nonsense")
    with pytest.raises(DataError, match="is not JSON"):
        inputs.read_results(tmp_path / "r")


def test_one_file_twice_and_times_in_one_of_two(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,timestamp\n1,2,3\n")
    (tmp_path / "b.csv").write_text("user,item\n1,2\n")
    with pytest.raises(ConfigError, match="one file"):
        parts_of_files(Files(tmp_path / "a.csv", tmp_path / "a.csv"))
    parts = parts_of_files(Files(tmp_path / "a.csv", tmp_path / "b.csv"))
    assert "time" not in parts.train
    assert "a.csv has times" in parts.notes[0]
