# SPDX-License-Identifier: Apache-2.0
"""One .tflite file as a Python object: its signatures as methods with checked shapes.

The names of signatures and tensors are those of `pocketrec.device.contract.names`. All signatures share one set of
variables (weights and optimiser slots). The model knows nothing about users, histories or recipes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.device.base import forks, held
from pocketrec.device.base.array import Array
from pocketrec.device.base.errors import BundleError, ConfigError, StateError
from pocketrec.device.contract import names as contract
from pocketrec.device.engine.runtime import load_interpreter
from pocketrec.device.engine.scores import ranker_of
from pocketrec.device.engine.signatures import PROMISED, TaskBatch, cut_to_small
from pocketrec.device.engine.two_stages import TwoStages


class Model(TwoStages):
    """A model file with its variables, which start as the global weights.

    Calls from several threads wait for each other. Arrays that come back are copies. A forked child continues with the
    weights of its parent; kernels of several threads, which no child inherits, are started again there.

    Args:
        path: the .tflite file.
        runtime: auto, ai_edge_litert or tflite_runtime.
        threads: threads of the runtime's kernels.
        items: number N of items in the vocabulary, against which rows are checked; needed where the loss is the sampled
            softmax, and by `catalogue`. 0 = unknown.
        ranker: how an embedding meets item rows, as the manifest names it.

    Raises:
        BundleError: the file is missing, unreadable, or lacks a signature, or the ranker is not known.
        RuntimeMissingError: no usable runtime.
    """

    def __init__(
        self, path: str | Path, runtime: str = "auto", threads: int = 1, items: int = 0,
        ranker: str = contract.INNER_PRODUCT,
    ) -> None:
        self._ranker = ranker_of(ranker)
        self.items = items
        self._last = items or 2**31 - 1  # the largest row that may be asked for
        self._catalogue: Array | None = None
        self._path, self._threads = path, threads
        self._pid = os.getpid()
        self._held = False  # the lock, by a fork
        self._carried: dict[str, Array] | None = None  # weights, from before a fork to the child's first call
        self._interpreter, self.runtime = load_interpreter(path, runtime, threads)
        self._watched = held.Watched(path) if os.path.getsize(path) > held.SMALL else None
        self._lock = threading.Lock()
        self._runners: dict[str, Any] = {}
        self._inputs: dict[str, dict[str, tuple[tuple[int, ...], Any]]] = {}
        forks.watch(self, order=20)
        names = self._interpreter.get_signature_list()
        for name in contract.SIGNATURES:
            if name not in names:
                raise BundleError(f"{path} has no signature {name!r}: export the model again")
        self.retrieves, self.ranks = contract.RETRIEVE in names, contract.RANK_CANDIDATES in names
        inputs = self._signature(contract.TRAIN)
        self.positions = inputs[contract.USER_EMBEDDINGS][0][0] if contract.USER_EMBEDDINGS in inputs else 0
        for name in (contract.TRAIN, contract.EVALUATE):
            if self._learned not in self._signature(name):
                raise BundleError(f"the model's {name} has no {self._learned}: fetch or export the bundle again")
        windows = self._signature(contract.EMBED_WINDOWS if self.positions else contract.TRAIN)
        self.batch, self.window = windows[contract.ITEMS][0]
        if self.positions:
            made = self._runners[contract.EMBED_WINDOWS].get_output_details()[contract.USER_EMBEDDINGS]
            self.targets = int(made["shape"][1])
        else:
            self.targets = inputs[contract.TARGETS][0][-1]
        if self.targets not in (1, self.window):
            raise BundleError(f"{path}: train takes {self.targets} targets for windows of {self.window} events: "
                              "export the model again")  # fmt: skip
        self.negatives = inputs[contract.NEGATIVES][0][0] if contract.NEGATIVES in inputs else 0
        self.small = self._small_batch() if contract.TRAIN_SMALL in names and not self.positions else 0
        (self.candidates,) = self._signature(contract.INFER)[contract.CANDIDATES][0]
        self.compared = 0
        if contract.TRAIN_TASK in names:
            self.compared = self._signature(contract.TRAIN_TASK)[contract.HEAD][0][0]
        self._signature(contract.EMBED)
        self.embedding = int(self._runners[contract.EMBED].get_output_details()[contract.USER_EMBEDDING]["shape"][-1])
        self.variables = {
            name: shape for name, (shape, _) in sorted(self._signature(contract.IMPORT_WEIGHTS).items())
        }

    batch: int
    """Windows B of a train step, or of `embed_windows`."""
    small: int
    """Windows of the small batch, which `train` and `evaluate` take by themselves for a step of no more; 0 = none."""
    window: int
    """Events T that the model looks back on."""
    targets: int
    """Targets of a window in `train` and `evaluate`: T, one after each event; or 1, after the last: such a model sees
    both sides of an event, so that each target needs a window of its own."""
    embedding: int
    """Size E of the user embedding."""
    candidates: int
    """Candidates C that one `infer` call scores."""
    negatives: int
    """Negatives S that a train step takes; 0 where the loss is the full softmax."""
    compared: int
    """Rows S of a task's head that a step of its patch compares; 0 = this file trains no tasks."""
    variables: dict[str, tuple[int, ...]]
    """Shapes of the trainable tensors and optimiser slots, by name."""

    @property
    def sampled(self) -> bool:
        """Whether the training loss is the sampled softmax."""
        return self.negatives > 0

    @property
    def _learned(self) -> str:
        return contract.USER_EMBEDDINGS if self.positions else contract.ITEMS

    def train(
        self,
        items: Array,
        targets: Array,
        learning_rate: float,
        proximal: float = 0.0,
        negatives: Array | None = None,
    ) -> float:
        """One optimiser step on a batch of windows, or on user embeddings where the file's steps take these (`steps`).

        Args:
            items: int32 [B, T], right-padded with 0; or float32 [P, E].
            targets: int32 [B, T], or [B, 1] (see `targets`), or [P]; 0 = does not count.
            learning_rate: the rate.
            proximal: strength of the pull to the global weights.
            negatives: int32 [S], where `sampled`; else None.

        Returns:
            The loss before the step, in nats a counted target.

        Raises:
            ValueError: a wrong shape or dtype, a row that the item table lacks, or negatives missing or not wanted.
        """
        inputs = {
            self._learned: items,
            contract.TARGETS: targets,
            contract.LEARNING_RATE: np.float32(learning_rate),
            contract.PROXIMAL: np.float32(proximal),
        }
        name = cut_to_small(contract.TRAIN, inputs, self.small, self._signature(contract.TRAIN))
        return float(self._call(name, self._with_negatives(name, inputs, negatives))[contract.LOSS])

    def train_task(self, batch: TaskBatch, learning_rate: float, proximal: float, origin: Mapping[str, Array]) -> float:
        """One optimiser step of a task's patch on a batch of windows, each with one target.

        Args:
            batch: windows and targets.
            learning_rate: the rate.
            proximal: strength of the pull to the origin.
            origin: float32, what each trained tensor is pulled to, by name: the task's patch.

        Returns:
            The loss before the step, in nats a window that counts.

        Raises:
            BundleError: the model file trains no tasks.
            ValueError: a wrong shape or dtype, or a row that the item table lacks.
        """
        inputs: dict[str, Any] = {
            contract.ITEMS: batch.items, contract.WANTED: batch.wanted, contract.HEAD: batch.head,
            contract.BIASES: batch.biases, contract.LEARNING_RATE: np.float32(learning_rate),
            contract.PROXIMAL: np.float32(proximal),
        }  # fmt: skip
        begins = contract.ORIGIN
        wanted = [name for name in self._signature(contract.TRAIN_TASK) if name.startswith(begins)]
        inputs |= {name: origin[name.removeprefix(begins)] for name in wanted}
        return float(self._call(contract.TRAIN_TASK, inputs)[contract.LOSS])

    def evaluate(self, items: Array, targets: Array, negatives: Array | None = None) -> tuple[Array, Array]:
        """Loss and rank of every target under the present weights; nothing is changed.

        Args:
            items, targets: as of `train`.
            negatives: only where the signature takes them.

        Returns:
            Loss in nats and rank in the full catalogue (1 = best), float32 like the targets, 0 where not counted.

        Raises:
            ValueError: a wrong shape or dtype, or a row that the item table lacks.
        """
        inputs = {self._learned: items, contract.TARGETS: targets}
        name = cut_to_small(contract.EVALUATE, inputs, self.small, self._signature(contract.EVALUATE))
        outputs = self._call(name, self._with_negatives(name, inputs, negatives))
        if name == contract.EVALUATE:
            return outputs[contract.LOSS], outputs[contract.RANK]
        both = np.zeros((2, self.batch, self.targets), np.float32)  # 0 behind the small batch: not counted
        both[:, : self.small] = outputs[contract.LOSS], outputs[contract.RANK]
        return both[0], both[1]

    def embed(self, items: Array) -> Array:
        """The user embedding, float32 [E], after the events `items`, int32 [1, T], right-padded with 0.

        Raises:
            ValueError: a wrong shape or dtype, or a row that the item table lacks.
        """
        return self._call(contract.EMBED, {contract.ITEMS: items})[contract.USER_EMBEDDING].reshape(self.embedding)

    def infer(self, items: Array, candidates: Array) -> Array:
        """Scores, float32 [C], of candidate rows, int32 [C], after the events `items`, int32 [1, T].

        Raises:
            ValueError: a wrong shape or dtype, or a row that the item table lacks.
        """
        inputs = {contract.ITEMS: items, contract.CANDIDATES: candidates}
        return self._call(contract.INFER, inputs)[contract.SCORES].reshape(self.candidates)

    def lookup(self, candidates: Array) -> Array:
        """Item embeddings, float32 [C, E], of candidate rows, int32 [C], as the file holds them.

        Raises:
            ValueError: a wrong shape or dtype, or a row that the item table lacks.
        """
        return self._call(contract.LOOKUP, {contract.CANDIDATES: candidates})[contract.ITEM_EMBEDDINGS]

    def catalogue(self) -> Array:
        """All item embeddings, float32 [N + 1, E], row 0 all zero; made at the first call and kept.

        Raises:
            ValueError: the number of items was not given.
        """
        if self.items < 1:
            raise ValueError("to hold the catalogue the model must know its size: make it with Model(..., items=N)")
        if self._catalogue is None:
            rows = np.zeros(-(-(self.items + 1) // self.candidates) * self.candidates, np.int32)
            rows[: self.items + 1] = np.arange(self.items + 1)
            parts = [self.lookup(part) for part in rows.reshape(-1, self.candidates)]
            self._catalogue = np.concatenate(parts)[: self.items + 1]
        return self._catalogue

    def scores(self, embedding: Array, rows: Array | None = None) -> Array:
        """Scores of item rows for a user embedding: the one place on the device where the two meet outside the file.

        Args:
            embedding: float32 [E], as `embed` gives it.
            rows: int32 [n]; None = the whole catalogue, of N + 1 rows with row 0 for no item.

        Returns:
            float32 [n].

        Raises:
            ValueError: the number of items was not given.
        """
        table = self.catalogue()
        return self._ranker(embedding, table if rows is None else table[rows])

    def export_weights(self) -> dict[str, Array]:
        """Copies of all trainable tensors and optimiser slots, by name."""
        outputs = self._call(contract.EXPORT_WEIGHTS, {contract.UNUSED: np.float32(0)})
        return {name: outputs[name] for name in self.variables}

    def import_weights(self, weights: Mapping[str, Array]) -> None:
        """Replace all trainable tensors and optimiser slots.

        Raises:
            StateError: a tensor is missing, unknown, or of another shape. Nothing was changed.
        """
        for name, shape in self.variables.items():
            if name not in weights or weights[name].shape != shape:
                raise StateError(f"the weights lack {name} of shape {list(shape)}: "
                                 "use a state of this model, or reset the state")  # fmt: skip
        if len(weights) != len(self.variables):
            unknown = sorted(set(weights) - set(self.variables))
            raise StateError(f"the model has no tensor {unknown[0]}: use a state of this model, or reset the state")
        inputs = {name: np.ascontiguousarray(weights[name], dtype=np.float32) for name in self.variables}
        self._call(contract.IMPORT_WEIGHTS, inputs)

    def before_fork(self) -> None:
        """Wait for the call at work, and take along the weights where the child needs kernels of its own."""
        self._held = self._lock.acquire(timeout=forks.PATIENCE)
        if self._held and self._threads > 1:
            self._carried = self._run(contract.EXPORT_WEIGHTS, {contract.UNUSED: np.float32(0)})

    def after_fork(self, *, child: bool) -> None:
        """Go on, in the parent and in the child."""
        if child:
            self._lock = threading.Lock()
            if self._threads > 1:  # destroying it would wait for threads that only the parent has
                forks.keep_for_ever((self._interpreter, self._runners))
            if self._carried is not None:
                self._pid = os.getpid()
        else:
            self._carried = None
            if self._held:
                self._lock.release()
        self._held = False

    def _own(self) -> None:
        """Start kernels of this process's own where others were started before a fork. The lock is held."""
        if self._threads > 1 and (self._carried is not None or self._pid != os.getpid()):
            if self._carried is None:
                raise ConfigError(f"the model was opened with {self._threads} threads, and then the process was forked "
                                  "by a library: open it after the fork, or with one thread")  # fmt: skip
            weights, self._carried = {name: self._carried[name] for name in self.variables}, None
            self._interpreter, _ = load_interpreter(self._path, self.runtime, self._threads)
            self._runners, self._inputs = {}, {}
            self._run(contract.IMPORT_WEIGHTS, dict(weights))

    def _with_negatives(self, signature: str, inputs: dict[str, Any], negatives: Array | None) -> dict[str, Any]:
        wanted = contract.NEGATIVES in self._signature(signature)
        if wanted and negatives is None:
            raise ValueError(f"this model's {signature} needs negatives, int32 [{self.negatives}]")
        if wanted:
            inputs[contract.NEGATIVES] = negatives
        return inputs

    def _small_batch(self) -> int:
        """Windows of the second batch."""
        known = self._inputs[contract.TRAIN]
        small = int(self._signature(contract.TRAIN_SMALL)[contract.ITEMS][0][0])
        for name in (contract.TRAIN_SMALL, contract.EVALUATE_SMALL):
            found = self._signature(name)
            for key in (contract.ITEMS, contract.TARGETS):
                if not small < self.batch or found[key] != ((small, *known[key][0][1:]), known[key][1]):
                    raise BundleError(f"{self._path}: {name} takes {key} of another shape than {contract.TRAIN}: "
                                      "export the model again")  # fmt: skip
        return small

    def _signature(self, name: str) -> dict[str, tuple[tuple[int, ...], Any]]:
        if name not in self._inputs:
            try:
                runner = self._interpreter.get_signature_runner(name)
                inputs, outputs = runner.get_input_details(), runner.get_output_details()
            except (RuntimeError, ValueError) as error:
                raise _failed(name, error) from None
            takes, gives = PROMISED.get(name, ((), ()))
            for key in [key for key in takes if key not in inputs] + [key for key in gives if key not in outputs]:
                raise BundleError(f"the model's {name} has no {key}: fetch or export the bundle again")
            self._runners[name] = runner
            self._inputs[name] = {
                key: (tuple(int(size) for size in entry["shape"]), entry["dtype"]) for key, entry in inputs.items()
            }
        return self._inputs[name]

    def _call(self, name: str, inputs: dict[str, Any]) -> dict[str, Array]:
        with self._lock:
            self._own()
            if self._watched is not None:
                self._watched.check()
            return self._run(name, inputs)

    def _run(self, name: str, inputs: dict[str, Any]) -> dict[str, Array]:
        expected, shown = self._signature(name), name.removesuffix("_small")  # as the caller knows it
        for key, (shape, dtype) in expected.items():
            if key not in inputs:
                raise ValueError(f"{shown}: input {key} is missing")
            value = inputs[key] = np.asarray(inputs[key])
            if value.shape != shape or value.dtype != dtype:
                raise ValueError(
                    f"{shown}: {key} must be {np.dtype(dtype)} {list(shape)}, not {value.dtype} {list(value.shape)}"
                )
            if dtype == np.int32 and value.view(np.uint32).max() > self._last:  # as unsigned, a negative is large
                wrong = value[(value < 0) | (value > self._last)][0]
                limit = f"1 to {self.items}" if self.items else "from 1 on"
                raise ValueError(f"{shown}: {key} holds {wrong}, and items are numbered {limit} (0 = padding)")
        try:
            outputs: dict[str, Array] = self._runners[name](**inputs)
        except RuntimeError as error:
            raise _failed(name, error) from None
        return {key: np.array(value) for key, value in outputs.items()}


def _failed(name: str, error: Exception) -> BundleError:
    text = " ".join(str(error).split())[:200]
    return BundleError(f"the model's {name} failed ({text}): fetch or export the bundle again")
