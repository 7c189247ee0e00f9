# SPDX-License-Identifier: Apache-2.0
"""What a device does with its events is what fleet and rehearsal measured, whichever way the log was split."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tiny_device

from pocketrec.cloud.fleet.device import DeviceUser, SimulatedDevice, known_positions
from pocketrec.device import Recommender
from pocketrec.device.base.errors import ExportError
from pocketrec.device.contract.recipe import GuardRecipe, Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import candidate_files, write_bundle_files

CUT_OFF = 100


def bundle(tiny: Path, folder: Path, users: list[DeviceUser], recipe: Recipe, cut_off: float | None) -> Path:
    write_bundle_files(
        folder,
        BundleContent(
            model_file=(tiny / "partial.tflite").read_bytes(),
            items=[f"item {row}" for row in range(1, tiny_device.ITEMS + 1)],
            recipe=recipe,
            card="",
            model={"candidates": tiny_device.CANDIDATES},
            tensors={},
            candidates=([user.user for user in users], np.stack([user.candidates for user in users])),
            known=np.array([user.known_before for user in users]),
            cut_off=cut_off,
            shards=2,
        ),
    )
    return folder


def events(user: DeviceUser) -> list[tuple[str, float | None]]:
    """The device's events: those before the cut-off end right before it."""
    start = CUT_OFF - user.known_before
    return [(f"item {row}", float(start + place)) for place, row in enumerate(user.history)]


@pytest.mark.parametrize("targets", ["later", "all"])
@pytest.mark.parametrize("cut_off", [None, CUT_OFF])
def test_recommender_does_what_the_simulated_device_does(
    tiny: Path, tmp_path: Path, cut_off: float | None, targets: str
) -> None:
    users = tiny_device.loyal_users(3)
    fresh = DeviceUser("fresh", users[0].before[:0], users[0].learn, users[0].test, users[0].candidates)
    recipe = Recipe(learning_rate=0.1, passes=6, targets=targets, minimum_events=2)
    folder = bundle(tiny, tmp_path / "bundle", users, recipe, cut_off)
    device = SimulatedDevice(tiny / "partial.tflite", tiny / "items.npy")
    for user in [*users, fresh]:
        expected = device.personalise(user, recipe)
        recommender = Recommender(folder, user=user.user)
        report = recommender.personalise(events(user))
        assert expected.judgement is not None
        assert report.heldback == expected.judgement.heldback
        assert report.events == expected.judgement.events
        assert report.expected_gain == expected.posterior
        assert (report.choice, report.reason) == (expected.choice, expected.reason)
        weights = device.model.export_weights()
        for name, value in recommender.model.export_weights().items():
            np.testing.assert_array_equal(value, weights[name])


def test_recommend_asks_at_a_moment_as_the_fleet_does(tiny: Path, tmp_path: Path) -> None:
    """Recommender.recommend(now=time of a test event) ranks as the fleet's scores at that position."""
    users = [dataclasses.replace(user, times=1.6e9 + np.cumsum(np.random.default_rng(place).exponential(600, 24)))
             for place, user in enumerate(tiny_device.loyal_users(3, favourites=8))]  # fmt: skip
    repeats = Repeats(2.0, 1.0, 0.5, 0.5, 0.5)
    recipe = Recipe(passes=0, minimum_events=0, targets="all", repeats=repeats, guard=GuardRecipe(enabled=False))
    folder = bundle(tiny, tmp_path / "bundle", users, recipe, None)
    device = SimulatedDevice(tiny / "partial.tflite", tiny / "items.npy")
    items = [f"item {row}" for row in range(1, tiny_device.ITEMS + 1)]
    moved = 0
    for user in users:
        assert user.times is not None
        assert user.history_times is not None
        device.personalise(user, recipe)
        rows, places = known_positions(user)
        embedded, _ = device.embeddings(user)
        expected = device.scores_at(embedded, rows, places, repeats, user.known_times)[0]
        recommender = Recommender(folder, user=user.user)
        recommender.personalise(list(zip((f"item {row}" for row in user.history), user.history_times, strict=True)))
        ranked = recommender.recommend(40, items, now=float(user.times[len(user.history)]))
        assert [item for item, _ in ranked] == [items[row - 1] for row in np.argsort(-expected[1:], kind="stable") + 1]
        np.testing.assert_allclose([score for _, score in ranked], -np.sort(-expected[1:]), atol=1e-5)
        moved += ranked != recommender.recommend(40, items, now=float(user.history_times[-1]))
    assert moved, "the moment matters"
    with pytest.raises(ValueError, match="now must be a finite number"):
        recommender.recommend(now=float("nan"))


def test_guards_of_device_and_fleet_look_at_the_same_times(tiny: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    users = [dataclasses.replace(user, times=1.6e9 + np.cumsum(generator.exponential(3600, 24)))
             for user in tiny_device.loyal_users(3, favourites=8)]  # fmt: skip
    posteriors = []
    for power in (0.5, 0.0):
        recipe = Recipe(learning_rate=0.1, passes=2, targets="all", repeats=Repeats(2.0, 1.0, 0.5, 0.0, power))
        folder = bundle(tiny, tmp_path / f"{power}", users, recipe, None)
        device = SimulatedDevice(tiny / "partial.tflite", tiny / "items.npy")
        for user in users:
            assert user.history_times is not None
            expected = device.personalise(user, recipe)
            timed = list(zip((f"item {row}" for row in user.history), user.history_times, strict=True))
            report = Recommender(folder, user=user.user).personalise(timed)
            assert report.expected_gain == expected.posterior
            posteriors.append(report.expected_gain["personal"])
    assert posteriors[:3] != posteriors[3:], "the guard sees times"


def test_known_events_are_shipped_only_where_no_time_tells_them(tiny: Path, tmp_path: Path) -> None:
    users = tiny_device.loyal_users(3)
    without = Recommender(bundle(tiny, tmp_path / "a", users, Recipe(), None)).bundle
    assert [without.known_of(user.user) for user in users] == [6, 6, 6]
    assert without.known_of("nobody") == 0
    found = without.candidates_of("u01")
    assert found is not None
    assert found.tolist() == users[1].candidates.tolist()
    timed = Recommender(bundle(tiny, tmp_path / "b", users, Recipe(), CUT_OFF)).bundle
    assert timed.known_of("u00") == 0
    rows = np.ones((2, 1), int)
    for bad in (np.array([1]), np.array([1, -1])):
        with pytest.raises(ExportError, match="one for each user"):
            candidate_files(["a", "b"], rows, 1, known=bad)
