# SPDX-License-Identifier: Apache-2.0
"""Which model of an earlier run a training may go on from (`TrainConfig.warm_start`).

Last week's run has up to three: of its rehearsal, to its cut-off, and of its whole log (refit). A model that has seen
an event that lies after a cut of this run would know what it is judged by. So a training takes the latest of them that
has learned from nothing later than the training's own latest event, and of whose validation slice enough is new to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.cloud.base.runs import CONFIG_FILE, Run, read_json
from pocketrec.cloud.config.load import stored_config
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.base.errors import ConfigError
from pocketrec.stages.recipes import rehearsal_parts

if TYPE_CHECKING:
    from pocketrec.cloud.data.prepared import CloudData
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.cloud.training.warm_start import WarmStart

#: Models of a run, the one that has learned from the latest events first.
_MODELS: Final = ("refit/train/model", "train/model", "train/early")
#: Least share of the validation slice that has to be new to the earlier model.
_NEW: Final = 0.25
_HERE: Final = "or train without --warm-start"


def check_warm_start(config: RunConfig, out: Path) -> None:
    """See that the trainings of a run in the folder `out` can go on from the run that `TrainConfig.warm_start` names.

    Raises:
        ConfigError: it is the same run, has no model, another shape or another privacy class, or the split has no time.
    """
    if not config.train.warm_start:
        return
    folder = Path(config.train.warm_start)
    if folder.resolve() == out.resolve():
        raise ConfigError(f"train.warm_start: {folder} is this run itself: name another folder with --out, {_HERE}")
    earlier = _config_of(folder)
    if not any((folder / f"{name}.keras").exists() for name in _MODELS):
        raise ConfigError(f"{folder} has no trained model yet: bring it to its end with `pocketrec run`, {_HERE}")
    if config.split.kind in ("per_user", "column"):
        raise ConfigError(f"train.warm_start wants a split by time: with split.kind {config.split.kind!r} nothing says "
                          "whether the earlier model has seen what this one is judged by: cut at a time, "
                          f"{_HERE}")  # fmt: skip
    if config.model.item_blocks or config.model.content:
        what = "item_blocks" if config.model.item_blocks else "content"
        raise ConfigError(f"train.warm_start does not know item tables with model.{what}: {_HERE}")
    before, now = _shape(earlier), _shape(config)
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            raise ConfigError(f"{folder} was trained with model.{key} = {before.get(key)!r}, and this run has "
                              f"{now.get(key)!r}: a warm start keeps all sizes; take the same, {_HERE}")  # fmt: skip
    if config.data.privacy and earlier.data.privacy != config.data.privacy:
        raise ConfigError(f"{folder} was trained with other privacy classes (data.privacy), so its model may know what "
                          f"this one may not: {_HERE}")  # fmt: skip


def models_of(config: RunConfig) -> Any:
    """Size and time of change of the models of the earlier run, as plain values; () where none is named.

    Raises:
        ConfigError: there is none.
    """
    if not config.train.warm_start:
        return ()
    paths = [Path(config.train.warm_start, f"{name}.keras") for name in _MODELS]
    found = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.exists()]
    if not found:
        raise ConfigError(f"{config.train.warm_start} has no trained model: {_HERE}")
    return found


def warm_start(run: Run, sequences: Sequences, data: CloudData) -> WarmStart | None:
    """What a training on `sequences` goes on from; None where it starts afresh.

    Raises:
        ConfigError: see `check_warm_start`, or the earlier run knows none of the items.
        DataError: a file of the earlier run is damaged.
    """
    if not run.config.train.warm_start:
        return None
    import numpy as np

    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.training.validation import slice_begin
    from pocketrec.cloud.training.warm_start import WarmStart, trained_tensors

    check_warm_start(run.config, run.folder)
    folder, share = Path(run.config.train.warm_start), run.config.train.validation
    times = np.sort(sequences.timestamps)
    for name, vocabulary, learned in _models(folder):
        if not len(times) or not len(learned.timestamps) or learned.timestamps.max() > times[-1]:
            continue
        until = float(learned.timestamps.max())
        new = int((times >= slice_begin(times, share, until)).sum())
        if share and new < _NEW * int((times >= slice_begin(times, share)).sum()):
            continue
        place = {item: row for row, item in enumerate(vocabulary.ids, start=1)}
        rows = np.array([0, *(place.get(item, 0) for item in data.vocabulary.ids)])
        path = folder / f"{name}.keras"
        start = WarmStart(str(path), trained_tensors(load_model(path)), rows, until)
        if not start.known:
            raise ConfigError(f"{folder} knows none of the items of this log: {_HERE}")
        run.detail(f"goes on from {path}, which knows {start.known:,} of the {len(rows) - 1:,} items")
        return start
    why = "has learned from too much of what early stopping looks at, or of what comes later"
    run.detail(f"starts afresh: every model of {folder} {why}")
    return None


def _models(folder: Path) -> Iterator[tuple[str, Any, Sequences]]:
    """Name, vocabulary and what it was trained on of each model that a run has."""
    from pocketrec.cloud.data.prepared import load_cloud

    config = _config_of(folder)
    for name in _MODELS:
        if not (folder / f"{name}.keras").exists():
            continue
        data = load_cloud(folder / name.partition("train/")[0])
        early = name.endswith("early")
        yield name, data.vocabulary, rehearsal_parts(config, data.before)[0] if early else data.before


def _config_of(folder: Path) -> RunConfig:
    if not (folder / CONFIG_FILE).exists():
        raise ConfigError(f"train.warm_start: {folder} is no run directory: name one that `pocketrec run` has left")
    return stored_config(read_json(folder / CONFIG_FILE))


def _shape(config: RunConfig) -> dict[str, Any]:
    """What the shapes of a model's tensors depend on: rates, the window and the start do not change them."""
    model = config.to_dict()["model"]
    tables = {f"{name}.{key}": value for name, table in model.items() if isinstance(table, dict)
              for key, value in table.items()}  # fmt: skip
    values = {**{key: value for key, value in model.items() if not isinstance(value, dict)}, **tables}
    free = ("window", "popularity_start", "implementation", "start")
    return {key: value for key, value in values.items()
            if not isinstance(value, float) and key.rpartition(".")[2] not in free}  # fmt: skip
