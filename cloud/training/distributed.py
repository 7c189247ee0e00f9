# SPDX-License-Identifier: Apache-2.0
"""Training by several processes, one accelerator (or machine) each: `tf.distribute.MultiWorkerMirroredStrategy`.

Every worker holds the whole model and takes its rows of every batch; the gradients are added up over the workers, and
all do the same update, so all hold the same weights. The sum is the only operation that crosses machines: variables
and optimizer are each worker's own, and what the training decides (validation, the place to continue from) is the
chief's decision. Worker 0 is the chief and alone writes. This module knows nothing about models, losses or epochs.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from pocketrec.cloud.training.batches import Batch
from pocketrec.cloud.training.meeting import meet, split
from pocketrec.cloud.training.row_optimizers import summed
from pocketrec.device.base.errors import ConfigError, DataError

PATIENCE = 600  # seconds for all workers to come

#: What TensorFlow raises where another worker does not answer.
_LOST = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)  # fmt: skip


class DisagreementError(DataError):
    """Raised on every worker at once: nobody is left to be told."""


@dataclass(frozen=True)
class Workers:
    """The processes that train together, seen from one of them; the default is a process alone."""

    index: int = 0
    """Of this worker, from 0."""
    count: int = 1
    """Of all workers."""
    strategy: Any = field(default=None, repr=False)
    """The `tf.distribute.Strategy`; None for a process alone."""

    @property
    def chief(self) -> bool:
        """Whether this worker writes the model and the checkpoints."""
        return self.index == 0

    def rows(self, batch: Batch) -> Batch:
        """This worker's rows of some batches, arrays [S, B, T] -> [S, ceil(B / count), T]; empty rows fill up."""
        if self.count == 1:
            return batch
        return Batch(*map(self.part, batch))

    def part(self, rows: np.ndarray) -> np.ndarray:
        """This worker's of all rows, [S, B, ...] -> [S, ceil(B / count), ...]; zeros fill up."""
        if self.count == 1:
            return rows
        spare = [(0, 0), (0, -rows.shape[1] % self.count), *[(0, 0)] * (rows.ndim - 2)]
        return np.pad(rows, spare)[:, self.index :: self.count]

    def seed(self, seed: tf.Tensor) -> tf.Tensor:
        """int32 [2]: the seed of what a worker draws for its own rows."""
        return seed if self.count == 1 else seed + tf.constant([0, 1 << 20]) * self.index

    def share(self, targets: tf.Tensor) -> tf.Tensor:
        """float32 []: this worker's share of the targets that count in a batch, int32 [B, T]."""
        if self.count == 1:
            return tf.constant(1.0)
        mine = tf.reduce_sum(tf.cast(targets > 0, tf.float32))
        (total,) = self.sum([mine])
        return mine / tf.maximum(total, 1)

    def sum(self, parts: list[Any]) -> list[Any]:
        """Tensors (or `tf.IndexedSlices`, of which only the rows travel) added up over the workers."""
        if self.count == 1:
            return parts

        dense = [part for part in parts if not isinstance(part, tf.IndexedSlices)]
        sparse = [summed(part) for part in parts if isinstance(part, tf.IndexedSlices)]
        lengths = [tf.one_hot(self.index, self.count, tf.size(part.indices), 0) for part in sparse]
        totals = iter(self._all_reduce(dense))
        if not sparse:
            return list(totals)
        (counts,) = self._all_reduce([tf.stack(lengths)])
        most = [tf.reduce_max(counts[place]) for place in range(len(sparse))]
        spread = [self._spread(part, rows) for part, rows in zip(sparse, most, strict=True)]
        values, indices = (self._all_reduce([pair[place] for pair in spread]) for place in (0, 1))
        gathered = iter(tf.IndexedSlices(*pair) for pair in zip(values, indices, strict=True))
        return [next(gathered if isinstance(part, tf.IndexedSlices) else totals) for part in parts]

    def _all_reduce(self, parts: list[tf.Tensor]) -> list[tf.Tensor]:
        """Sums of dense tensors of one type and of equal shapes on all workers."""

        def add(*values: tf.Tensor) -> Any:
            here = [tf.identity(value) for value in values]  # on this worker's device
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, here)

        return list(self.strategy.run(add, args=tuple(parts))) if parts else []

    def _spread(self, part: tf.IndexedSlices, most: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Values and indices in this worker's place among those of all, `most` rows each: their sum gathers them.

        (A collective gather of rows that are not as many everywhere fails inside a loop, in TensorFlow 2.21.) Rows that
        only fill up are zeros of a row that is there, or of row 0 where this worker has none (of a block of items).
        """
        short = most - tf.size(part.indices)
        filling = tf.concat([part.indices, tf.zeros([1], part.indices.dtype)], 0)[:1]
        indices = tf.concat([part.indices, tf.repeat(filling, short)], 0)
        before, behind = self.index * most, (self.count - 1 - self.index) * most
        values = tf.pad(part.values, [[before, short + behind], [0, 0]])
        return tf.ensure_shape(values, [None, part.values.shape[-1]]), tf.pad(indices, [[before, behind]])

    def word(self, values: Sequence[float]) -> list[float]:
        """The chief's numbers, exactly; what the others pass is not looked at, but must be as many."""
        if self.count == 1:
            return list(values)
        mine = tf.constant(list(values) if self.chief else [0.0] * len(values), tf.float64)
        (said,) = _sum_outside(self, mine)
        return [float(value) for value in said.numpy()]

    def agree(self, values: Sequence[float], otherwise: str) -> None:
        """See that all workers have the same numbers.

        Raises:
            DisagreementError: `otherwise`, on every worker.
        """
        if self.count == 1:
            return
        differs = float(self.word(values) != list(values))
        (total,) = _sum_outside(self, tf.constant([differs], tf.float64))
        if float(total[0]):
            raise DisagreementError(otherwise)


@tf.function(reduce_retracing=True)
def _sum_outside(workers: Workers, values: tf.Tensor) -> Any:
    return workers.sum([values])


ALONE = Workers()


def announce(workers: Workers, stage: int) -> int:
    """Which training comes next, by the chief's word; the others wait for it. Negative: there is none."""
    return int(workers.word([stage])[0])


def connect(workers: str | None, index: int | None, patience: float = PATIENCE) -> Workers | None:
    """Join the other workers; returns when all are there.

    Args:
        workers: ``host1:port,host2:port,...``, the same on every worker; None = as $TF_CONFIG says.
        index: place of this worker among them.
        patience: seconds in which all must have come.

    Returns:
        None where neither is given, or $TF_CONFIG names one worker only.

    Raises:
        ConfigError: the addresses make no cluster, this worker's port is taken, or it has several accelerators.
        DataError: a worker did not come.
    """
    if (workers is None) != (index is None):
        raise ConfigError("give both --workers and --index, or neither")
    if workers is not None:
        cluster, task = {"worker": workers.split(",")}, {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    place, addresses = _place(os.environ.get("TF_CONFIG", "{}"))
    count = len(addresses)
    if count == 1:
        return None
    if len(tf.config.list_physical_devices("GPU")) > 1:
        raise ConfigError("one accelerator for each worker: start as many workers as there are, and set "
                          "CUDA_VISIBLE_DEVICES of each to its own")  # fmt: skip
    meet(addresses, place, patience)
    with lost_is_one_line():
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return Workers(place, count, strategy)


def _place(text: str) -> tuple[int, list[str]]:
    """Index of this worker (a task of type chief comes first) and all addresses, of a TF_CONFIG."""
    try:
        config = json.loads(text)
        cluster = config.get("cluster", {})
        chiefs, workers = list(cluster.get("chief", [])), list(cluster.get("worker", []))
        addresses = chiefs + workers
        if len(addresses) <= 1:
            return 0, ["here"]
        _check_addresses(addresses)
        kind, index = config["task"]["type"], int(config["task"]["index"])
        place = {"chief": 0, "worker": len(chiefs)}[kind] + index
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", '
            '"index": 0}}: correct it, or use --workers and --index'
        ) from None
    if not 0 <= place < len(addresses):
        raise ConfigError(f"worker {place} is not one of the {len(addresses)} workers: count --index from 0")
    return place, addresses


def _check_addresses(addresses: list[str]) -> None:
    for address in addresses:
        split(address)
    if len(set(addresses)) < len(addresses):
        raise ConfigError("two workers have the same host and port: give each its own")


@contextlib.contextmanager
def lost_is_one_line() -> Iterator[None]:
    """Turn TensorFlow's errors about a worker that is gone into one line.

    Raises:
        DataError: instead of them.
    """
    try:
        yield
    except _LOST as error:
        raise DataError(
            f"another worker is gone or cannot be reached ({type(error).__name__}): start all workers again with the "
            "same commands, and the training continues from the last checkpoint"
        ) from error
