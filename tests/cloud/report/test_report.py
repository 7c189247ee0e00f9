# SPDX-License-Identifier: Apache-2.0
"""The page is one file that fetches nothing, shows the figures it was given, and does without what is missing."""

from __future__ import annotations

import json
import re
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
from pocketrec.cloud.rehearsal import harm
from pocketrec.cloud.rehearsal.bonus import Tried
from pocketrec.cloud.report import svg, write_report
from pocketrec.device.base.errors import DataError
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.personal.guard import Decision


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
            "window": 20, "example": {"had": [3, 1, 3], "next": 2, "global": [1, 3], "personal": [2, 1, 3],
                                      "item_knn": [3]}}))  # fmt: skip
    (folder / "data" / "cloud").mkdir(parents=True)
    (folder / "data" / "cloud" / "items.txt").write_text("a1\nb2\nc3\n")
    (folder / "data" / "cloud" / "titles.txt").write_text("Apple & pear\nBread\n\n")
    (folder / "export").mkdir()
    (folder / "export" / "model.skeleton").write_bytes(bytes(40_000))
    (folder / "export" / "model.weights").write_bytes(bytes(85_000))
    (folder / "fleet" / "users.jsonl").write_text("\n".join(lines) + "\n")
    times = {f"{name}_ms_{p}": 1.5 for name in ("train", "embed", "infer") for p in ("p50", "p95")}
    (folder / "fleet" / "fleet.json").write_text(json.dumps({
        "window": 20, "candidates": 100, "skipped": {"users": 3}, "device": {"runtime": "ai_edge_litert", **times,
                                                                             "peak_rss_mb": 60.1}}))  # fmt: skip
    gain = generator.normal(0.03, 0.1, 200)
    expected = rehearse_choose.forecast(gain, generator.geometric(0.06, 200), 100, 1)
    parts = {"way": "head", "optimizer": "adagrad", "passes": 10, "proximal": 0.0, "targets": "all",
             "repeats": {"strength": 0.5}, "loglik": 0.1}  # fmt: skip
    trials = [
        {"name": f"head adagrad 0.0{i} \N{MULTIPLICATION SIGN} 10", "learning_rate": i / 100, **parts,
         "unguarded": rehearse_choose.summary(gain - i / 100), "guarded": rehearse_choose.summary(gain - i / 100)}
        for i in range(1, 5)
    ]  # fmt: skip
    decisions = [Decision("personal", "", chance={"personal": float(chance)}) for chance in generator.random(200) / 3]
    trials[0] |= {"guard": False, "against": harm.compared(gain, gain),
                  "reliability": harm.reliability(decisions, gain)}  # fmt: skip
    bonus = {"aim": 5.0, "users": 700, "price": 0.2, "tried": [
        Tried(price, Repeats(0.7, 1.0, headroom=0.4), gain, gain).to_dict(5.0) for price in (0.0, 0.2)]}  # fmt: skip
    rehearsal = {"format": 1, "chosen": trials[0]["name"], "users": 200, "trials": trials, "forecast": expected,
                 "bonus": bonus, "recipe": Recipe().to_dict(), "global": {"mrr@20": 0.3}}  # fmt: skip
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
    assert "0.2 (taken)" in words
    assert "own items raised by 0.7, most where far from the top" in words
    assert "It does not lower harm by more than chance, so it is off." in words
    assert "share of users harmed, 95 % interval, by predicted chance of harm" in words
    assert "head alone trained with Adagrad, rate 0.01, 10 passes, on all events, own items raised by 0.5" in words
    assert "125 kB" in words  # packed, beside the .tflite's
    assert "packed 125 kB, updates 85 kB" in words
    ratio = metrics["compare"]["personal"]["mrr@20"]["ratio"]["mean"]
    assert words.count(f"{ratio:.2f} \N{MULTIPLICATION SIGN}") >= 2  # of all systems, and of all users
    assert "nan" not in text.lower().replace("finance", "")
    assert "<u1>" not in text, "ids are not put into the page"


def test_example_users_are_told_by_title(tmp_path: Path) -> None:
    metrics = fake_run(tmp_path)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    section = text.partition("<h2>Example users</h2>")[2].partition("</section>")[0]
    users = evaluate.read_users(tmp_path / "fleet")
    gains = [evaluate.metrics.user_values([user["ranks"][name] for user in users]) for name in ("personal", "global")]
    best, worst = float((gains[0] - gains[1]).max()), float((gains[0] - gains[1]).min())
    assert f"A user who gains most: {best:+.4f}" in section
    assert f"A user who loses most: {worst:+.4f}".replace("-", "\N{MINUS SIGN}") in section
    assert section.count("<table>") == 3
    assert "<b>Bread</b>" in section  # what came next, where a system offers it
    assert "Apple &amp; pear" in section
    assert "c3" in section  # it has no title
    assert "u1" not in section
    assert metrics["global"]["mrr@20"] > 0


def test_a_run_without_lists_has_no_examples(tmp_path: Path) -> None:
    fake_run(tmp_path)
    path = tmp_path / "fleet" / "users.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("example", None)
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert "Example users" not in write_report(tmp_path).read_text(encoding="utf-8")


def test_the_verdict_has_every_reference_and_the_words_are_explained(tmp_path: Path) -> None:
    metrics = fake_run(tmp_path)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    section = text.partition("<h2>Verdict</h2>")[2].partition("</section>")[0]
    against = metrics["verdict"]["against"]
    assert len(against) > 1
    assert section.count("<tr>") == 1 + len(against)
    for name in against:
        ratio = metrics["personal"]["mrr@20"] / metrics[name]["mrr@20"]
        assert f"{ratio:.2f} \N{MULTIPLICATION SIGN}" in section
    words = text.partition("<h2>Words</h2>")[2]
    for term in ("MRR@20", "guard", "rehearsal", "cut-off", "packed"):
        assert f"<td>{term}</td>" in words


def test_devices_that_learn_and_users_judged_are_the_same(tmp_path: Path) -> None:
    """The drawing once put the events of all users, the 8000 of the summary, beside the users that were judged."""
    metrics = fake_run(tmp_path)
    learned = sum(user["learn"] for user in evaluate.read_users(tmp_path / "fleet"))
    assert metrics["users"]["events_learn"] == learned
    words = " ".join(read(write_report(tmp_path).read_text(encoding="utf-8")).words)
    assert f"{learned:,} events of the 60 users judged" in words
    assert "8,000" not in words


def test_the_lead_says_when_item_knn_beats_the_network(tmp_path: Path) -> None:
    metrics = fake_run(tmp_path)
    for figure, low, words in ((0.9, 0.1, "beats the network"), (0.9, -0.1, "is not behind the network"),
                               (0.0001, None, "")):  # fmt: skip
        known = dict(metrics["als"], **{"mrr@20": figure})
        compared = {"mrr@20": {**metrics["compare"]["als"]["mrr@20"], "low": low}}
        options = {"neighbours": 200, "shrink": 5.0, "decay": 0.5, "own": False}
        content = {**metrics, "item_knn": known, "compare": {**metrics["compare"], "item_knn": compared},
                   "tuned": {"item_knn": options}}  # fmt: skip
        (tmp_path / "metrics.json").write_text(json.dumps(content))
        page = write_report(tmp_path).read_text(encoding="utf-8")
        lead = page.partition('class="lead">')[2].partition("</p>")[0]
        assert ("Item-kNN" in lead) == bool(words)
        assert words in lead
        assert "Item-kNN was tuned before the cut-off: decay 0.5, shrink 5, 200 neighbours, none its own." in page


def test_a_log_without_personal_training_has_a_page_too(tmp_path: Path) -> None:
    ranks = [np.array([1.0, 3.0]), np.array([40.0]), np.array([2.0])]
    systems = {"global": ranks, "popularity": [r + 30 for r in ranks], "recent": ranks}
    metrics = evaluate.global_metrics(systems, evaluate=EvaluateConfig(bootstrap=50), window=20)
    assert metrics["global"]["recall@20"] == pytest.approx(3 / 4), "means are over events"
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert read(text).open == []
    assert "Who gains" not in text


def test_a_log_of_sessions_is_told_in_sessions(tmp_path: Path) -> None:
    ranks = [np.array([1.0, 3.0]), np.array([40.0]), np.array([2.0])]
    data = {"sessions": True, "items": 99, "events_before": 90, "users_before": 40, "events_after": 7, "users_after": 3,
            "users_old": 0, "users_new": 3}  # fmt: skip
    systems = {"global": ranks, "popularity": [rank + 30 for rank in ranks]}
    metrics = evaluate.global_metrics(systems, evaluate=EvaluateConfig(bootstrap=50), window=20, data=data)
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "config.json").write_text(json.dumps({"split": {"kind": "sessions", "quantile": 0.8}}))
    shown = " ".join(read(write_report(tmp_path).read_text(encoding="utf-8").partition("How this was made")[0]).words)
    for words in ("sessions that never come back", "40 sessions, 99 items", "3 sessions", "latest 20%, by session"):
        assert words in shown
    assert "user" not in shown.partition("How this")[0].partition("Quality")[0].partition("PocketRec")[2]


def test_every_system_is_in_the_table_in_the_order_of_the_baselines_table(tmp_path: Path) -> None:
    """A report left out a system whose label it did not know."""
    ranks = [np.array([1.0, 3.0]), np.array([40.0])]
    systems = dict.fromkeys(("of-a-package", *reversed(tuple(BASELINES)), "global"), ranks)
    metrics = evaluate.global_metrics(systems, evaluate=EvaluateConfig(bootstrap=20), window=20)
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    words = " ".join(read(write_report(tmp_path).read_text(encoding="utf-8")).words).partition("Full ranking")[2]
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


def test_a_long_name_goes_on_in_a_second_line_within_its_room() -> None:
    long = "partial adagrad 0.05 x 10, pull 0.05, repeats 4/age^-1+follows 0.5"
    rows = [svg.Estimate(name, 0.1, 0.0, 0.2, "other") for name in (long, "short")]
    names = re.findall(r'class="label"[^>]*>([^<]*)<', svg.estimates(rows, x_label="gain", width=900, name_room=110))
    assert names == ["partial adagrad 0.05 x 10, pull 0.05,", "repeats 4/age^-1+follows 0.5", "short"]
