# SPDX-License-Identifier: Apache-2.0
"""Lean bundles: a device has the rows of head, buckets and its own shard, and asks for no single item."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pocketrec.device import Recommender, open_bundle
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.lean import BUCKET, LeanVocabulary
from pocketrec.device.contract.names import MODEL_FILE
from pocketrec.device.contract.shards import shard_name, shard_of

pytestmark = pytest.mark.runtime

HEAD, LETTERS = 20, "abcd"


@pytest.fixture
def lean(made: Path, tmp_path: Path) -> Path:
    """The lean bundle, not yet installed, free to be changed."""
    source = made.with_name(made.name + ".lean")
    return Path(shutil.copytree(source, tmp_path / "lean", ignore=shutil.ignore_patterns(".*", "model*.tflite")))


def _category(item: str) -> str:
    return LETTERS[int(item.split()[1]) % 4]


@pytest.mark.feature("D9")
def test_the_shards_items_have_the_full_tables_rows(lean: Path, table: np.ndarray) -> None:
    bundle = open_bundle(lean).for_user("u3")
    vocabulary = bundle.vocabulary
    assert isinstance(vocabulary, LeanVocabulary)
    rows = bundle.load_model().catalogue()
    own = vocabulary.ids(range(HEAD + len(LETTERS) + 2, len(vocabulary) + 1))
    assert own
    assert len(rows) == len(vocabulary) + 1
    for item in [f"item {row}" for row in range(1, HEAD + 1)] + own:
        (row,) = vocabulary.rows([item])
        np.testing.assert_array_equal(rows[row], table[int(item.split()[1])], err_msg=item)


def test_every_candidate_has_a_row_of_its_own(lean: Path) -> None:
    bundle = open_bundle(lean)
    for number in range(20):
        own = bundle.for_user(f"u{number}")
        rows = own.candidates_of(f"u{number}")
        assert rows is not None
        assert len(rows) == 10
        assert own.vocabulary.are_items(rows).all()
        assert len(set(own.vocabulary.ids(rows.tolist()))) == 10


def test_other_items_fall_to_their_category_or_to_the_rest(lean: Path) -> None:
    vocabulary = open_bundle(lean).for_user("u3").vocabulary
    held = set(vocabulary.ids(range(1, len(vocabulary) + 1)))
    others = [item for item in (f"item {row}" for row in range(1, 61)) if item not in held]
    assert others
    assert vocabulary.ids(vocabulary.rows(others)) == [BUCKET] * len(others)
    vocabulary.learn(others, map(_category, others))
    assert vocabulary.ids(vocabulary.rows(others)) == [BUCKET + _category(item) for item in others]
    assert vocabulary.ids(vocabulary.rows(["item of tomorrow", "item 1"])) == [BUCKET, "item 1"]
    assert not vocabulary.rows([""]).any()


def test_an_installed_lean_bundle_learns_and_recommends(lean: Path, tmp_path: Path) -> None:
    state = tmp_path / "u3.state"
    recommender = Recommender(lean, user="u3", state=state)
    items = [f"item {row}" for row in (55, 3, 41, 3, 55, 3)]
    report = recommender.personalise([(item, 1001.0 + at, _category(item)) for at, item in enumerate(items)])
    assert report.unknown == 0
    assert report.history == 6
    best = recommender.recommend(30)
    assert best
    assert not any(item.startswith(BUCKET) for item, _ in best), "a bucket is not an item"
    recommender.save()
    again = Recommender(lean, user="u3", state=state)
    assert again.recommend(30) == best
    unnamed = Recommender(lean, state=state)
    assert unnamed.user == "u3"
    assert unnamed.recommend(30) == best


def test_an_unnamed_user_gets_the_head(lean: Path) -> None:
    best = Recommender(lean).recommend(30)
    assert [item for item, _ in best] == [f"item {row}" for row in range(1, len(best) + 1)]
    assert len(best) <= HEAD


def test_the_filled_file_is_kept_and_differs_by_shard(lean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(lean)
    files = {bundle.for_user(f"u{number}").model_path for number in range(20)}
    assert len(files) == bundle.manifest.candidates["shards"]
    assert len({file.read_bytes() for file in files}) == len(files)
    assert bundle.model_path == lean / MODEL_FILE
    monkeypatch.setattr("pocketrec.device.delivery.install.fill", lambda *_: pytest.fail("filled again"))
    assert open_bundle(lean).for_user("u3").model_path in files


def test_another_shards_file_is_refused(lean: Path) -> None:
    mine, other = (lean / shard_name(shard) for shard in (shard_of("u3", 3), (shard_of("u3", 3) + 1) % 3))
    mine.write_bytes(other.read_bytes())
    with pytest.raises(BundleError, match=r"fetch or export the bundle again$"):
        open_bundle(lean)


def test_a_bundle_without_its_reserved_rows_is_refused(lean: Path) -> None:
    manifest = (lean / "manifest.json").read_text()
    assert '"head": 20' in manifest
    (lean / "manifest.json").write_text(manifest.replace('"head": 20', '"head": 21'))
    with pytest.raises(BundleError, match="counts of the lean table"):
        open_bundle(lean)
