"""What a device does with its events is what fleet and rehearsal measured, whichever way the log was split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_device

from pocketrec.cloud.fleet_device import DeviceUser, SimulatedDevice
from pocketrec.device import Recommender
from pocketrec.device.errors import ExportError
from pocketrec.device.packing import candidate_files, write_bundle_files
from pocketrec.device.recipe import Recipe

CUT_OFF = 100


def bundle(tiny: Path, folder: Path, users: list[DeviceUser], recipe: Recipe, cut_off: float | None) -> Path:
    write_bundle_files(
        folder,
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
