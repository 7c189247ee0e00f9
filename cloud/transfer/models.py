# SPDX-License-Identifier: Apache-2.0
"""From a run's files to networks: the pretrained backbone, the start of a task's head, a network for each method."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.backbones import backbone, build_model, input_embeddings, item_embeddings, load_model
from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.config.transfer import METHODS, TASK_LOSSES, TransferRun
from pocketrec.cloud.data.vocabulary import Vocabulary
from pocketrec.cloud.transfer.methods import Method, Plan, plan
from pocketrec.cloud.transfer.network import HEAD, HEAD_BIASES, HEAD_ROWS, SOURCE_ITEMS, Network
from pocketrec.cloud.transfer.rows import HOME, Task
from pocketrec.export.graph.weights import weights_for

BACKBONE_FILE: Final = f"{HOME}/backbone.keras"
VOCABULARY_FILE: Final = f"{HOME}/items.txt"
_STREAM: Final = 23  # of the generator of head rows that no source item gives
_SMALL: Final = 0.02  # standard deviation of those


@dataclass(frozen=True)
class Backbone:
    """A model over source items, as arrays."""

    layers: dict[str, NDArray[Any]]
    """Tensors of the layers by name."""
    items: NDArray[np.float32]
    """(N + 1, E): rows that enter."""
    scores: NDArray[np.float32]
    """(N + 1, E): rows that the model was trained to score with; the same where tied."""

    @property
    def digest(self) -> str:
        """SHA-256 of all tensors: what a patch is bound to in the cloud."""
        return fingerprint(sorted(self.layers), [*(self.layers[name] for name in sorted(self.layers)), self.items])


class Models:
    """Makes the networks of a run.

    Args:
        config: of the run.
        folder: the run directory, with a pretrained backbone.
    """

    def __init__(self, config: TransferRun, folder: Path) -> None:
        self.config = config
        self.vocabulary = Vocabulary.load(folder / VOCABULARY_FILE)
        self.folder = folder
        self.specs = backbone(config.model.backbone).layers(config.model)

    @cached_property
    def pretrained(self) -> Backbone:
        """The pretrained backbone."""
        return self._arrays(load_model(self.folder / BACKBONE_FILE))

    @cached_property
    def fresh(self) -> Backbone:
        """A backbone that nothing has trained."""
        return self._arrays(build_model(self.config.model, len(self.vocabulary), self.config.seed))

    def plan(self, name: str) -> Plan:
        """The layers of a method, and what of them trains."""
        return plan(METHODS.load(name), self.specs, self.config.export)

    def network(self, name: str, task: Task) -> Network:
        """The network of a method for a task, at its start."""
        method: Method = METHODS.load(name)
        trained = [SOURCE_ITEMS] * method.body + [HEAD_ROWS] * method.head
        trained += [HEAD_BIASES] * (method.head and task.kind == "profile")
        transfer = self.config.transfer
        loss = TASK_LOSSES.load(transfer.loss)
        return Network(self.plan(name), self.start(name, task), tuple(trained), loss, self.config.model.window,
                       transfer.dropout)  # fmt: skip

    def start(self, name: str, task: Task) -> dict[str, NDArray[Any]]:
        """All tensors at the start of a method, but those of an untrained patch."""
        method: Method = METHODS.load(name)
        start = self.pretrained if method.pretrained else self.fresh
        return {**start.layers, SOURCE_ITEMS: start.items, **self.head(start, task)}

    def head(self, start: Backbone, task: Task) -> dict[str, NDArray[Any]]:
        """The start of a task's head: the source rows of items that the backbone has, small random rows of others and
        of classes. Biases are zero, and train for classes only."""
        count, size = len(task.ids), start.items.shape[1]
        rng = np.random.default_rng([self.config.seed, _STREAM])
        rows = (rng.standard_normal((count + 1, size)) * _SMALL).astype(np.float32)
        if task.kind == "items":
            own = self.vocabulary.rows(task.ids)
            rows[1:][own > 0] = start.scores[own[own > 0]]
        rows[0] = 0.0
        return dict(zip(HEAD, (rows, np.zeros(count + 1, np.float32)), strict=True))

    def _arrays(self, model: keras.Model) -> Backbone:
        return Backbone(weights_for(self.specs, model), input_embeddings(model), item_embeddings(model))
