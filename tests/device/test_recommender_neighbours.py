# SPDX-License-Identifier: Apache-2.0
"""A bundle that brings neighbours: they are added to what the model says, and a damaged file is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from neighbouring import ring, with_file

from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError
from pocketrec.device.delivery.bundle import open_bundle

pytestmark = pytest.mark.runtime


def test_neighbours_are_added_to_the_scores(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.neighbours() is None
    history = [(item, 10.0 + place) for place, item in enumerate(bundle.vocabulary.ids([5, 9, 3]))]
    candidates = list(bundle.vocabulary.ids([4, 6, 10, 12]))

    def scores() -> dict[str, float]:
        with Recommender(folder) as recommender:
            recommender.add(history)
            return dict(recommender.recommend(k=4, candidates=candidates, now=20))

    before = scores()
    with_file(folder, ring(len(bundle.vocabulary), 3.0).to_bytes())
    after = scores()
    raised = [after[item] - before[item] for item in candidates]
    expected = 3.0 * np.log1p(100 * np.array([1.0, 0.25, 0.5]))  # of rows 4, 6 and 10: after 3, 5 and 9
    np.testing.assert_allclose(raised, [*expected, 0.0], atol=1e-4)


def test_a_file_of_another_catalogue_is_one_line(folder: Path) -> None:
    bundle = open_bundle(folder)
    ids = list(bundle.vocabulary.ids([1, 2]))
    with_file(folder, ring(len(bundle.vocabulary) - 1, 3.0).to_bytes())
    with Recommender(folder) as recommender:
        recommender.add([(ids[0], 10)])
        with pytest.raises(BundleError, match="its arrays do not fit"):
            recommender.recommend(k=2)


def test_what_goes_with_the_history_is_found_in_the_whole_catalogue(made: Path, tmp_path: Path) -> None:
    """The network's last choice comes first where the neighbours say so: it is among what is ranked."""
    source = made.with_name(made.name + ".retrieve")
    folder = Path(shutil.copytree(source, tmp_path / "whole", ignore=shutil.ignore_patterns(".verified")))
    with Recommender(folder) as recommender:
        recommender.add([("item 7", 10)])
        last = recommender.recommend(k=60, now=20)[-1][0]
    row = int(last.split()[-1])
    before = f"item {row - 1 if row > 1 else 60}"
    with_file(folder, ring(60, 100.0).to_bytes())
    with Recommender(folder) as recommender:
        recommender.add([(before, 10)])
        assert [item for item, _ in recommender.recommend(k=1, now=20)] == [last]
