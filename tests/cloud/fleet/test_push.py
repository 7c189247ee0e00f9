# SPDX-License-Identifier: Apache-2.0
"""Push mode: the user embedding goes up, and the server's ranking is the device's own."""

from __future__ import annotations

import dataclasses
from html import escape
from pathlib import Path

import numpy as np
import pytest
import tiny_device

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.evaluation import evaluate
from pocketrec.cloud.evaluation.worth import worth
from pocketrec.cloud.fleet import fleet
from pocketrec.cloud.report.privacy import privacy, push_in_words, worth_in_words
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.repeats import Repeats

PLAIN = Recipe(learning_rate=0.1, passes=20)
RAISED = dataclasses.replace(PLAIN, repeats=Repeats(2.0, 0.8))


@pytest.mark.feature("D20")
def test_the_ranking_is_that_of_pull_and_no_item_is_out_of_reach(tiny: Path, tmp_path: Path) -> None:
    files = (tiny / "partial.tflite", tiny / "items.npy")
    systems = [
        fleet.System("global", *files),
        fleet.System("personal", *files, recipe=RAISED.to_dict()),
        fleet.System("plain", *files, recipe=PLAIN.to_dict()),
        fleet.System("push", *files, recipe=PLAIN.to_dict(), pushed=True),
        fleet.System("push_raised", *files, recipe=RAISED.to_dict(), guard=False, pushed=True),
        fleet.System("naive", *files, recipe=PLAIN.to_dict(), guard=False),
        fleet.System("push_global", *files, recipe=Recipe(personalise=False).to_dict(), pushed=True),
    ]
    fleet.run_fleet(tiny_device.loyal_users(6), systems, tmp_path, evaluate=EvaluateConfig(),
                    resources=ResourceConfig(processes=1))  # fmt: skip
    users = evaluate.read_users(tmp_path)
    for entry in users:
        ranks, within = entry["ranks"], entry["within"]
        np.testing.assert_array_equal(ranks["push"], ranks["plain"])
        np.testing.assert_array_equal(ranks["push_raised"], ranks["naive"], "the server knows no history to repeat")
        np.testing.assert_array_equal(ranks["push_global"], ranks["global"])
        for name in ("push", "push_raised", "push_global"):
            np.testing.assert_array_equal(within[name], ranks[name])
    assert any((entry["ranks"]["personal"] != entry["ranks"]["push"]).any() for entry in users), "the bonus is missing"
    outside = [entry for entry in users if (entry["within"]["global"] != entry["ranks"]["global"]).any()]
    assert outside, "a device ranks candidates and own items, among which places are others"
    metrics = evaluate.fleet_metrics(tmp_path, evaluate=EvaluateConfig(bootstrap=50))
    assert metrics["push_mode"] == {"reveals": "the user embedding of each request", "bytes_up": 32, "items": 40}
    assert metrics["compare"]["personal_push"]["mrr@20"]["mean"] == pytest.approx(
        metrics["personal"]["mrr@20"] - metrics["push"]["mrr@20"])  # fmt: skip
    told = push_in_words(metrics["push_mode"])
    assert "reveals the user embedding of each request" in told
    assert "32 B up" in told
    assert escape(told) in privacy(metrics)


@pytest.mark.feature("D2")
def test_each_part_of_the_later_events_has_its_worth() -> None:
    values = {"global": 1.0, "necessary": 1.5, "central": 4.0, "personal": 3.0, "necessary_personal": 3.25}
    told = {name: np.full(3, value) for name, value in values.items()}

    def difference(after: np.ndarray, before: np.ndarray) -> dict[str, float]:
        return {"mean": float((after - before).mean()), "low": 0.0, "high": 1.0, "gained": 3, "harmed": 0}

    found = worth(told, difference)
    means = {part: one["mean"] for part, one in found.items()}
    assert means == {"necessary": 0.5, "withheld": 2.5, "device": 2.0, "device_after": 1.75}
    lines = worth_in_words(found)
    assert len(lines) == 4
    assert "all other events, if the cloud had them: +2.5000 MRR@20" in lines[1]
    page = privacy({"privacy": found, "data": {"events_learn": 50, "necessary_learn": 7}})
    assert "Of 50 events that devices learn from, the cloud may use 7" in page
    assert page.count("<tr>") >= 5
    for added, mean in (("neighbours", 0.25), ("repeats", -0.5)):  # what is added to both is no worth of events
        told[added] = np.full(3, 1.5 - mean)
        assert worth(told, difference)["necessary"]["mean"] == mean
    del told["necessary"]
    assert worth(told, difference) == {}
    assert privacy({}) == ""
