# SPDX-License-Identifier: Apache-2.0
"""What holds for every way to personalise, on each kind of backbone that a way has to suit."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pocketrec.cloud.backbones.mingru_specs import mingru_specs
from pocketrec.cloud.backbones.nextitnet import block_specs
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.mingru import MinGruOptions
from pocketrec.cloud.config.nextitnet import NextItNetOptions
from pocketrec.cloud.config.personalise import WAYS
from pocketrec.cloud.ways.way import Layers, apply
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.layers import HEAD, LayerSpec, dense_spec, gru_spec, tensors_of, walk

OPTIONS = ExportConfig(adapter=2)
GRU: Layers = (gru_spec("gru_1", 4, 6), gru_spec("gru_2", 6, 6), dense_spec("fc", 6, 4, HEAD))


def _marked(name: str, patch: str) -> LayerSpec:
    spec = dense_spec(name, 4, 4)
    return LayerSpec(spec.kind, name, spec.tensors, 4, 4, patch=patch)


# A body of blocks whose inner layers say where adapters go and what trains with them, as convolutions and norms do.
BLOCKS: Layers = (
    LayerSpec("residual", "block_1", (), 4, 4, {}, (_marked("conv_1", "adapter"), _marked("norm_1", "trained"))),
    LayerSpec("residual", "block_2", (), 4, 4, {}, (_marked("conv_2", "adapter"), _marked("norm_2", "trained"))),
    dense_spec("fc", 4, 4, HEAD),
)
NEXTITNET = (*block_specs(NextItNetOptions(dilations=[1, 4]), 64), dense_spec("fc", 64, 64, HEAD))
MINGRU: Layers = mingru_specs(4, MinGruOptions(hidden=6, layers=2, feed_forward=1), "fc")
BACKBONES = {"gru": GRU, "blocks": BLOCKS, "mingru": MINGRU}
_BLOCK = ("norm_{}", "mingru_{}", "out_{}", "ffn_norm_{}", "ffn_in_{}", "ffn_out_{}")
BLOCK_1, BLOCK_2 = ([name.format(place) for name in _BLOCK] for place in (1, 2))


class WayContract:
    """A subclass names a way, and what it trains of the two backbones above."""

    name: str
    trains: dict[str, list[str]]

    @pytest.mark.parametrize("backbone", BACKBONES)
    def test_it_trains_what_it_says(self, backbone: str) -> None:
        applied = apply(self.name, BACKBONES[backbone], OPTIONS)
        layers = {tensor: layer.name for layer in walk(applied.layers) for tensor in (t.name for t in layer.tensors)}
        assert list(dict.fromkeys(layers[name] for name in applied.trained)) == self.trains[backbone]
        assert list(applied.trained) == [name for name in tensors_of(applied.layers) if name in applied.trained]
        assert applied.numbers == sum(tensors_of(applied.layers)[name].size for name in applied.trained) > 0

    @pytest.mark.parametrize("backbone", BACKBONES)
    def test_the_backbone_stays_as_it_is_inside(self, backbone: str) -> None:
        before = BACKBONES[backbone]
        after = apply(self.name, before, OPTIONS).layers
        kept = [layer.name for layer in walk(after) if layer.kind != "adapter"]
        assert kept == [layer.name for layer in walk(before)]
        assert [layer.role for layer in after] == [layer.role for layer in before]
        assert [(layer.inputs, layer.outputs) for layer in after] == [(b.inputs, b.outputs) for b in before]
        assert tensors_of(before).items() <= tensors_of(after).items()

    def test_it_has_a_colour_and_a_line(self) -> None:
        assert WAYS.load(self.name)().colour in ("personal", "global", "naive", "other")
        assert WAYS[self.name].says


class TestPartial(WayContract):
    name = "partial"
    trains = {"gru": ["gru_2", "fc"], "blocks": ["conv_2", "norm_2", "fc"], "mingru": [*BLOCK_2, "norm", "fc"]}  # noqa: RUF012


class TestHead(WayContract):
    name = "head"
    trains = {"gru": ["fc"], "blocks": ["fc"], "mingru": ["fc"]}  # noqa: RUF012


class TestWhole(WayContract):
    name = "whole"
    trains = {  # noqa: RUF012
        "gru": ["gru_1", "gru_2", "fc"],
        "blocks": ["conv_1", "norm_1", "conv_2", "norm_2", "fc"],
        "mingru": [*BLOCK_1, *BLOCK_2, "norm", "fc"],
    }


class TestPatch(WayContract):
    name = "patch"
    trains = {  # noqa: RUF012
        "gru": ["gru_1_adapter", "gru_2_adapter", "fc_adapter"],
        "blocks": ["conv_1_adapter", "norm_1", "conv_2_adapter", "norm_2"],
        "mingru": ["out_1_adapter", "ffn_out_1_adapter", "out_2_adapter", "ffn_out_2_adapter", "norm"],
    }

    @pytest.mark.feature("P6")
    def test_adapters_read_outputs(self) -> None:
        tensors = tensors_of(apply(self.name, GRU, OPTIONS).layers)
        assert tensors["gru_1_adapter_down_kernel"].shape == (6, 2)
        assert tensors["fc_adapter_down_kernel"].shape == (4, 2)


class TestPatchParallel(WayContract):
    name = "patch_parallel"
    trains = TestPatch.trains

    def test_adapters_read_inputs(self) -> None:
        tensors = tensors_of(apply(self.name, GRU, OPTIONS).layers)
        assert tensors["gru_1_adapter_down_kernel"].shape == (4, 2)
        assert tensors["fc_adapter_down_kernel"].shape == (6, 2)
        assert tensors["fc_adapter_up_kernel"].shape == (2, 4)


@pytest.mark.parametrize("way", ["patch", "patch_parallel"])
@pytest.mark.parametrize("cardinality", [1, 4, 16])
def test_an_adapter_of_a_convolution_has_as_many_numbers_as_in_peterrec(way: str, cardinality: int) -> None:
    """P5: C^2 / 2 + C / 4 + c C, with a bottleneck of C / 4; and the second norm of each block trains too."""
    options = ExportConfig(adapter=16, cardinality=cardinality, adapter_activation="gelu")
    applied = apply(way, NEXTITNET, options)
    adapters = [layer for layer in walk(applied.layers) if layer.kind == "adapter"]
    assert [layer.inner[0].name for layer in adapters] == ["conv_1_1", "conv_1_2", "conv_2_1", "conv_2_2"]
    each = 64 * 64 // 2 + 64 // 4 + cardinality * 64
    assert each == {1: 2128, 4: 2320, 16: 3088}[cardinality]
    assert applied.numbers == 4 * each + 2 * 2 * 64
    assert {"norm_1_2_gamma", "norm_2_2_beta"} <= set(applied.trained)
    assert not {name for name in applied.trained if name.startswith(("norm_1_1", "conv_1_1_kernel", "fc"))}


def test_a_patch_may_leave_norms_alone() -> None:
    applied = apply("patch", NEXTITNET, ExportConfig(train_norm=False))
    assert not [name for name in applied.trained if "norm" in name]
    assert applied.numbers == 4 * 2128


def test_every_way_has_a_contract_test() -> None:
    assert {cls.name for cls in WayContract.__subclasses__()} == set(WAYS.own)


def test_an_unknown_way_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'all' is not known: it is one of partial, head, whole, patch, patch_par"):
        apply("all", GRU, OPTIONS)


def test_a_way_that_trains_nothing_of_a_backbone_is_refused() -> None:
    with pytest.raises(ConfigError, match="'head' does not suit this backbone"):
        apply("head", GRU[:2], OPTIONS)


def test_asking_what_a_way_trains_loads_no_tensorflow() -> None:
    code = (
        "import sys\nfrom pocketrec.cloud.config.personalise import WAYS\n"
        "for name in WAYS.own:\n    WAYS.load(name)\nprint(*{'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
