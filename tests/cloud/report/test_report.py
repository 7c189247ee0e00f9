"""The page is one file that fetches nothing, shows the figures it was given, and does without what is missing."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.config.baselines import BASELINES
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.evaluation import evaluate
from pocketrec.cloud.rehearsal import choose as rehearse_choose
from pocketrec.cloud.report import svg, write_report
from pocketrec.device.base.errors import DataError
from pocketrec.device.contract.recipe import Recipe


def fake_run(folder: Path, users: int = 60) -> dict[str, Any]:
    """A run directory with made-up figures; returns metrics.json."""
    generator = np.random.default_rng(7)
    (folder / "fleet").mkdir()
    (folder / "rehearse").mkdir()
    lines = [json.dumps({"fingerprint": "x"})]
    for index in range(users):
        learn = int(generator.geometric(0.06))
        ranks = {
            name: generator.geometric(odds, 8).tolist()
            for name, odds in (
                ("global", 0.1),
                ("personal", 0.14),
                ("naive", 0.1),
                ("popularity", 0.03),
                ("als", 0.03),
                ("recent", 0.08),
            )
        }
        within = {name: [rank if rank < 12 else None for rank in values] for name, values in ranks.items()}
        kept = ("global", "blend", "personal")[index % 3]
        lines.append(json.dumps({
            "key": f"u{index}", "user": f"<u{index}>", "old": index % 9 > 0, "before": 30, "learn": learn, "test": 8,
            "unknown": 0, "empty": 0, "ceiling": 6, "ceiling_candidates": 5, "decision": {"personal": {"kept": kept}},
            "ranks": ranks, "within": within, "ms": {}, "rss_mb": 60.0, "infer_difference": 0.0,
            "window": 20}))  # fmt: skip
    (folder / "fleet" / "users.jsonl").write_text("\n".join(lines) + "\n")
    times = {f"{name}_ms_{p}": 1.5 for name in ("train", "embed", "infer") for p in ("p50", "p95")}
    (folder / "fleet" / "fleet.json").write_text(json.dumps({
        "window": 20, "candidates": 100, "skipped": {"users": 3}, "device": {"runtime": "ai_edge_litert", **times,
                                                                             "peak_rss_mb": 60.1}}))  # fmt: skip
    gain = generator.normal(0.03, 0.1, 200)
    expected = rehearse_choose.forecast(gain, generator.geometric(0.06, 200), 100, 1)
    trials = [
        {"name": f"head adagrad 0.0{i} \N{MULTIPLICATION SIGN} 10", "loglik": 0.1,
         "unguarded": rehearse_choose.summary(gain - i / 100), "guarded": rehearse_choose.summary(gain - i / 100)}
        for i in range(1, 5)
    ]  # fmt: skip
    rehearsal = {"format": 1, "chosen": trials[0]["name"], "users": 200, "trials": trials, "forecast": expected,
                 "recipe": Recipe().to_dict(), "global": {"mrr@20": 0.3}}  # fmt: skip
    (folder / "rehearse" / "rehearsal.json").write_text(json.dumps(rehearsal))
    summary = {"events_before": 67590, "users_before": 800, "items": 2675, "events_after": 16898, "users_old": 700,
               "users_new": 60, "events_learn": 8000}  # fmt: skip
    sizes = {"model": 412_000, "candidates_per_user": 400.0, "bundle": 900_000, "dense_fp32_model": 1_100_000,
             "ratio": 2.66, "sparse_payload": 400_000, "sparse_ratio": 2.7}  # fmt: skip
    metrics = evaluate.fleet_metrics(
        folder / "fleet", evaluate=EvaluateConfig(bootstrap=200), data=summary, sizes=sizes, rehearsal=rehearsal
    )
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.json").write_text(json.dumps(RunConfig().to_dict()))
    (folder / "versions.json").write_text(json.dumps({"numpy": np.__version__}))
    history = [
        {"stage": stage, "phase": phase, "epoch": epoch, "loss": 6 - epoch**0.5, "seconds": 2, "val_mrr@20": epoch / 9}
        for stage in ("train-early", "train") for phase in ("search", "final") for epoch in range(1, 12)
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in history) + "\n")
    return metrics


class _Reader(HTMLParser):
    """Collects tags that are open at the end, and all attributes."""

    void = frozenset(("meta", "br", "line", "rect"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    return reader


def test_the_page_holds_the_figures_and_fetches_nothing(tmp_path: Path) -> None:
    metrics = fake_run(tmp_path)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    reader = read(text)
    assert reader.open == [], "every element is closed"
    names = {name for name, _ in reader.attributes}
    assert not names & {"src", "href", "srcset", "xlink:href"}
    assert "url(" not in text
    assert "@import" not in text
    words = " ".join(reader.words)
    for system in ("global", "personal", "als"):
        assert f"{metrics[system]['mrr@20']:.4f}" in words
    assert f"{metrics['users']['gained']} : {metrics['users']['harmed']}" in words
    assert "What was expected, and what happened" in words
    assert "nan" not in text.lower().replace("finance", "")
    assert "<u1>" not in text, "ids are not put into the page"


def test_a_log_without_personal_training_has_a_page_too(tmp_path: Path) -> None:
    ranks = [np.array([1.0, 3.0]), np.array([40.0]), np.array([2.0])]
    systems = {"global": ranks, "popularity": [r + 30 for r in ranks], "recent": ranks}
    metrics = evaluate.global_metrics(systems, evaluate=EvaluateConfig(bootstrap=50), window=20)
    assert metrics["global"]["recall@20"] == pytest.approx(3 / 4), "means are over events"
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert read(text).open == []
    assert "Who gains" not in text


def test_every_system_is_in_the_table_in_the_order_of_the_baselines_table(tmp_path: Path) -> None:
    """A report left out a system whose label it did not know."""
    ranks = [np.array([1.0, 3.0]), np.array([40.0])]
    systems = dict.fromkeys(("of-a-package", *reversed(tuple(BASELINES)), "global"), ranks)
    metrics = evaluate.global_metrics(systems, evaluate=EvaluateConfig(bootstrap=20), window=20)
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    words = " ".join(read(write_report(tmp_path).read_text(encoding="utf-8")).words)
    labels = ["Global model", *(choice.label for choice in BASELINES.own.values()), "of-a-package"]
    places = [words.index(label) for label in labels]
    assert places == sorted(places)


def test_without_figures_the_error_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pocketrec fleet"):
        write_report(tmp_path)


@pytest.mark.parametrize(("rough", "step"), [(0.0, 1.0), (0.7, 1.0), (1.1, 2.0), (0.024, 0.025), (30, 50)])
def test_ticks_are_round(rough: float, step: float) -> None:
    assert svg.nice_step(rough) == pytest.approx(step)


def test_an_axis_of_equal_values_still_has_room() -> None:
    low, high = svg.span([3.0, 3.0])
    assert low < 3 < high
    assert svg.span([]) == (-0.06, 1.06)


def test_text_from_outside_is_escaped() -> None:
    assert "<script>" not in svg.text(0, 0, "<script>")
