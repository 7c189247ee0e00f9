# SPDX-License-Identifier: Apache-2.0
"""What is tried first on a kind of log: a few configurations of the global model, by name.

Values are those that did best on public logs of the kind (configs/), and one or two forms that differ where such logs
do: how much is repeated, how dense the log is. `pocketrec run LOG` tries them before the cut-off and takes the best.
"""

from __future__ import annotations

import copy
from typing import Any, Final

#: Items above which the softmax over the catalogue is too much work, and above which similarities of items are.
FULL_SOFTMAX: Final = 20_000
_SIMILARITY: Final = 200_000
#: Events up to which batches are as small as the presets have them.
_SMALL: Final = 200_000
_LARGEST_BATCH: Final = 256
#: Events times epochs that a training takes at most.
_WORK: Final = 40_000_000

_COPY: Final = {
    "model": {"embedding": 128, "window": 50, "dropout": 0.7, "embedding_std": 0.35, "similarity": 3.0,
              "gru": {"hidden": 256, "layers": 1, "start": "copy"}},
    "train": {"epochs": 4, "batch": 10, "decay": "cosine", "validation": 0.0},
}  # fmt: skip
_SIMILAR: Final = {
    "model": {"embedding": 64, "window": 30, "dropout": 0.5, "similarity": 3.0, "gru": {"hidden": 96, "layers": 1}},
    "train": {"epochs": 6, "batch": 32, "decay": "cosine", "validation": 0.0},
}  # fmt: skip
_PLAIN: Final = {
    "model": {"embedding": 64, "window": 30, "dropout": 0.5, "gru": {"hidden": 96, "hidden_dropout": 0.3}},
    "train": {"epochs": 6, "batch": 32, "decay": "cosine", "validation": 0.0},
}  # fmt: skip
_SESSION: Final = {
    "model": {"embedding": 128, "window": 20, "dropout": 0.6, "gru": {"hidden": 128, "layers": 1}},
    "train": {"epochs": 6, "batch": 48, "learning_rate": 0.005, "decay": "cosine", "validation": 0.0},
}  # fmt: skip
_SESSION_SIMILAR: Final = {
    "model": {"embedding": 128, "window": 20, "dropout": 0.6, "similarity": 3.0, "gru": {"hidden": 128, "layers": 1}},
    "train": {"epochs": 4, "batch": 48, "learning_rate": 0.003, "decay": "cosine", "validation": 0.0},
}  # fmt: skip

#: Kind of log (`pocketrec.cloud.data.detect`) -> its presets, by name; the first is taken where none can be judged.
PRESETS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "sessions": {"gru": _SESSION, "gru, similarities": _SESSION_SIMILAR},
    "repeats": {"gru, copy": _COPY, "gru, similarities": _SIMILAR, "gru": _PLAIN},
    "fresh": {"gru": _PLAIN, "gru, similarities": _SIMILAR},
}

#: What a run without a configuration has besides: a smaller grid of recipes than the default, no naive fine-tuning,
#: and a model of the whole log in the end.
_AROUND: Final[dict[str, dict[str, Any]]] = {
    "rehearse": {"ways": ["head", "partial"], "learning_rates": [0.0005, 0.005], "passes": [3], "targets": ["later"]},
    "evaluate": {"naive": False},
    "refit": {"enabled": True},
}


#: Devices search the whole catalogue: a hundred candidates by ALS leave out most of what is new to a user
#: (docs/good-by-itself.md). Not where each user's own events are cut: there the candidate file tells a device how many
#: of them the model was trained on.
_SEARCH: Final[dict[str, dict[str, Any]]] = {"candidates": {"method": "none"}, "export": {"retrieve": 200}}


def around(split: str) -> dict[str, dict[str, Any]]:
    """What a run without a configuration has besides a preset.

    Args:
        split: `split.kind`.
    """
    return copy.deepcopy(_AROUND if split == "per_user" else {**_AROUND, **_SEARCH})


def presets_for(kind: str, items: int, events: int) -> dict[str, dict[str, Any]]:
    """The presets of a kind of log, by name, as tables ``model`` and ``train``.

    Args:
        kind: sessions, repeats or fresh.
        items: of the catalogue: a large one takes the sampled softmax, and no similarities.
        events: to train on: of many, batches are larger and epochs fewer.
    """
    found = copy.deepcopy(PRESETS[kind])
    for tables in found.values():
        model, train = tables["model"], tables["train"]
        if items > FULL_SOFTMAX:
            train["loss"] = "sampled_softmax"
        if items > _SIMILARITY:
            model.pop("similarity", None)
        if events > _SMALL:
            train["batch"] = min(_LARGEST_BATCH, train["batch"] * -(-events // _SMALL))
        train["epochs"] = max(1, min(train["epochs"], _WORK // max(1, events)))
    return found
