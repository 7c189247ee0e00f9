# SPDX-License-Identifier: Apache-2.0
"""Stage rank: the second stage's ranker, judged before the cut-off; none where it does not gain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.cloud.config.run import RunConfig
from pocketrec.stages.parts import plain, use_threads
from pocketrec.stages.ranker_way import VERDICT_FILE, ranks, ships

if TYPE_CHECKING:
    from pathlib import Path

    import keras
    import numpy as np
    from numpy.typing import NDArray

    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.cloud.rankers.ranknet import RankNet
    from pocketrec.export.second import Ranked

#: The tensors.
TENSORS_FILE: Final = "rank/ranker.npz"
_EARLY_FILE: Final = "rank/early.npz"  # over the early model, for the rehearsal
_JUDGED: Final = 2000  # users that judge, at most


def rank(run: Run) -> None:
    """Train the ranker over the early model, judge it on what came before the cut-off, train it over the final model:
    ``RUN/rank``."""
    use_threads(run)
    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.base.arrays import save_arrays
    from pocketrec.cloud.base.runs import write_json
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.stages.recipes import rehearsal_parts

    data = load_cloud(run.folder)
    earliest, later, _ = rehearsal_parts(run.config, data.before)
    early = load_model(run.folder / "train" / "early.keras")
    arrays = _tensors(run, early, earliest, "early")
    save_arrays(run.path(_EARLY_FILE), arrays)
    verdict = _judge(run, early, arrays, earliest, later)
    model = load_model(run.folder / "train" / "model.keras")
    save_arrays(run.path(TENSORS_FILE), _tensors(run, model, data.before, "final"))
    write_json(run.path(VERDICT_FILE), verdict)
    found = verdict["difference"]
    run.detail(
        f"{verdict['measure']} before the cut-off: {verdict['ranker']:.4f}, inner product "
        f"{verdict['inner_product']:.4f} "
        f"(difference {found['low']:+.4f} to {found['high']:+.4f}, {found['users']} users): "
        + ("it ships" if verdict["ships"] else "it gains, and the exporter has no such ranker" if verdict["gains"]
           else "none ships")
    )


def _exports(config: RunConfig) -> bool:
    """Whether the exporter has the ranker's side in the graph, and the score is the one that devices compute."""
    from pocketrec.cloud.config.ranker import RANKERS

    return bool(getattr(RANKERS[config.ranker.kind], "graph", "")) and config.ranker.inner


def with_shipped(run: Run, model: keras.Model) -> tuple[keras.Model, Ranked]:
    """The model as it is exported, with the tensors of the ranker that ships in it; and the ranker."""
    from pocketrec.cloud.rankers.ranker import RANKER_LAYER
    from pocketrec.cloud.rankers.ranknet_training import without_ranknet
    from pocketrec.export.second import Ranked

    ranker = shipped_ranker(run)
    together = RANKER_LAYER in {layer.name for layer in model.layers}  # it was trained with the model
    if ranker is None:
        alone = without_ranknet(model) if together and run.config.ranker.second else model
        return alone, Ranked(run.config.ranker.first.kind)
    return _with_tensors(run, model, dict(ranker.tensors)), Ranked(run.config.ranker.kind, ranker.transitions)


def with_early(run: Run, model: keras.Model) -> tuple[keras.Model, str]:
    """The early model with a ranker trained over it, for the rehearsal of a run whose ranker ships; and its name."""
    from pocketrec.cloud.base.arrays import save_arrays
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.stages.recipes import rehearsal_parts

    if not (run.folder / _EARLY_FILE).exists():  # the stage was done before it was kept
        earliest, _, _ = rehearsal_parts(run.config, load_cloud(run.folder).before)
        save_arrays(run.path(_EARLY_FILE), _tensors(run, model, earliest, "early"))
    return _with_tensors(run, model, dict(_ranker_in(run.folder / _EARLY_FILE).tensors)), run.config.ranker.kind


def rank_again(run: Run, shipped: Run, past: Sequences) -> None:
    """Train a ranker over the model of another run, where a run's own ships: ``RUN/rank``.

    Args:
        run: gets the ranker, and the verdict of the other, for nothing can judge it.
        shipped: the run whose ranker was judged.
        past: the events that the model of `run` was trained on.
    """
    if not ships(shipped):
        return
    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.base.arrays import save_arrays
    from pocketrec.cloud.base.runs import read_json, write_json

    model = load_model(run.folder / "train" / "model.keras")
    save_arrays(run.path(TENSORS_FILE), _tensors(run, model, past, "final"))
    write_json(run.path(VERDICT_FILE), read_json(shipped.folder / VERDICT_FILE))


def _with_tensors(run: Run, model: keras.Model, tensors: dict[str, NDArray[np.float32]]) -> keras.Model:
    from pocketrec.cloud.rankers.ranker import RANKER_LAYER
    from pocketrec.cloud.rankers.ranknet_training import with_ranknet

    if RANKER_LAYER not in {layer.name for layer in model.layers}:
        model = with_ranknet(model, run.config.ranker.hidden, True, run.config.seed)
    layer = model.get_layer(RANKER_LAYER)
    for name, value in tensors.items():
        getattr(layer, name).assign(value)
    return model


def shipped_ranker(run: Run) -> RankNet | None:
    """The ranker that the run ships; None = none ships."""
    return trained_ranker(run) if ships(run) else None


def trained_ranker(run: Run) -> RankNet:
    """The ranker of the second stage, whether it ships or not (`pocketrec.cloud.rankers.ranknet.RankNet`).

    Raises:
        DataError: the file is missing or damaged.
    """
    return _ranker_in(run.folder / TENSORS_FILE)


def _ranker_in(path: Path) -> RankNet:
    from pocketrec.cloud.candidates.sets import read_arrays
    from pocketrec.cloud.rankers.ranknet import RankNet

    return RankNet.restore(read_arrays(path))


def _tensors(run: Run, model: keras.Model, past: Sequences, name: str) -> dict[str, NDArray[np.float32]]:
    """The ranker's tensors over a model: trained with it, or now on the events that it was trained on."""
    from pocketrec.cloud.backbones import item_embeddings
    from pocketrec.cloud.rankers.ranker import RANKER_LAYER
    from pocketrec.cloud.rankers.transitions import count_transitions
    from pocketrec.cloud.training.crossed import crossed_features
    from pocketrec.cloud.training.ranking import DIRECT, WEIGHTS, train_ranker
    from pocketrec.cloud.training.retrieved import latest, retrieve_positions

    config = run.config
    if config.ranker.joint:
        return {variable.name: variable.numpy() for variable in model.get_layer(RANKER_LAYER).weights}
    later = config.seed if config.train.objective == "later_item" else None
    with run.progress(f"rank {name}") as progress:
        found = retrieve_positions(
            model, past, latest(past, config.ranker.positions), config.model, config.ranker,
            mask_seen=config.evaluate.mask_seen, later=later, progress=progress,
        )  # fmt: skip
        run.detail(f"{name}: {int(found.found.sum())} of {len(found.targets)} positions had their item retrieved")
        table, most, window = item_embeddings(model), config.ranker.transitions, config.model.window
        if not most:
            return train_ranker(found, table, config.ranker, config.seed, progress)
        found = found.keep(found.found)  # the others teach nothing
        features = crossed_features(found, table, past, most, window, config.seed, progress)
        tensors = train_ranker(found, table, config.ranker, config.seed, progress, features)
        counted = count_transitions(past.items, past.event_users(), len(table) - 1, most, window)
        return tensors | counted.read_by(tensors.pop(WEIGHTS), tensors.pop(DIRECT)).arrays()


def _judge(
    run: Run, model: keras.Model, arrays: dict[str, Any], past: Sequences, later: Sequences
) -> dict[str, Any]:
    """The ranker beside the inner product on the events between the two cuts, user by user."""
    from pocketrec.cloud.metrics.metrics import paired
    from pocketrec.cloud.rankers.ranknet import RankNet
    from pocketrec.cloud.training.judging import list_figures, next_figures

    ranker = RankNet.restore(arrays)
    figures = list_figures if run.config.train.objective == "later_item" else next_figures
    measure, ours, plain_ = figures(run.config, model, ranker, past, later, _JUDGED)
    difference = paired(ours, plain_, run.config.evaluate.bootstrap, run.config.seed)
    return {
        "measure": measure, "ranker": float(ours.mean()), "inner_product": float(plain_.mean()),
        "difference": difference.to_dict(), "gains": bool(difference.difference.low > 0),
        "ships": bool(difference.difference.low > 0) and _exports(run.config),
    }  # fmt: skip


RANK = Stage(
    "rank",
    "train the ranker of what is retrieved, judge it before the cut-off",
    needs=("prepare", "train-early", "train"),
    depends=lambda c: [c.seed, *plain(c.ranker), c.evaluate.mask_seen, c.evaluate.bootstrap, c.train.objective,
                       c.rehearse.quantile],
    work=rank,
    leaves=(TENSORS_FILE, VERDICT_FILE),
    clears=("rank",),
    applies=ranks,
    help="train the second stage's ranker",
    does="trains RankNet on what the inner product retrieves, judges it before the cut-off: RUN/rank",
)
