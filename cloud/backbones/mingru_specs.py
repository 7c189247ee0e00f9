# SPDX-License-Identifier: Apache-2.0
"""What backbone ``mingru`` is made of, as `LayerSpec`; no TensorFlow here."""

from __future__ import annotations

import dataclasses
from typing import Final

from pocketrec.cloud.backbones.sharing import shared
from pocketrec.cloud.backbones.specs import activation_spec, norm_spec, residual_spec
from pocketrec.cloud.config.mingru import MinGruOptions
from pocketrec.device.contract.layers import ADAPTER, HEAD, TRAINED, LayerSpec, TensorSpec, dense_spec

FINAL_NORM: Final = "norm"


def mingru_specs(
    embedding: int, options: MinGruOptions, fc: str, share: str = "none"
) -> tuple[LayerSpec, ...]:
    """A stack for each block, the last one with the normalisation that ends the body; then the linear layer `fc`.

    A patch puts an adapter on what each part of a block adds (Houlsby et al., ICML 2019), and trains the last
    normalisation.
    """
    blocks = [
        LayerSpec("stack", f"block_{place}", (), embedding, embedding, {}, _block(place, embedding, options))
        for place in range(1, options.layers + 1)
    ]
    *below, last = shared(blocks, share)
    last = dataclasses.replace(last, inner=(*last.inner, norm_spec(FINAL_NORM, embedding, TRAINED)))
    return *below, last, dense_spec(fc, embedding, embedding, HEAD)


def mingru_spec(name: str, inputs: int, units: int, *norms: LayerSpec) -> LayerSpec:
    """A ``pocketrec.cloud.backbones.mingru_layer.MinGru(units)``, behind a normalisation where one is given."""
    tensors = (TensorSpec(f"{name}_kernel", (inputs, 2 * units)), TensorSpec(f"{name}_bias", (2 * units,)))
    return LayerSpec("mingru", name, tensors, inputs, units, {}, norms)


def _block(place: int, embedding: int, options: MinGruOptions) -> tuple[LayerSpec, ...]:
    recurrent = residual_spec(f"recurrent_{place}", embedding, (
        mingru_spec(f"mingru_{place}", embedding, options.hidden, norm_spec(f"norm_{place}", embedding)),
        dense_spec(f"out_{place}", options.hidden, embedding, patch=ADAPTER),
    ))  # fmt: skip
    if not options.feed_forward:
        return (recurrent,)
    width = options.feed_forward * embedding
    return recurrent, residual_spec(f"feed_forward_{place}", embedding, (
        norm_spec(f"ffn_norm_{place}", embedding),
        dense_spec(f"ffn_in_{place}", embedding, width),
        activation_spec(f"ffn_gelu_{place}", width, "gelu"),
        dense_spec(f"ffn_out_{place}", width, embedding, patch=ADAPTER),
    ))  # fmt: skip
