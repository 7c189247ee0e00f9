# SPDX-License-Identifier: Apache-2.0
"""Tuning one method for one task at one rate, and the choice of the rate by validation users.

Every trial leaves a file, so that an interrupted stage continues with the first one that is missing. Trials of equal
seeds see equal batches in equal order, whatever the method: same split, same budget. Test rows are not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.arrays import save_arrays
from pocketrec.cloud.config.transfer import TASK_SAMPLERS, TransferConfig
from pocketrec.cloud.metrics.metrics import per_position, ranks
from pocketrec.cloud.transfer.negatives import Negatives
from pocketrec.cloud.transfer.network import HEAD_ROWS, Network
from pocketrec.cloud.transfer.rows import Rows, read_arrays
from pocketrec.device.base.errors import DataError

_STREAM: Final = 22  # of the generator of orders and negatives


@dataclass(frozen=True)
class Trial:
    """One tuning."""

    rate: float
    epoch: int
    """Passes after which validation was best; 0 = before any."""
    best: float
    """The figure of validation users then."""
    curve: NDArray[np.float64]
    """(epochs + 1,): the figure after each pass, from none."""
    values: dict[str, NDArray[Any]]
    """The trained tensors then."""


def tune(
    network: Network, config: TransferConfig, train: Rows, validation: Rows, kind: str, rate: float, *, seed: int,
    watch: Callable[[int, float], None] = lambda epoch, figure: None,
) -> Trial:  # fmt: skip
    """Train until validation stops rising, and give the tensors of its best epoch.

    Args:
        network: is started afresh.
        config: sampler, batch, epochs, patience.
        train: rows of training users.
        validation: rows of validation users.
        kind: of the task.
        rate: of Adam.
        seed: of orders, negatives and dropout.
        watch: called with each epoch done and its validation figure.

    Raises:
        DataError: the loss is no longer a number.
    """
    network.restart()
    rng = np.random.default_rng([seed, _STREAM])
    targets = network.variables[HEAD_ROWS].shape[0] - 1
    sampler = Negatives(TASK_SAMPLERS.load(config.sampler)(targets, config.rho))
    curve = [figure(network, validation, kind)]
    best, values = 0, network.values()
    number = 0
    for epoch in range(1, config.epochs + 1) if network.trained else ():
        order = rng.permutation(len(train))
        drawn = sampler.draw(rng, train.targets)
        for begin in range(0, len(order), config.batch):
            chosen = order[begin : begin + config.batch]
            windows, wanted, negatives = (
                _filled(part[chosen], config.batch) for part in (train.windows, train.targets, drawn)
            )
            loss = network.train(windows, wanted, negatives, (rate * config.head_rate, rate), (seed, number))
            number += 1
            if not np.isfinite(loss):
                raise DataError(f"the loss is {loss} in epoch {epoch} at rate {rate:g}: leave that rate out of "
                                "transfer.rates")  # fmt: skip
        curve.append(figure(network, validation, kind))
        watch(epoch, curve[-1])
        if curve[-1] > curve[best]:
            best, values = epoch, network.values()
        elif epoch - best >= config.patience:
            break
    return Trial(rate, best, curve[best], np.array(curve), values)


def figure(network: Network, rows: Rows, kind: str) -> float:
    """The figure by which validation users choose, a mean over rows: full MRR@20 of items, the log-likelihood of
    classes. (Accuracy would stay at the majority's for the first epochs of every tuning, and end it there.)"""
    scores = network.scores(rows.windows)
    if kind == "items":
        return float(per_position(ranks(scores, rows.targets), "mrr@20").mean())
    logits = scores[:, 1:].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    own = logits[np.arange(len(rows)), rows.targets - 1]
    return float((own - np.log(np.exp(logits).sum(axis=1))).mean())


def save_trial(path: Path, trial: Trial) -> None:
    """Write a trial, whole or not at all."""
    head = {"rate": np.array(trial.rate), "epoch": np.array(trial.epoch), "curve": trial.curve}
    save_arrays(path, {**head, **{f"value/{name}": value for name, value in trial.values.items()}})


def load_trial(path: Path) -> Trial:
    """Read a trial.

    Raises:
        DataError: the file is missing or damaged.
    """
    found = read_arrays(path)
    values = {name.removeprefix("value/"): value for name, value in found.items() if name.startswith("value/")}
    epoch, curve = int(found["epoch"]), found["curve"]
    return Trial(float(found["rate"]), epoch, float(curve[epoch]), curve, values)


def _filled(part: NDArray[Any], rows: int) -> NDArray[Any]:
    """The part with rows of zeros behind it, so that every step has as many."""
    missing = rows - len(part)
    return part if not missing else np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)])
