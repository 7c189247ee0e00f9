# SPDX-License-Identifier: Apache-2.0
"""A device with the Java runner through 26 releases of other models: never without recommendations, nothing lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import by_java
import numpy as np
import pytest
from by_java import JAVA
from examples import LONG
from java_recommender import JavaRecommender
from publishing import QUICK
from server import Server

from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.release import publish
from pocketrec.export.bundle.write import write_bundle_files

pytestmark = [pytest.mark.java, pytest.mark.scaled, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
for _file in ("device/conftest.py", "device/delivery/conftest.py"):
    globals().update(by_java.cases(_file, {}, ()))

RELEASES = 26 if LONG else 4


def release(bundle: Bundle, folder: Path, number: int) -> Path:
    """A bundle of another model, which is `bundle`'s with some bytes more, and of a vocabulary in another order."""
    ids = np.roll(bundle.vocabulary.ids(range(1, 61)), number).tolist()
    write_bundle_files(
        folder, BundleContent(
            model_file=bundle.model_path.read_bytes() + bytes(8 * number), items=ids, recipe=bundle.recipe, card="",
            model=bundle.manifest.model, tensors=bundle.manifest.tensors, cut_off=bundle.manifest.cut_off,
            candidates=(["u1"], np.arange(1, 26)[None]),
    ))  # fmt: skip
    return folder


@pytest.mark.parametrize("stored", [False, True])
def test_releases_one_after_the_other(
    bundle: Bundle, site: Server, here: Path, tmp_path: Path, keys: list[Path], digits: list[str], stored: bool
) -> None:
    """Each day the app starts, recommends with what it has, pulls, records, trains and saves: sometimes it is killed
    before it has saved, and sometimes it does not train."""
    files = {"user": "u1", "state": tmp_path / "state", **({"store": tmp_path / "events"} if stored else {})}
    kept: list[str] = []
    for number in range(1, RELEASES + 1):
        made = release(bundle, tmp_path / f"release {number}", number)
        publish(made, site.root, sign=keys[0])
        shutil.rmtree(made)
        if number > 1:
            before = JavaRecommender(here, **files)  # type: ignore[arg-type]
            assert len(before.recommend(5, now=1e6)) == 5
            before.close()
        pulled = by_java.pull(site.url, here, users=["u1"], key=digits[0], patience=QUICK)
        assert (pulled.serial, pulled.new) == (number, True)
        recommender = JavaRecommender(here, **files)  # type: ignore[arg-type]
        assert len(recommender.recommend(5, now=1e6)) == 5, "before it has learned anything with the new model"
        assert recommender.history == kept
        assert bool(recommender.outdated) == (number > 1), "the old model's weights are left aside"
        done = [(f"item {1 + (number * 3 + place) % 7}", 2000.0 + 10 * number + place) for place in range(5)]
        recommender.add(done)
        if number % 3:
            recommender.personalise()
        ranked = recommender.recommend(5, now=1e6)
        assert len(ranked) == 5
        if number % 5 or stored:  # otherwise the state is as it was yesterday
            kept += [item for item, _ in done]
        if number % 5:
            recommender.save()
            recommender.close()
            again = JavaRecommender(here, **files)  # type: ignore[arg-type]
            assert again.outdated == ""
            assert again.recommend(5, now=1e6) == ranked
            again.close()
        else:
            recommender.close()
    assert open_bundle(here).vocabulary.ids([1]) == [f"item {61 - RELEASES}"]
