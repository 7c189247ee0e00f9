# SPDX-License-Identifier: Apache-2.0
"""The model file through its Python object: shapes, numbers against numpy, weights in and out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal

from pocketrec.device.base.errors import BundleError, ConfigError, RuntimeMissingError, StateError
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.delivery.bundle import Bundle
from pocketrec.device.engine import runtime as runtimes
from pocketrec.device.engine.model import Model
from pocketrec.device.personal.options import Start, TrainingOptions
from pocketrec.device.personal.training import evaluate_targets, fine_tune
from pocketrec.device.personal.windows import context, training_windows

pytestmark = pytest.mark.runtime


def test_infer_is_the_inner_product_of_embed_and_item_embeddings(model: Model, table: np.ndarray) -> None:
    window = context(loyal(4), model.window)
    candidates = np.arange(1, model.candidates + 1, dtype=np.int32)
    scores = model.infer(window, candidates)
    reference = table[candidates] @ model.embed(window)
    np.testing.assert_allclose(scores, reference, atol=1e-5)
    np.testing.assert_array_equal(np.argsort(-scores), np.argsort(-reference))


def test_evaluate_equals_a_full_ranking_in_numpy_and_changes_nothing(model: Model, table: np.ndarray) -> None:
    before = model.export_weights()
    rows = loyal(model.window + 1, items=(3, 8, 20, 41))  # one window: the contexts are whole
    loss, rank = evaluate_targets(model, rows, 1)
    for place in range(1, len(rows)):
        scores = table[1:] @ model.embed(context(rows[:place], model.window))  # (N,)
        own = scores[rows[place] - 1]
        assert loss[place - 1] == pytest.approx(np.log(np.exp(scores - own).sum()), abs=1e-4)
        assert rank[place - 1] == (scores >= own).sum()
    for name, value in model.export_weights().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.feature("D13")
def test_only_the_last_gru_and_the_dense_layer_are_variables(model: Model, bundle: Bundle) -> None:
    names = {kind: {entry["name"] for entry in entries} for kind, entries in bundle.manifest.tensors.items()}
    assert set(model.variables) == names["trainable"] | names["slots"]
    assert {name.rsplit("_", 1)[0] for name in names["trainable"]} == {"gru_2", "gru_2_recurrent", "fc"}
    assert {"gru_1_kernel", "item_embedding"} <= names["frozen"]
    content = bundle.model_path.read_bytes()
    fine_tune(model, loyal(40), 1, Recipe(learning_rate=0.1))
    assert bundle.model_path.read_bytes() == content


def test_training_lowers_the_loss_and_import_brings_the_start_back(model: Model) -> None:
    start = model.export_weights()
    rows = loyal(40)
    losses = fine_tune(model, rows, 1, Recipe(learning_rate=0.1, passes=5))
    assert losses == sorted(losses, reverse=True)
    assert all(not np.array_equal(value, start[name]) for name, value in model.export_weights().items())
    model.import_weights(start)
    assert fine_tune(model, rows, 1, Recipe(learning_rate=0.1, passes=5)) == losses  # bit by bit


def test_proximal_term_holds_the_weights_back(model: Model) -> None:
    start = model.export_weights()
    moved = []
    for proximal in (0.0, 5.0):
        model.import_weights(start)
        fine_tune(model, loyal(40), 1, Recipe(learning_rate=0.05, passes=10, proximal=proximal))
        moved.append(np.abs(model.export_weights()["fc_kernel"] - start["fc_kernel"]).sum())
    assert moved[1] < moved[0]


def test_wrong_shapes_and_types_never_reach_the_runtime(model: Model) -> None:
    good = np.zeros((model.batch, model.window), np.int32)
    for items in (good[:, :-1], good[:1], good.astype(np.int64), good.astype(np.float32)):
        with pytest.raises(ValueError, match="train: items must be int32"):
            model.train(items, good, 0.1)
    with pytest.raises(ValueError, match=r"infer: candidates must be int32 \[10\]"):
        model.infer(good[:1], np.zeros(9, np.int32))


def test_foreign_weights_are_refused_and_change_nothing(model: Model) -> None:
    start = model.export_weights()
    wrong = {**start, "fc_bias": start["fc_bias"][:-1]}
    for weights in (wrong, {}, {**start, "extra": start["fc_bias"]}):
        with pytest.raises(StateError):
            model.import_weights({name: value + 1 for name, value in weights.items()})
    for name, value in model.export_weights().items():
        np.testing.assert_array_equal(value, start[name])


@pytest.mark.parametrize("wrong", [-1, -(2**31), 61, 2**31 - 1])
def test_rows_that_the_table_lacks_never_reach_the_runtime(model: Model, made: Path, wrong: int) -> None:
    window, batch = np.zeros((1, model.window), np.int32), np.zeros((model.batch, model.window), np.int32)
    candidates = np.full(model.candidates, 60, np.int32)
    bad_window, bad_batch, bad_candidates = window.copy(), batch.copy(), candidates.copy()
    for array in (bad_window, bad_batch, bad_candidates):
        array[(-1,) * array.ndim] = wrong
    before = model.export_weights()
    for call, told in (
        (lambda: model.embed(bad_window), "embed: items"),
        (lambda: model.infer(bad_window, candidates), "infer: items"),
        (lambda: model.infer(window, bad_candidates), "infer: candidates"),
        (lambda: model.lookup(bad_candidates), "lookup: candidates"),
        (lambda: model.train(bad_batch, batch, 0.1), "train: items"),
        (lambda: model.train(batch, bad_batch, 0.1), "train: targets"),
        (lambda: model.evaluate(bad_batch, batch), "evaluate: items"),
        (lambda: model.evaluate(batch, bad_batch), "evaluate: targets"),
    ):
        with pytest.raises(ValueError, match=rf"{told} holds {wrong}, and items are numbered 1 to 60 "):
            call()
    for name, value in model.export_weights().items():
        np.testing.assert_array_equal(value, before[name])
    sampled = Model(made.with_name(made.name + ".sampled.tflite"), items=60)
    with pytest.raises(ValueError, match=f"train: negatives holds {wrong},"):
        sampled.train(batch, batch, 0.1, negatives=np.full(sampled.negatives, wrong, np.int32))
    if wrong < 0:  # all that can be told where the table's size is unknown
        with pytest.raises(ValueError, match=f"embed: items holds {wrong}, and items are numbered from 1 on "):
            Model(made / "model.tflite").embed(bad_window)


def test_outputs_are_copies(model: Model) -> None:
    window = context(loyal(4), model.window)
    first = model.embed(window)
    kept = first.copy()
    model.embed(context(loyal(4, items=(50, 51)), model.window))
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    np.testing.assert_array_equal(model.embed(window), kept)


def test_sampled_softmax_trains_and_continues_bit_by_bit(made: Path) -> None:
    path = made.with_name(made.name + ".sampled.tflite")
    model = Model(path, items=60)
    assert model.sampled
    assert model.negatives == 16
    start, rows, recipe = model.export_weights(), loyal(60), Recipe(learning_rate=0.1, passes=4)
    losses = fine_tune(model, rows, 1, recipe)
    whole = model.export_weights()
    assert losses[-1] < losses[0]
    model.import_weights(start)
    steps = len(training_windows(rows, 1, model.window, model.batch)[0])
    fine_tune(model, rows, 1, recipe, options=TrainingOptions(passes=2))
    fine_tune(model, rows, 1, recipe, Start(step=2 * steps), TrainingOptions(passes=2))
    for name, value in model.export_weights().items():
        np.testing.assert_array_equal(value, whole[name])
    with pytest.raises(ValueError, match="items=N"):
        fine_tune(Model(path), rows, 1, recipe)
    with pytest.raises(ValueError, match="needs negatives"):
        model.train(*(part[0] for part in training_windows(rows, 1, model.window, model.batch)), 0.1)


def test_unreadable_model_files_are_one_line(made: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no model file"):
        Model(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_bytes(b"not a model, but long enough to look at")
    with pytest.raises(BundleError, match="cannot read") as caught:
        Model(tmp_path / "text.tflite")
    assert "\n" not in str(caught.value)
    shutil.copy(made / "model.tflite", tmp_path / "good.tflite")
    assert Model(tmp_path / "good.tflite").window == 6


def test_runtimes_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    usable = [found.name for found in runtimes.find_runtimes() if not found.problem]
    assert runtimes.choose_runtime() == usable[0]
    monkeypatch.setenv(runtimes.RUNTIME_VARIABLE, usable[-1])
    assert runtimes.choose_runtime() == usable[-1]
    monkeypatch.setenv(runtimes.RUNTIME_VARIABLE, "onnx")
    with pytest.raises(ConfigError, match="unknown runtime 'onnx': use auto"):
        runtimes.choose_runtime()


def test_missing_runtime_and_wrong_numpy_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeMissingError, match="is installed: install ai-edge-litert"):
        runtimes.choose_runtime()
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: name == "tflite_runtime" or None)
    monkeypatch.setattr(runtimes.np, "__version__", "2.1.0")
    with pytest.raises(RuntimeMissingError, match=r"needs numpy below 2 and found 2\.1\.0: pip install 'numpy<2'"):
        runtimes.choose_runtime()


FORKED = """
import os, signal, sys
import numpy as np
from loyal import loyal
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.personal.training import fine_tune

bundle, threads, how = sys.argv[1:]
model = open_bundle(bundle).load_model(threads=int(threads))
recipe = Recipe(learning_rate=0.1, passes=2)
fine_tune(model, loyal(40), 1, recipe)
start = model.export_weights()
if how == "library":  # a fork that Python is not told of
    import ctypes
    child = ctypes.PyDLL(None).fork()
else:
    child = os.fork()
if child == 0:
    signal.alarm(60)  # a thread pool that only the parent has is waited for until then
    status = 0
    if how == "library":
        try:
            model.export_weights()
            status = 1
        except ConfigError as error:
            status = 0 if "open it after the fork" in str(error) else 2
        os._exit(status)
    if how == "trains":
        for name, value in model.export_weights().items():
            status |= not np.array_equal(value, start[name])
        losses = fine_tune(model, loyal(40), 1, recipe)
        status |= 2 * (losses != sorted(losses, reverse=True))
        os._exit(status)
    sys.exit(status)  # ends as a program does: everything is destroyed
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
for name, value in model.export_weights().items():
    assert np.array_equal(value, start[name])
fine_tune(model, loyal(40), 1, recipe)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(("threads", "how"), [(1, "trains"), (2, "trains"), (2, "ends"), (2, "library")])
def test_a_forked_child_has_the_weights_of_its_parent_and_kernels_of_its_own(
    folder: Path, threads: int, how: str
) -> None:
    if how == "library" and not sys.platform.startswith("linux"):
        pytest.skip("fork of the C library is called by name")
    words = [sys.executable, "-c", FORKED, str(folder), str(threads), how]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "PYTHONPATH": path}
    )
    assert (done.returncode, done.stdout.split()) == (0, ["0"]), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_waits_for_the_step_of_another_thread(model: Model) -> None:
    over = threading.Event()

    def train() -> None:
        while not over.is_set():
            fine_tune(model, loyal(40), 1, Recipe(learning_rate=0.01))

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                os._exit(not all(np.isfinite(value).all() for value in model.export_weights().values()))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        over.set()
        thread.join()
