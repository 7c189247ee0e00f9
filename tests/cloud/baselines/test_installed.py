# SPDX-License-Identifier: Apache-2.0
"""A package of somebody else's adds a baseline and a ranker by entry points, with options, in child processes too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULE = '''
from dataclasses import dataclass

import numpy as np

from pocketrec.cloud.baselines.baseline import Baseline
from pocketrec.cloud.config.baselines import BaselineChoice
from pocketrec.cloud.config.ranker import RankerChoice
from pocketrec.cloud.rankers.ranker import Ranker


@dataclass(frozen=True)
class Options:
    step: int = 1

    def __post_init__(self):
        if self.step < 1:
            from pocketrec.device.base.errors import ConfigError
            raise ConfigError("step must be at least 1")


class RowOrder(Baseline):
    """Scores row r by r * step."""

    def __init__(self, rows, step):
        self.rows, self.step = rows, step

    @classmethod
    def fit(cls, options, past):
        return cls(past.items + 1, options.step)

    def arrays(self):
        return {"shape": np.array([self.rows, self.step])}

    @classmethod
    def restore(cls, arrays):
        return cls(*arrays["shape"].tolist())

    def scores(self, history, user=""):
        return np.arange(self.rows, dtype=np.float32) * self.step


class Negative(Ranker):
    @classmethod
    def restore(cls, arrays):
        return cls()

    def scores(self, users, items):
        return -(users @ items.T)


baseline = BaselineChoice("theirs:RowOrder", "rows in reverse", "theirs:Options", label="Row order")
ranker = RankerChoice("theirs:Negative", "the wrong way round", training="theirs:NegativeTraining")
'''
SCRIPT = '''
import multiprocessing, sys
from pathlib import Path

import numpy as np

from pocketrec.cloud.baselines.baseline import Past
from pocketrec.cloud.baselines.files import load_baselines, save_baseline, save_index
from pocketrec.cloud.baselines.fitting import fit_all, judged
from pocketrec.cloud.config.baselines import BASELINES, label_of
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.systems import in_order, name_of
from pocketrec.cloud.rankers import make_ranker
from pocketrec.device.base.errors import ConfigError


def child(folder):
    return {name: one.scores(np.zeros(0, int)).tolist() for name, one in load_baselines(folder).items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    config = config_from_dict({"baselines": {"judged": ["row_order", "recent"], "options": {"row_order": {"step": 3}}},
                               "ranker": {"kind": "negative"}, "model": {"tied": False}})
    assert config_from_dict(config.to_dict()) == config
    assert list(BASELINES)[-1] == "row_order"
    past = Past(Sequences.build(np.array(["a"], object), np.zeros(2, int), np.array([1, 2]), np.array([1, 2])), 2)
    fitted = fit_all(config, past, judged(config, personal=True))
    save_index(folder, {name: save_baseline(folder, name, one) for name, one in fitted.items()})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(child, (folder,))
    assert found["row_order"] == [0, 3, 6], found
    assert name_of("row_order") == "Row order"
    assert in_order(["row_order", "recent", "global"]) == ["global", "recent", "row_order"]
    assert make_ranker(config.ranker).scores(np.ones((1, 1)), np.ones((1, 1))).tolist() == [[-1]]
    for wrong, words in (({"stride": 3}, "stride"), ({"step": 0}, "step must be at least 1")):
        try:
            config_from_dict({"baselines": {"options": {"row_order": wrong}}})
        except ConfigError as error:
            assert words in str(error), error
        else:
            raise AssertionError(wrong)
'''


def test_a_package_adds_a_baseline_and_a_ranker(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", encoding="utf-8")
    groups = "[pocketrec.baselines]\nrow_order = theirs:baseline\n[pocketrec.rankers]\nnegative = theirs:ranker\n"
    (info / "entry_points.txt").write_text(groups, encoding="utf-8")
    paths = [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    words = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "fitted")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
