# SPDX-License-Identifier: Apache-2.0
"""`make measure`: what has finished is kept, what is missing is one line, and every name is one that the docs know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "measure.py"
TABLE = """
[count]
tables = ["README.md: a table"]
minutes = 1
[count.steps]
first = "{python} FOLDER/first.py"
second = "{python} FOLDER/second.py"
[count.figures]
"the figure" = "a.b"
[real]
tables = ["README.md: another"]
minutes = 0
needs = ["no-such-log"]
[real.steps]
run = "true"
"""
FIRST = """
import json, pathlib
with pathlib.Path(__file__).with_name("ran").open("a") as file:
    file.write("x")
print("a table for people")
print(json.dumps({"a": {"b": 2.5}}))
"""
SECOND = """
import pathlib, sys
sys.exit(not pathlib.Path(__file__).with_name("ready").exists())
"""


def measure(table: Path, out: Path, *names: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(SCRIPT), "--table", str(table), "--out", str(out), *names]
    environment = {**os.environ, "POCKETREC_DATA": str(out)}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.toml"
    path.write_text(TABLE.replace("FOLDER", str(tmp_path)), encoding="utf-8")
    (tmp_path / "first.py").write_text(FIRST, encoding="utf-8")
    (tmp_path / "second.py").write_text(SECOND, encoding="utf-8")
    return path


def test_finished_steps_are_kept_and_a_failed_one_is_run_again(table: Path, tmp_path: Path) -> None:
    done = measure(table, tmp_path / "out", "count")
    assert done.returncode == 1, done.stderr
    assert "count second failed with status 1" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["count"]["second"] is None
    (tmp_path / "ready").touch()
    done = measure(table, tmp_path / "out", "count")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").read_text() == "x", "run once"
    assert "the figure           2.5000" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["count"]["first"]["document"] == {"a": {"b": 2.5}}
    changed = table.read_text(encoding="utf-8").replace("first.py", "first.py --again")
    table.write_text(changed, encoding="utf-8")
    assert measure(table, tmp_path / "out", "count").returncode == 0
    assert (tmp_path / "ran").read_text() == "xx", "another command is another figure"


def test_what_is_missing_is_one_line_before_anything_runs(table: Path, tmp_path: Path) -> None:
    for names, told in ((("count", "real"), "needs the data set no-such-log"), (("what",), "choose of count, real")):
        done = measure(table, tmp_path / "out", *names)
        assert done.returncode == 2
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()
    listed = measure(table, tmp_path / "out").stdout
    assert "count" in listed
    assert "README.md: another (needs no-such-log)" in listed


def test_every_name_of_ours_is_complete_and_named_on_the_pages_that_it_feeds() -> None:
    known = tomllib.loads(SCRIPT.with_suffix(".toml").read_text(encoding="utf-8"))
    for name, entry in known.items():
        assert entry["steps"], name
        assert isinstance(entry["minutes"], int), name
        for table in entry["tables"]:
            page = table.partition(":")[0]
            text = (ROOT / page).read_text(encoding="utf-8")
            assert f"`make measure {name}`" in text, f"{page} does not say `make measure {name}`"
        for word in " ".join(entry["steps"].values()).split():
            if word.startswith(("benchmarks/", "configs/")):
                assert (ROOT / word).is_file(), word
