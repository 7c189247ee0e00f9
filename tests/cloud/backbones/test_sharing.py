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
def test_a_gru_that_shares_layers_is_one_with_equal_layers(share: str, kept: list[str]) -> None:
    model, made = build_model(config(share), ITEMS, seed=3), config(share)
    assert [layer.name for layer in model.layers if layer.name.startswith("gru")] == kept
    layers = backbone("gru").layers(made)
    assert [layer.name for layer in layers] == ["gru_1", "gru_2", "gru_3", "fc"]
    assert shares(layers)
    names = {f"{layer.name}_{v.name}" for layer in model.layers[2:] for v in layer.weights}
    assert set(tensors_of(layers)) == names
    apart = build_model(config("none"), ITEMS, seed=3)
    for number, owner in enumerate(owners(3, share), 1):
        apart.get_layer(f"gru_{number}").set_weights(model.get_layer(f"gru_{owner}").get_weights())
    for name in ("item_embedding", "fc"):
        apart.get_layer(name).set_weights(model.get_layer(name).get_weights())
    items = np.array([[1, 2, 3, 0], [4, 5, 0, 0]], np.int32)
    np.testing.assert_allclose(model(items), apart(items), atol=1e-6)


def test_gradients_of_shared_layers_add_up() -> None:
    model, made = build_model(config("all"), ITEMS, seed=3), config("all")
    items, keep = tf.constant([[1, 2, 3, 4], [5, 6, 7, 8]]), tf.constant([[0.0, 1, 1, 1], [0, 1, 1, 1]])
    weights = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32))
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        out, _ = backbone("gru").train_embeddings(model, made, items, keep, SEED)
        fast = tf.reduce_sum(out * weights)
    fast_gradients = tape.gradient(fast, variables)
    with tf.GradientTape() as tape:
        slow = tf.reduce_sum(model(items, training=True) * weights)
    for a, b in zip(fast_gradients, tape.gradient(slow, variables), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(a), tf.convert_to_tensor(b), atol=2e-5, rtol=1e-4)


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
