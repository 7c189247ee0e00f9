# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/production.md, in its order, on a small log and a local server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from server import serving
from started import POCKETREC

from pocketrec.cloud.data.synthetic import BEGIN, Shape, simulate

PAGE = Path(__file__).parents[2] / "docs/production.md"
SMALL = (
    "model.embedding=8", "model.window=8", "model.gru.hidden=8", "model.gru.layers=1", "train.epochs=3",
    "train.batch=32", "train.learning_rate=0.02", "train.validation=0.0", "candidates.k=20", "candidates.als.factors=8",
    "candidates.als.iterations=3", "rehearse.users=20", "rehearse.learning_rates=[0.02]", "rehearse.passes=[2]",
    "rehearse.proximals=[0.0]", "baselines.knn.tune=false", "evaluate.central=false", "evaluate.naive=false",
)  # fmt: skip
"""What a run of the test sets beside what the page says, so that it takes seconds."""


def lines(text: str) -> list[str]:
    """The commands of the page."""
    return re.findall(r"^    (pocketrec .*)$", text, re.MULTILINE)


def write_log(path: Path, days: float) -> None:
    """The first days of a log, of more users than one shard of candidates has."""
    log = simulate(Shape(users=640, items=80, events=14, categories=8)).log
    with path.open("w", encoding="utf-8") as file:
        file.write("user,item,timestamp\n")
        for user, item, time in zip(log.users.codes, log.items.codes, log.timestamps, strict=True):
            if time < BEGIN + days * 86_400:
                file.write(f"{log.users.values[user]},{log.items.values[item]},{time}\n")


@pytest.mark.long
def test_every_command_in_its_order(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "shop.toml").write_text(block, encoding="utf-8")
    (tmp_path / "www").mkdir()
    (tmp_path / "in-stock.txt").write_text("".join(f"i{item:05d}\n" for item in range(40)), encoding="utf-8")
    write_log(tmp_path / "clicks.csv", 40)
    write_log(tmp_path / "clicks-2.csv", 47)
    answers = []
    with serving(tmp_path / "www") as site:
        for line in lines(text):
            words = shlex.split(line.replace("https://models.example.org", site.url))
            if words[1] == "run":
                words += [word for value in SMALL for word in ("--set", value)]
            done = subprocess.run([*POCKETREC, *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            if words[1] == "recommend":
                answers.append(json.loads(done.stdout.splitlines()[-1]))
    assert len(answers) == 4
