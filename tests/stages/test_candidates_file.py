# SPDX-License-Identifier: Apache-2.0
"""Stage candidates with a file of another program: told early, made again when it changes, used when it is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketrec.cli import main
from pocketrec.cloud.candidates import Candidates
from pocketrec.cloud.data.prepared import load_cloud

CONFIG = """
[data]
set = "synthetic"
synthetic = {users = 30, items = 40, events = 20}
[candidates]
method = "file"
k = 4
als.factors = 4
als.iterations = 2
"""


def test_a_file_of_candidates_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, sets, run = tmp_path / "c.toml", tmp_path / "sets.csv", tmp_path / "run"
    config.write_text(CONFIG, encoding="utf-8")
    words = [str(config), "--out", str(run), "--set", f"candidates.file.path={sets}"]

    def said(command: str = "candidates", status: int = 0) -> str:
        assert main([command, *words]) == status
        out, err = capsys.readouterr()
        return out + err

    missing = said("run", 2)
    assert f"error: no file {sets}: correct candidates.file.path" in missing
    assert "prepare" not in missing, "before anything is done"
    sets.write_text("user,item,weight\n1,2,3\n", encoding="utf-8")
    assert "has no column 'score' (it has user, item, weight): set candidates.file.score" in said("run", 2)

    said("prepare", 2)
    sets.write_text("user,item,score\nnobody,nothing,1\n", encoding="utf-8")
    assert "none of its 1 rows names a user and an item" in said(status=2)
    data = load_cloud(run)
    user, items = data.before.users[3], data.vocabulary.ids[5:8]
    rows = [f"{user},{item},{score}" for item, score in zip(items, (0.5, -1, 7), strict=True)]
    sets.write_text("\n".join(["user,item,score", *rows]) + "\n", encoding="utf-8")
    assert f"{len(data.before) - 1} of {len(data.before)} users have no row and get popular items" in said()
    made = Candidates.load(run / "candidates" / "candidates.npz")
    assert made.of(user).tolist() == [8, 6, 7, 0]
    assert made.of(data.before.users[0]).tolist() == [1, 2, 3, 4]
    assert "candidates  up to date" in said()

    sets.write_text("\n".join(["user,item,score", *rows[:1]]) + "\n", encoding="utf-8")
    assert "up to date" not in said().partition("candidates ")[2]
    assert Candidates.load(run / "candidates" / "candidates.npz").of(user).tolist() == [6, 0, 0, 0]
    sets.unlink()
    gone = said()
    assert "continuing with what it has left" in gone
    assert "candidates  up to date" in gone
