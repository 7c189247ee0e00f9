# SPDX-License-Identifier: Apache-2.0
"""The second, small batch of a file: where there is one, what it adds, and that the gate looks at it."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from exported import shaken

from pocketrec.cloud.backbones import build_model
from pocketrec.cloud.config.export import ExportConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.nextitnet import GrecOptions
from pocketrec.device.base.errors import ConfigError, ExportError
from pocketrec.device.contract import names as contract
from pocketrec.export.build import ExportedModel, build_tflite
from pocketrec.export.gate import gate
from pocketrec.export.graph.graph import PersonalGraph

ITEMS = 20
CONFIG = ModelConfig(embedding=4, window=2, dropout=0.0, tables={"gru": GruOptions(hidden=4, layers=1)})
SMALL = {contract.TRAIN_SMALL, contract.EVALUATE_SMALL}


def exported(config: ModelConfig = CONFIG, **options: Any) -> ExportedModel:
    model = shaken(config, ITEMS, 0.2, 3) if config is CONFIG else build_model(config, ITEMS, 1)
    return build_tflite(model, config, ExportConfig(**options), way="whole", optimizer="sgd", candidates=5)


def signatures(made: ExportedModel) -> set[str]:
    return set(tf.lite.Interpreter(model_content=made.content).get_signature_list())


def test_it_is_there_by_default_and_shares_what_the_whole_batch_has() -> None:
    with_it, without = exported(batch=4), exported(batch=4, small_batch=0)
    assert signatures(with_it) == {*contract.SIGNATURES, *SMALL}
    assert signatures(without) == {*contract.SIGNATURES}
    assert with_it.model.pop("small_batch") == 2
    assert with_it.model == without.model
    assert with_it.coded == without.coded  # no weight is there twice
    assert len(with_it.content) < 1.5 * len(without.content)


@pytest.mark.parametrize(
    "options", [{"batch": 2}, pytest.param({"batch": 4, "small_batch": 5}, marks=pytest.mark.long)]
)
def test_none_where_it_would_not_be_smaller(options: dict[str, int]) -> None:
    made = exported(**options)
    assert "small_batch" not in made.model
    assert signatures(made) == {*contract.SIGNATURES}


@pytest.mark.long
def test_none_where_a_window_has_one_target() -> None:
    config = ModelConfig(backbone="grec", embedding=4, window=2, tables={"grec": GrecOptions(dilations=[1])})
    assert not signatures(exported(config, batch=4)) & SMALL


def test_a_negative_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="small_batch"):
        ExportConfig(small_batch=-1)


def _twice_the_rate(graph: PersonalGraph, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return graph.train(**{**inputs, contract.LEARNING_RATE: inputs[contract.LEARNING_RATE] * 2.0})


def _a_tenth_more(graph: PersonalGraph, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: value * 1.1 for name, value in graph.evaluate(**inputs).items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [("train_small", _twice_the_rate, "train_loss"),
     pytest.param("evaluate_small", _a_tenth_more, "loss", marks=pytest.mark.long)],
)
def test_the_gate_refuses_a_small_batch_that_is_wrong(
    name: str, wrong: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shaken(CONFIG, ITEMS, 0.2, 3)
    gate.check(exported(batch=4), model, seed=1)
    monkeypatch.setattr(PersonalGraph, name, wrong)
    with pytest.raises(ExportError, match=f"the model's {says} differs from Keras'"):
        gate.check(exported(batch=4), model, seed=1)
