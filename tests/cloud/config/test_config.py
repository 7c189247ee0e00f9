# SPDX-License-Identifier: Apache-2.0
"""A configuration is checked when it is made: a wrong value is one line at once and no failure minutes later."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pocketrec.cloud.config.data import FORMATS
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.data.formats import _LAYOUTS
from pocketrec.device.base.errors import ConfigError

INFINITY, NAN = float("inf"), float("nan")
WRONG: list[tuple[str, str, Any]] = [
    ("data", "format", "foo"),
    ("data", "max_bad_share", NAN),
    ("data", "min_item_count", 0),
    ("split", "kind", "foo"),
    ("split", "quantile", 1.0),
    ("split", "learn_share", 0.0),
    ("model", "backbone", "foo"),
    ("model", "window", 0),
    ("model", "dropout", 1.0),
    ("train", "optimizer", "lamb"),
    ("train", "learning_rate", INFINITY),
    ("train", "learning_rate", NAN),
    ("train", "loss", "foo"),
    ("train", "decay", "foo"),
    ("train", "clip_norm", -1.0),
    ("train", "patience", -1),
    ("train", "negatives", -1),
    ("train", "batching", "users"),
    ("train.sessions", "unroll", 0),
    ("train", "sampler", "zipf"),
    ("train.rank", "rho", 0.0),
    ("train.category_week", "each", 0),
    ("train.category_week", "week", 0.0),
    ("train.popularity", "alpha", -0.5),
    ("train", "warmup", 1.0),
    ("train", "recency_half_life", -1.0),
    ("train", "checkpoint_minutes", -1.0),
    ("model.gru", "implementation", "cudnn"),
    ("train", "validation", 1.0),
    ("candidates", "method", "foo"),
    ("candidates", "k", 0),
    ("candidates.als", "factors", 0),
    ("candidates.file", "score", ""),
    ("train.bpr_max", "penalty", -1.0),
    ("model.gru", "hidden", 0),
    ("model.gru", "start", "foo"),
    ("baselines.knn", "decay", 0.0),
    ("candidates.als", "iterations", -1),
    ("candidates.als", "regularization", -1.0),
    ("candidates.als", "alpha", -1.0),
    ("export", "item_table", "int4"),
    ("export", "batch", 0),
    ("export", "negatives", 0),
    ("export", "full_softmax_limit", -1),
    ("personalise", "way", "foo"),
    ("personalise", "optimizer", "rmsprop"),
    ("personalise", "learning_rate", -1.0),
    ("personalise", "passes", -1),
    ("personalise", "proximal", -1.0),
    ("personalise", "minimum_events", -1),
    ("rehearse", "quantile", 0.0),
    ("rehearse", "users", -3),
    ("rehearse", "fit_users", 0),
    ("rehearse", "harm", 0.5),
    ("rehearse", "ways", ["foo"]),
    ("rehearse", "ways", []),
    ("rehearse", "optimizers", ["lamb"]),
    ("rehearse", "learning_rates", [0.1, -1.0]),
    ("rehearse", "passes", [-1]),
    ("rehearse", "proximals", [-1.0]),
    ("rehearse", "targets", ["foo"]),
    ("rehearse", "repeats", [-1.0]),
    ("rehearse", "repeats", [INFINITY]),
    ("rehearse", "decays", [1.0]),
    ("evaluate", "ties", "foo"),
    ("evaluate", "users", -1),
    ("evaluate", "bootstrap", 0),
    ("resources", "threads", -2),
    ("resources", "processes", -5),
    ("resources", "runtime", "foo"),
]


@pytest.mark.parametrize(("table", "key", "value"), WRONG)
def test_a_wrong_value_is_refused_by_name(table: str, key: str, value: Any) -> None:
    tables: dict[str, Any] = {"data": {"set": "synthetic"}}
    inner = tables
    for name in table.split("."):
        inner = inner.setdefault(name, {})
    inner[key] = value
    with pytest.raises(ConfigError, match=rf"\[{re.escape(table)}\] .*{key}|no list of the grid") as caught:
        config_from_dict(tables)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_wrong_seed_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="seed must lie"):
        config_from_dict({"seed": seed})


def test_names_are_those_of_the_tables_that_have_them() -> None:
    assert set(FORMATS) == {"auto", "parquet", *_LAYOUTS}
