# SPDX-License-Identifier: Apache-2.0
"""Retrieval of the whole catalogue: numpy over the bytes of a file, and the signature of a model file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loyal import loyal

from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.retrieval import TablePlace, retrieval_of
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.engine import retrieve
from pocketrec.device.engine.retrieve import ItemScan
from pocketrec.device.personal.training import fine_tune
from pocketrec.device.personal.windows import context

SIZE = 5


def scan_of(path: Path, table: np.ndarray, scales: np.ndarray | None = None) -> ItemScan:
    """A file with a table at an odd place, and its scan."""
    kept = b"x" * 13 + table.tobytes() + (b"" if scales is None else b"yyy" + scales.astype("<f4").tobytes())
    path.write_bytes(kept)
    place = 0 if scales is None else 13 + table.nbytes + 3
    return ItemScan(path, TablePlace(13, *table.shape, place))


@given(items=st.integers(1, 70), k=st.integers(1, 80), seed=st.integers(0, 1000), int8=st.booleans(),
       filtered=st.sampled_from(["no", "few", "many", "none"]))  # fmt: skip
def test_the_best_are_those_of_a_sorted_list_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, items: int, k: int, seed: int, int8: bool, filtered: str
) -> None:
    """With many ties: numbers are small. K larger than N, one item, a filter that leaves none."""
    rng = np.random.default_rng(seed)
    table = rng.integers(-2, 3, (items + 1, SIZE)).astype(np.int8 if int8 else np.float32)
    table[0] = 100  # would win, and is no item
    scales = rng.choice([0.5, 1.0], items + 1).astype(np.float32) if int8 else None
    user = rng.integers(-2, 3, SIZE).astype(np.float32)
    share = {"no": 1.0, "few": 0.1, "many": 0.6, "none": 0.0}[filtered]
    allowed = None if filtered == "no" else np.flatnonzero(rng.random(items + 1) < share)
    if allowed is not None:
        allowed = allowed[allowed > 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieve, "BLOCK", 8)
        scan = scan_of(tmp_path_factory.mktemp("scan") / "model.tflite", table, scales)
        rows, scores = scan.best(user, k, allowed)
    exact = (table.astype(np.float32) @ user) * (1.0 if scales is None else scales)
    wanted = np.arange(1, items + 1) if allowed is None else allowed
    order = wanted[np.lexsort((wanted, -exact[wanted]))][:k]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_array_equal(scores, exact[order])
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32
    assert len(scan) == items


def test_a_file_that_is_too_short_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"short")
    with pytest.raises(BundleError, match="does not hold the item table"):
        ItemScan(path, TablePlace(2, 4, 8, 40))


@pytest.mark.parametrize(
    ("key", "value"),
    [("offset", 1 << 30), ("offset", -1), ("scales_offset", 10**9), ("rows", 60), ("columns", 0), ("columns", 1.5),
     ("offset", None)],
)  # fmt: skip
def test_a_table_outside_of_the_file_is_refused(made: Path, tmp_path: Path, key: str, value: object) -> None:
    content = json.loads((made.with_name(made.name + ".retrieve") / "manifest.json").read_bytes())
    content["retrieval"]["table"][key] = value
    with pytest.raises(BundleError, match=r"manifest.json is wrong \(retrieval"):
        Manifest.from_bytes(json.dumps(content).encode(), "here")


def test_more_items_than_there_are_and_another_kind_are_refused() -> None:
    table = {"offset": 0, "rows": 4, "columns": 2, "scales_offset": 8}
    assert retrieval_of({"k": 3, "table": table}, 3, 24).kind == "exhaustive"
    for told in ({"k": 4, "table": table}, {"k": 3, "table": table, "kind": "magic"}, {"k": 3}):
        with pytest.raises(ValueError, match=r"retrieval|kind|table"):
            retrieval_of(told, 3, 24)
    with pytest.raises(ValueError, match="outside"):
        retrieval_of({"k": 3, "table": table}, 3, 23)


@pytest.mark.runtime
def test_the_signature_is_numpy_over_the_catalogue_and_follows_the_weights(made: Path, searched: np.ndarray) -> None:
    bundle = open_bundle(made.with_name(made.name + ".retrieve"))
    model = bundle.load_model()
    told = retrieval_of(bundle.manifest.retrieval, 60, bundle.manifest.model_bytes)
    scan = ItemScan(bundle.model_path, told.table)
    np.testing.assert_array_equal(scan.embeddings(np.arange(61)), searched)
    window = context(loyal(4), model.window)
    found = []
    for _ in range(2):
        user = model.embed(window)
        exact = model.catalogue() @ user
        rows, scores = model.retrieve(window)
        expected = (np.argsort(-exact[1:], kind="stable") + 1)[: told.k]
        np.testing.assert_allclose(scores, exact[expected], atol=1e-5)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_array_equal(scan.best(user, told.k)[0], expected)
        found.append(set(rows.tolist()))
        fine_tune(model, loyal(40), 1, Recipe(learning_rate=0.3, passes=10))
    assert found[0] != found[1], "personal weights find other items"


@pytest.mark.runtime
def test_a_file_without_the_signature_says_so(made: Path) -> None:
    model = open_bundle(made).load_model()
    assert not model.retrieves
    with pytest.raises(ValueError, match="no signature retrieve"):
        model.retrieve(context(loyal(4), model.window))
