# SPDX-License-Identifier: Apache-2.0
"""P15: layers that share their tensors."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import backbone, build_model
from pocketrec.cloud.backbones.sharing import owners, shared, shares
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.layers import LayerSpec, dense_spec, tensors_of

ITEMS = 12
SEED = tf.constant([1, 2])


def config(share: str, layers: int = 3, hidden: int = 5) -> ModelConfig:
    gru = GruOptions(hidden=hidden, layers=layers)
    made = ModelConfig(embedding=5, window=4, dropout=0.0, share=share, tables={"gru": gru})
    return backbone("gru").resolved(made, sessions=True)


def test_who_owns_the_tensors() -> None:
    assert owners(4, "none") == [1, 2, 3, 4]
    assert owners(5, "adjacent") == [1, 1, 3, 3, 5]
    assert owners(3, "all") == [1, 1, 1]
    assert owners(0, "all") == []


@pytest.mark.parametrize(("share", "kept"), [("adjacent", ["gru_1", "gru_3"]), ("all", ["gru_1"])])
def test_a_gru_that_shares_layers_has_those_that_own_tensors(share: str, kept: list[str]) -> None:
    """That it is one with equal layers is for the backbones' contract to say."""
    model = build_model(config(share), ITEMS, seed=3)
    assert [layer.name for layer in model.layers if layer.name.startswith("gru")] == kept
    layers = backbone("gru").layers(config(share))
    assert [layer.name for layer in layers] == ["gru_1", "gru_2", "gru_3", "fc"]
    assert shares(layers)
    assert set(tensors_of(layers)) == {f"{layer.name}_{v.name}" for layer in model.layers[2:] for v in layer.weights}


def test_shapes_that_differ_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"share 'all': layer gru_2 \(gru, 7 to 7\) cannot have the tensors of gru_1"):
        build_model(config("all", hidden=7), ITEMS, seed=3)


def test_one_layer_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="backbone 'gru' has no two layers that could share: give it more layers"):
        build_model(config("adjacent", layers=1), ITEMS, seed=3)


def test_layers_within_layers_share_too() -> None:
    def block(number: int, size: int = 4) -> LayerSpec:
        inner = (dense_spec(f"in_{number}", 4, size), dense_spec(f"out_{number}", size, 4))
        return LayerSpec("residual", f"block_{number}", (), 4, 4, inner=inner)

    one, two = shared([block(1), block(2)], "all")
    assert [layer.name for layer in two.inner] == ["in_2", "out_2"]
    assert set(tensors_of([one, two])) == {"in_1_kernel", "in_1_bias", "out_1_kernel", "out_1_bias"}
    with pytest.raises(ConfigError, match=r"layer in_2 .* cannot have the tensors of in_1"):
        shared([block(1), block(2, 6)], "all")


def test_a_start_by_copying_of_shared_layers_is_made_once() -> None:
    made = config("all").with_options("gru", start="copy")
    kernel = build_model(made, ITEMS, seed=3).get_layer("gru_1").get_weights()[0]
    assert np.diag(kernel[:, 10:]).min() > 0.7
