# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pocketrec.cloud.backbones import backbone, build_model, item_embeddings, load_model
from pocketrec.cloud.baselines.neighbours import fit_neighbours
from pocketrec.cloud.baselines.popularity import Popularity
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.cloud.config.model import GruOptions, ModelConfig
from pocketrec.cloud.config.training import SessionOptions, TrainConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.evaluation.global_model import sequence_ranks
from pocketrec.cloud.training.batches import Batch, WindowBatches
from pocketrec.cloud.training.item_start import similarity_factors
from pocketrec.cloud.training.objective import Objective
from pocketrec.cloud.training.step import TrainSteps
from pocketrec.cloud.training.trainer import TrainJob, train
from pocketrec.device.base.errors import ConfigError, DataError

ITEMS = 15
GRU = GruOptions(hidden=12, layers=1, hidden_dropout=0.1)
# A short window: the unrolled graph, which each training makes anew, takes most of the time here.
MODEL = ModelConfig(embedding=8, window=3, dropout=0.2, tables={"gru": GRU})
CONFIG = TrainConfig(epochs=3, batch=8, learning_rate=0.02, validation=0.2, patience=2, decay="linear")


def cycles(users: int = 60, seed: int = 0) -> Sequences:
    """Everybody goes round the items 1..N from anywhere, all at about the same time: the next item is known."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 14, users)
    codes = np.repeat(np.arange(users), lengths)
    place = np.concatenate([np.arange(length) for length in lengths])
    items = (rng.integers(0, ITEMS, users)[codes] + place) % ITEMS + 1
    return Sequences.build(
        np.array([f"{i:03}" for i in range(users)], dtype=object), codes, items, place * users + codes
    )


def weights(model: Any) -> list[np.ndarray]:
    return [np.array(value) for value in model.get_weights()]


def same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


class StoppedError(Exception):
    """What a test raises to break a training off."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train(TrainJob(MODEL, CONFIG, cycles(), ITEMS, seed=5), tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        pytest.param("full_softmax", {}, marks=pytest.mark.long),
        pytest.param(
            "full_softmax", {"batching": "sessions", "tables": {"sessions": SessionOptions(unroll=3)}},
            marks=pytest.mark.long,
        ),
        ("full_softmax", {"recency_half_life": 0.5, "warmup": 0.1, "tied": False}),
        pytest.param("sampled_softmax", {"negatives": 10}, marks=pytest.mark.long),
        # Losses and samplers by hand in test_train_losses.py and test_train_samplers.py, Keras' layers equal to the
        # unrolled ones below; each takes seconds here. Sessions and windows, one and two tables, a softmax and a loss
        # of negatives, and weights, clipping and warm-up are in the two that are left; test_item_table.py learns with
        # the sampled softmax.
        pytest.param("cross_entropy", {"negatives": 0, "tied": False}, marks=pytest.mark.long),
        pytest.param(
            "cross_entropy",
            {
                "negatives": 4,
                "batching": "sessions",
                "sampler": "popularity",
                "tables": {"sessions": SessionOptions(unroll=1)},
            },
            marks=pytest.mark.long,
        ),
        pytest.param("full_softmax", {"implementation": "keras"}, marks=pytest.mark.long),
        pytest.param("bpr", {"negatives": 4, "sampler": "rank"}, marks=pytest.mark.long),
        pytest.param("top1", {"negatives": 4, "sampler": "uniform"}, marks=pytest.mark.long),
        ("bpr_max", {"negatives": 4, "batching": "sessions", "clip_norm": 5.0}),
    ],
)
def test_it_learns_what_can_be_known(tmp_path: Path, loss: str, options: dict[str, Any]) -> None:
    """D3: the loss falls and the model beats popularity on a log whose next item is certain."""
    gru = {key: options.pop(key) for key in ("implementation",) if key in options}
    shape = {key: options.pop(key) for key in ("tied",) if key in options}
    config = TrainConfig(epochs=15, batch=8, learning_rate=0.02, validation=0.0, loss=loss, **options)
    model = dataclasses.replace(MODEL, dropout=0.0, embedding=16, **shape).with_options("gru", hidden=16, **gru)
    log = cycles(120)
    trained = train(TrainJob(model, config, log, ITEMS), tmp_path)
    losses = [entry["loss"] for entry in trained.history]
    assert losses[-1] < losses[0] * 0.75
    ranks = sequence_ranks(trained.model, log, MODEL, EvaluateConfig(), {"popularity": Popularity(ITEMS + 1)})
    ours, popular = (float((1 / np.concatenate(ranks[name])).mean()) for name in ("global", "popularity"))
    assert ours > 0.9
    assert ours > 2 * popular


def test_items_of_the_same_users_start_alike(tmp_path: Path) -> None:
    log = cycles(120)
    factors = similarity_factors(log, ITEMS, 16, seed=3)
    assert factors.shape == (ITEMS + 1, 16)
    np.testing.assert_array_equal(factors, similarity_factors(log, ITEMS, 16, seed=3))
    found = fit_neighbours(KnnConfig(neighbours=ITEMS, shrink=5.0), log, ITEMS)
    similarities = np.zeros((ITEMS + 1, ITEMS + 1))
    similarities[np.repeat(np.arange(ITEMS + 1), np.diff(found.offsets)), found.items] = found.similarities
    wide = similarity_factors(log, ITEMS, ITEMS + 5, seed=3)
    np.testing.assert_allclose(wide @ wide.T, similarities, atol=0.02)
    config = dataclasses.replace(CONFIG, validation=0.0, decay="none", epochs=1, learning_rate=1e-9)
    with_factors, without = (
        item_embeddings(
            train(
                TrainJob(dataclasses.replace(MODEL, similarity=weight), config, log, ITEMS), tmp_path / str(weight)
            ).model
        )
        for weight in (2.0, 0.0)
    )
    factors = similarity_factors(log, ITEMS, MODEL.embedding, seed=1)
    np.testing.assert_allclose(with_factors - without, 2 * factors, atol=1e-4)


def test_who_watches_sees_the_model_of_the_epoch_adds_figures_and_may_end_it(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, validation=0.0, decay="none")
    seen: list[list[np.ndarray]] = []

    def watch(model: Any, entry: dict[str, Any]) -> bool:
        seen.append(weights(model))
        entry["mine"] = len(seen)
        return len(seen) == 2

    trained = train(TrainJob(MODEL, config, cycles(), ITEMS, seed=5), tmp_path, watch=watch)
    assert [entry["mine"] for entry in trained.history] == [1, 2]
    two = train(TrainJob(MODEL, dataclasses.replace(config, epochs=2), cycles(), ITEMS, seed=5), tmp_path / "two")
    assert same(weights(trained.model), weights(two.model))
    assert same(seen[1], weights(two.model))


def test_both_implementations_have_the_same_loss_and_gradients() -> None:
    """On the processor; on a GPU the Keras layer is cuDNN's."""
    config, log = TrainConfig(batch=8), cycles(8)
    found = []
    for implementation in ("unrolled", "keras"):
        shape = dataclasses.replace(MODEL, dropout=0.0).with_options(
            "gru", layers=2, hidden_dropout=0.0, implementation=implementation
        )
        model = build_model(shape, ITEMS, 1)
        objective = Objective(config, np.bincount(log.items, minlength=ITEMS + 1))
        steps = TrainSteps(backbone("gru"), model, shape, config, objective, 1)
        whole = WindowBatches(log, np.ones(log.events), MODEL.window, 99, packed=implementation == "unrolled")
        batch = Batch(*(array[0] for array in next(whole.blocks([1])).batches))
        with tf.GradientTape() as tape:
            loss, _ = steps.loss(batch, tf.constant([1, 1]))
        found.append((batch.items.shape, loss, tape.gradient(loss, steps.updater.sources)))
    (one, loss, gradients), (two, other, others) = found
    assert one != two  # packed rows, and a row for each window
    assert float(loss) == pytest.approx(float(other), rel=1e-6)
    for a, b in zip(gradients, others, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(a), tf.convert_to_tensor(b), atol=1e-6)


def test_keras_layers_cannot_carry_sessions(tmp_path: Path) -> None:
    shape = MODEL.with_options("gru", implementation="keras")
    config = dataclasses.replace(CONFIG, batching="sessions")
    with pytest.raises(ConfigError, match=r"model\.gru\.implementation = \"unrolled\""):
        train(TrainJob(shape, config, cycles(), ITEMS), tmp_path)


def test_history_and_result(whole: Any) -> None:
    search = [entry for entry in whole.history if entry["phase"] == "search"]
    final = [entry for entry in whole.history if entry["phase"] == "final"]
    assert [entry["epoch"] for entry in search] == list(range(1, len(search) + 1))
    best = max(search, key=lambda entry: entry["val_mrr@20"])["epoch"]
    assert len(final) == whole.epochs == best
    assert {"loss", "rate", "seconds", "val_recall@20", "val_mrr@20"} <= set(search[0])
    assert "val_mrr@20" not in final[0]
    assert whole.seconds == pytest.approx(sum(entry["seconds"] for entry in whole.history))
    assert same(weights(load_model(whole.path)), weights(whole.model))


def test_equal_seeds_give_equal_weights(whole: Any, tmp_path: Path) -> None:
    """And other seeds other ones. A damaged checkpoint is passed over, and all is trained again."""
    (tmp_path / "model.checkpoint.npz").write_bytes(b"PK nonsense")
    assert same(weights(train(TrainJob(MODEL, CONFIG, cycles(), ITEMS, seed=5), tmp_path).model), weights(whole.model))
    job = TrainJob(MODEL, dataclasses.replace(CONFIG, epochs=whole.epochs, validation=0.0), cycles(), ITEMS, seed=6)
    assert not same(weights(train(job, tmp_path / "other").model), weights(whole.model))


@pytest.mark.long  # the short suite breaks off within an epoch, below
@pytest.mark.parametrize("after", [1, 3, 4])
def test_broken_off_and_resumed_it_ends_with_the_same_weights(whole: Any, tmp_path: Path, after: int) -> None:
    calls = 0

    def stop(done: int, total: int, note: str = "") -> None:
        nonlocal calls
        calls += 1
        if len(seen) >= after and calls % 3 == 2:  # in the middle of an epoch
            raise StoppedError

    seen: list[dict[str, Any]] = []
    with pytest.raises(StoppedError):
        train(TrainJob(MODEL, CONFIG, cycles(), ITEMS, seed=5), tmp_path, record=seen.append, progress=stop)
    resumed = train(TrainJob(MODEL, CONFIG, cycles(), ITEMS, seed=5), tmp_path, record=seen.append)
    assert same(weights(resumed.model), weights(whole.model))
    assert [e["loss"] for e in seen] == [e["loss"] for e in whole.history] == [e["loss"] for e in resumed.history]


def test_a_finished_training_is_not_run_again(whole: Any, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole.path.parent, folder)
    seen: list[dict[str, Any]] = []
    two = train(TrainJob(MODEL, CONFIG, cycles(), ITEMS, seed=5), folder, record=seen.append)
    assert seen == []
    assert same(weights(whole.model), weights(two.model))
    train(TrainJob(MODEL, dataclasses.replace(CONFIG, epochs=1), cycles(), ITEMS, seed=5), folder, record=seen.append)
    assert len(seen) == 2  # another configuration: one epoch to search, one to refit


def test_early_stopping_keeps_the_best_weights_without_refit(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, epochs=12, patience=1, refit=False, learning_rate=0.3, decay="none")
    trained = train(TrainJob(MODEL, config, cycles(), ITEMS), tmp_path)
    figures = [entry["val_mrr@20"] for entry in trained.history]
    assert len(figures) < 12
    assert trained.epochs == int(np.argmax(figures)) + 1
    short = dataclasses.replace(config, epochs=trained.epochs)
    again = train(TrainJob(MODEL, short, cycles(), ITEMS), tmp_path / "short")
    assert same(weights(again.model), weights(trained.model))


def test_the_validation_slice_is_not_trained_on_while_searching(tmp_path: Path) -> None:
    """Two logs that differ only in the slice: the first epoch of the search has the same loss."""
    log = cycles()
    late = log.timestamps >= np.quantile(log.timestamps, 0.9)
    other = dataclasses.replace(log, items=np.where(late, 1, log.items).astype(np.int32))
    config = dataclasses.replace(CONFIG, epochs=1, refit=False)
    one, two = (
        train(TrainJob(MODEL, config, sequences, ITEMS), tmp_path / str(i)).history[0]
        for i, sequences in enumerate((log, other))
    )
    assert one["loss"] == two["loss"]
    assert one["val_mrr@20"] != two["val_mrr@20"]


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(name, marks=[] if name == "sgd" else pytest.mark.long)
        for name in ("adagrad", "rmsprop", "adadelta", "adam", "sgd")
    ],
)
def test_every_optimizer_trains(tmp_path: Path, optimizer: str) -> None:
    rate = {"adadelta": 1.0, "sgd": 0.5, "adagrad": 0.1}.get(optimizer, 0.01)
    config = TrainConfig(epochs=3, batch=8, optimizer=optimizer, learning_rate=rate, validation=0.0, clip_norm=5.0)
    losses = [entry["loss"] for entry in train(TrainJob(MODEL, config, cycles(), ITEMS), tmp_path).history]
    assert losses[-1] < losses[0]


def test_a_rate_that_explodes_is_named(tmp_path: Path) -> None:
    config = TrainConfig(epochs=3, batch=8, optimizer="sgd", learning_rate=1e30, validation=0.0)
    with pytest.raises(DataError, match=r"lower train\.learning_rate"):
        train(TrainJob(MODEL, config, cycles(), ITEMS), tmp_path)


@pytest.mark.long
def test_search_and_final_training_may_have_batches_of_different_shapes(tmp_path: Path) -> None:
    """Found by a kill: short windows in the slice's past, long ones over all; the graph was relaxed and broke."""
    rng = np.random.default_rng(1)
    codes = np.concatenate([np.repeat(np.arange(40), 2), np.repeat(np.arange(40), 6)])
    times = np.concatenate([np.zeros(80), 1 + np.arange(240)])
    ids = np.array([f"{i:02}" for i in range(40)], object)
    log = Sequences.build(ids, codes, rng.integers(1, ITEMS + 1, 320), times)
    config = dataclasses.replace(CONFIG, epochs=1, batch=16, validation=0.7)
    model = dataclasses.replace(MODEL, window=5)
    phases = [entry["phase"] for entry in train(TrainJob(model, config, log, ITEMS), tmp_path).history]
    assert phases == ["search", "final"]


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    single = Sequences.build(np.array(["a", "b"], dtype=object), np.array([0, 1]), np.array([1, 2]), np.array([0, 1]))
    with pytest.raises(DataError, match="give a longer log or an earlier cut"):
        train(TrainJob(MODEL, dataclasses.replace(CONFIG, validation=0.0), single, ITEMS), tmp_path)
