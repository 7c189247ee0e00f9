# SPDX-License-Identifier: Apache-2.0
"""What a model is made of, in the manifest: bundles of 8ba119b and later ones are both read."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.layers import (
    HEAD,
    LAYERS_KEY,
    LayerSpec,
    adapter_spec,
    count,
    dense_spec,
    gru_spec,
    specs_of,
    tensors_of,
)
from pocketrec.device.contract.manifest import Manifest

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
LAYERS = (
    adapter_spec(gru_spec("gru_1", 8, 12), "parallel", 4, 0),
    LayerSpec("residual", "block", (), 12, 12, {"keep": 0.5}, (dense_spec("fc_1", 12, 12),), patch="trained"),
    dense_spec("fc", 12, 8, HEAD),
)


def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((GOLDEN / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    return table


def _read(table: dict[str, Any]) -> Manifest:
    return Manifest.from_bytes(json.dumps(table).encode(), "here")


@pytest.mark.parametrize("kind", ["bundle", "bundle.packed", "bundle.lean"])
def test_a_bundle_of_then_has_the_layers_that_its_tensors_have(kind: str) -> None:
    manifest = Manifest.from_bytes((GOLDEN / kind / "manifest.json").read_bytes(), "here")
    assert [layer.name for layer in manifest.layers] == ["gru_1", "gru_2", "fc"]
    told = [spec for part in ("frozen", "trainable") for spec in manifest.tensors[part]]
    shapes = {spec["name"]: tuple(spec["shape"]) for spec in told}
    assert {name: tensor.shape for name, tensor in tensors_of(manifest.layers).items()}.items() <= shapes.items()


def test_the_layers_of_a_bundle_of_now_are_read_as_they_were_written() -> None:
    table = _table()
    before = _read(table)
    table["tensors"][LAYERS_KEY] = [layer.to_dict() for layer in LAYERS]
    manifest = _read(table)
    assert manifest.layers == LAYERS
    assert _read(json.loads(manifest.to_bytes())).layers == LAYERS
    assert manifest.specs_sha256 == before.specs_sha256, "states continue"
    assert manifest.layers[2].role == HEAD


def test_keys_of_later_versions_are_passed_over() -> None:
    table = {**LAYERS[0].to_dict(), "later": 1}
    assert LayerSpec.from_dict(table) == LAYERS[0]


def test_a_bundle_that_does_not_say() -> None:
    assert specs_of({"backbone": "other"}, {}) == ()
    assert specs_of({"backbone": "gru", "adapter": 4, "embedding": 8, "hidden": 8, "layers": 1}, {}) == ()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((), {}),
        ((0,), None),
        ((0, "kind"), 3),
        ((0, "inputs"), -1),
        ((0, "outputs"), True),
        ((0, "role"), "tail"),
        ((0, "patch"), "maybe"),
        ((0, "options"), [1]),
        ((0, "inner"), {"kind": "gru"}),
        ((0, "tensors", 0, "name"), None),
        ((0, "tensors", 0, "shape"), [0]),
        ((0, "tensors", 0), "gru_1_kernel"),
    ],
)
def test_damaged_layers_are_an_error_in_one_line(place: tuple[Any, ...], value: Any) -> None:
    table = _table()
    layers: Any = [layer.to_dict() for layer in copy.deepcopy(LAYERS)]
    if place:
        part = layers
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = value
    table["tensors"][LAYERS_KEY] = layers if place else value
    with pytest.raises(BundleError, match=r"manifest\.json is wrong \(.*\): fetch or export the bundle again"):
        _read(table)


def test_layers_within_layers_without_end() -> None:
    table: dict[str, Any] = {"kind": "stack", "name": "s", "inputs": 1, "outputs": 1}
    for _ in range(200):
        table = {"kind": "stack", "name": "s", "inputs": 1, "outputs": 1, "inner": [table]}
    with pytest.raises(ValueError, match="lies too deep"):
        LayerSpec.from_dict(table)


def test_numbers_of_shared_tensors_are_counted_once() -> None:
    twice = LayerSpec("dense", "again", dense_spec("fc", 12, 8).tensors, 12, 8)
    assert count([*LAYERS, twice], ["fc_kernel", "fc_bias"]) == 12 * 8 + 8
