# SPDX-License-Identifier: Apache-2.0
"""Personal item rows: what the device keeps and recommends is what rehearsal and fleet measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tiny_device
from test_parity import bundle

from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.evaluation.evaluate import read_users
from pocketrec.cloud.fleet import fleet
from pocketrec.cloud.fleet.device import SimulatedDevice, known_positions
from pocketrec.cloud.rehearsal.item_rows import Judged, judge_item_rows, with_item_rows
from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError, ConfigError
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.recipe import GuardRecipe, ItemRowsRecipe, Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.personal.item_rows import DELTA, ROWS

pytestmark = pytest.mark.feature("F10")

ALONE = Recipe(passes=0, minimum_events=0, targets="all", repeats=Repeats(0.5, 0.8), guard=GuardRecipe(enabled=False))
OWN = dataclasses.replace(ALONE, item_rows=ItemRowsRecipe(0.3, passes=20))
ITEMS = [f"item {row}" for row in range(1, tiny_device.ITEMS + 1)]


def test_a_state_keeps_the_rows_and_the_ranking_is_the_fleets(tiny: Path, tmp_path: Path) -> None:
    users = tiny_device.loyal_users(4)
    folder = bundle(tiny, tmp_path / "bundle", users, OWN, None)
    device = SimulatedDevice(tiny / "partial.tflite", tiny / "items.npy")
    kept = 0
    for user in users:
        device.personalise(user, OWN)
        rows, places = known_positions(user)
        embedded, _ = device.embeddings(user)
        expected = device.scores_at(embedded, rows, places, OWN.repeats)[:1]
        plain = expected.copy()
        if len(device.item_rows.rows):
            kept += 1
            assert set(device.item_rows.rows.tolist()) <= set(user.history.tolist())
            device.item_rows.add_to_catalogue(expected, embedded[:1])
            assert (expected != plain).any()
        state = tmp_path / f"{user.user}.state"
        recommender = Recommender(folder, user=user.user, state=state)
        recommender.personalise([(f"item {row}", float(place)) for place, row in enumerate(user.history)])
        ranked = recommender.recommend(40, ITEMS)
        np.testing.assert_allclose([score for _, score in ranked], -np.sort(-expected[0, 1:]), atol=1e-5)
        recommender.save()
        assert Recommender(folder, user=user.user, state=state).recommend(40, ITEMS) == ranked
        tensors = tensorfile.parse(state.read_bytes()).tensors
        assert {ROWS, DELTA} <= tensors.keys() if len(device.item_rows.rows) else not {ROWS, DELTA} & tensors.keys()
        recommender.reset()
        assert recommender.recommend(40, ITEMS) == Recommender(folder, user=user.user).recommend(40, ITEMS)
    assert kept, "loyal users have something to learn"


def test_the_fleet_serves_what_the_rehearsal_judges(tiny: Path, tmp_path: Path) -> None:
    users, files = tiny_device.loyal_users(6), (tiny / "partial.tflite", tiny / "items.npy")
    systems = [fleet.System("global", *files), fleet.System("personal", *files, recipe=OWN.to_dict()),
               fleet.System("repeats", *files, recipe=ALONE.to_dict())]  # fmt: skip
    fleet.run_fleet(users, systems, tmp_path, evaluate=EvaluateConfig(), resources=ResourceConfig(processes=1))
    device = SimulatedDevice(*files)
    judged = judge_item_rows(device, users, ALONE.to_dict(), [OWN.item_rows], EvaluateConfig())
    served = read_users(tmp_path)
    for name, values in (("repeats", judged.plain), ("personal", judged.guarded[OWN.item_rows])):
        ranks = [entry["ranks"][name] for entry in served]
        np.testing.assert_allclose(values, [np.where(rank <= 20, 1 / rank, 0).mean() for rank in ranks])
    assert (judged.guarded[OWN.item_rows] != judged.plain).any()
    masked = judge_item_rows(device, users, ALONE.to_dict(), [OWN.item_rows], EvaluateConfig(mask_seen=True))
    np.testing.assert_array_equal(masked.guarded[OWN.item_rows], masked.plain, "what is masked cannot matter")


def test_a_recipe_gets_the_rows_that_surely_gain_and_no_others() -> None:
    rng, small, large = np.random.default_rng(0), ItemRowsRecipe(0.01), ItemRowsRecipe(0.1)
    plain = rng.random(200)

    def chosen(**gains: float) -> dict[str, object]:
        values = {one: plain + rng.normal(gains[name], 0.05, 200) for name, one in (("small", small), ("large", large))}
        recipe, tried = with_item_rows(ALONE.to_dict(), Judged(plain, values, values), 500, 1)
        assert [one["rate"] for one in tried] == [0.01, 0.1]
        return recipe

    assert chosen(small=-0.02, large=-0.05) == ALONE.to_dict()
    assert Recipe.from_dict(chosen(small=0.02, large=0.04)).item_rows == large
    assert Recipe.from_dict(chosen(small=0.02, large=-0.04)).item_rows == small


def test_a_recipe_names_rows_only_where_it_has_them() -> None:
    assert "item_rows" not in ALONE.to_dict()
    assert Recipe.from_dict(OWN.to_dict()) == OWN
    with pytest.raises(BundleError, match="rate"):
        Recipe.from_dict({**OWN.to_dict(), "item_rows": {"rate": -1.0}})
    with pytest.raises(ConfigError, match="item_rows must be rates above 0"):
        config_from_dict({"data": {"set": "synthetic"}, "rehearse": {"item_rows": [0.0]}})
