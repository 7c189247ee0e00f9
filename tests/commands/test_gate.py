# SPDX-License-Identifier: Apache-2.0
"""Demands on a run: refused before anything is done, or judged by what devices recommend."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pocketrec import cli
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.commands.gate import Gate
from pocketrec.device.base.errors import ConfigError, DataError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
METRICS = {
    "global": {"mrr@20": 0.3, "recall@5": 0.5},
    "personal": {"mrr@20": 0.2, "recall@5": 0.6},
    "verdict": {"system": "personal", "against": {
        "item_knn": {"mean": -0.05, "outcome": "behind"}, "recent": {"mean": -0.01, "outcome": "level"}}},
}  # fmt: skip


def _gate(under: tuple[str, ...] = (), below: tuple[str, ...] = (), **baselines: object) -> Gate | None:
    options = argparse.Namespace(fail_under=list(under), fail_below=list(below))
    return Gate.of(options, config_from_dict({"baselines": baselines}))


@pytest.mark.parametrize(("under", "below", "failed"), [
    (["mrr@20=0.2"], [], []),
    (["mrr@20=0.21"], [], ["mrr@20 of what devices recommend is 0.2000, less than 0.21"]),
    (["recall@5=0.55"], ["recent"], []),
    ([], ["item_knn", "recent"], ["item_knn is better than what devices recommend, by 0.0500 of MRR@20, which is more"
                                  " than chance"]),
])  # fmt: skip
def test_what_is_not_met_is_told(under: list[str], below: list[str], failed: list[str]) -> None:
    gate = _gate(tuple(under), tuple(below))
    assert gate is not None
    assert gate.failed(METRICS) == failed


def test_no_demands_are_no_gate() -> None:
    assert _gate() is None


def test_a_run_from_before_there_were_verdicts_is_told() -> None:
    gate = _gate(below=("recent",))
    assert gate is not None
    with pytest.raises(DataError, match="fleet --force"):
        gate.failed({"global": {"mrr@20": 0.1}})


def test_a_baseline_that_is_switched_off_cannot_be_asked_for() -> None:
    for baselines in ({"knn": {"neighbours": 0}}, {"judged": ["popularity"]}):
        with pytest.raises(ConfigError, match="this run compares with"):
            _gate(below=("item_knn",), **baselines)


@pytest.mark.parametrize("demand", [["--fail-under", "mrr=0.1"], ["--fail-under", "mrr@20"],
                                    ["--fail-under", "mrr@20=nan"], ["--fail-below", "nobody"]])  # fmt: skip
def test_unknown_demands_are_refused_before_anything_is_done(
    demand: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert cli.main(["run", str(CONFIGS / "demo.toml"), "--out", str(run), *demand]) == 2
    said = capsys.readouterr()
    assert not run.exists()
    assert said.out == ""
    assert said.err.startswith(f"error: {demand[0]} {demand[1]}")
    assert len(said.err.splitlines()) == 1
