"""Stage fleet: evaluation on the later events, through the device code."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import METRICS_FILE, Run, Stage, read_json
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.base.files import write_atomic
from pocketrec.stages.bundles import publish
from pocketrec.stages.parts import plain, use_threads
from pocketrec.stages.recipes import REHEARSAL, needs_naive, recipe_of, recipe_of_run, repeats_alone

if TYPE_CHECKING:
    from pocketrec.cloud.baselines.neighbours import ItemNeighbours
    from pocketrec.cloud.data.prepared import CloudData


def fleet(run: Run) -> None:
    """Evaluate, write ``RUN/metrics.json``, and put the figures into the bundle's model card."""
    from pocketrec.cloud.data.prepared import load_cloud

    metrics = _judge_personal(run) if load_cloud(run.folder).personal else _judge_global(run)
    write_atomic(run.folder / METRICS_FILE, (json.dumps(metrics, indent=1) + "\n").encode("utf-8"))
    publish(run, metrics)


def _judge_personal(run: Run) -> dict[str, Any]:
    """Every test user's device, in processes."""
    from pocketrec.cloud.candidates import AlsModel, Candidates
    from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary
    from pocketrec.cloud.evaluation.evaluate import fleet_metrics
    from pocketrec.cloud.fleet.bench import device_figures
    from pocketrec.cloud.fleet.fleet import System, device_users, run_fleet

    config, export = run.config, run.folder / "export"
    data, devices = load_cloud(run.folder), load_devices(run.folder)
    als = AlsModel.load(run.folder / "candidates" / "als.npz")
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    users, left_out = device_users(
        data.before, devices.after, devices.learn, sets, als, limit=config.evaluate.users, seed=config.seed
    )
    recipe = recipe_of_run(run)
    files = (export / "model.tflite", export / "item_embeddings.npy")
    systems = [System("global", *files), System("personal", *files, recipe=recipe)]
    bonus = repeats_alone(recipe)
    if bonus is not None:
        systems.append(System("repeats", *files, recipe=bonus, guard=False))
    if config.evaluate.naive:
        folder = export / "naive" if needs_naive(config, recipe) else export
        naive = {**recipe_of(config.personalise), "proximal": 0.0, "minimum_events": 1}
        own = (folder / "model.tflite", folder / "item_embeddings.npy")
        systems.append(System("naive", *own, recipe=naive, guard=False))
    if config.evaluate.central:
        central = run.folder / "central"
        own = (central / "model.tflite", central / "item_embeddings.npy")
        systems.append(System("central", *own, recipe=bonus, guard=False))
    with run.progress() as progress:
        run_fleet(
            users, systems, run.folder / "fleet", evaluate=config.evaluate, als_items=als.item_factors,
            neighbours=neighbours(config, data), left_out=left_out, resources=config.resources, progress=progress,
        )  # fmt: skip
    return fleet_metrics(
        run.folder / "fleet",
        evaluate=config.evaluate,
        seed=config.seed,
        data=load_summary(run.folder),
        sizes=_sizes(run),
        rehearsal=read_json(run.folder / REHEARSAL) or None,
        device=device_figures(run.folder / "bundle", config.resources.runtime),
    )


def _judge_global(run: Run) -> dict[str, Any]:
    """A log without personal training: the Keras model on the test part."""
    use_threads(run)
    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary
    from pocketrec.cloud.evaluation.evaluate import global_metrics
    from pocketrec.cloud.evaluation.global_model import sequence_ranks

    config = run.config
    model = load_model(run.folder / "train" / "model.keras")
    with run.progress() as progress:
        ranks = sequence_ranks(
            model, load_devices(run.folder).after, config.model.window, config.evaluate,
            neighbours(config, load_cloud(run.folder)), progress,
        )  # fmt: skip
    return global_metrics(
        ranks,
        evaluate=config.evaluate,
        window=config.model.window,
        seed=config.seed,
        data=load_summary(run.folder),
        sizes=_sizes(run),
    )


def _sizes(run: Run) -> dict[str, float]:
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.evaluation.evaluate import size_ledger

    facts = read_json(run.folder / "export" / "facts.json")
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    weights = [spec for kind in ("trainable", "frozen") for spec in facts["tensors"][kind]]
    return size_ledger(
        run.folder / "bundle",
        users=len(sets.users),
        dense_parameters=sum(math.prod(spec["shape"]) for spec in weights),
        k=sets.k,
        embedding=facts["model"]["embedding"],
        items=facts["model"]["items"],
    )


def neighbours(config: RunConfig, data: CloudData) -> ItemNeighbours | None:
    """The baseline item-kNN, fitted before the cut-off; None where it is switched off."""
    from pocketrec.cloud.baselines.neighbours import fit_neighbours

    knn = config.baselines.knn
    return fit_neighbours(knn, data.before, len(data.vocabulary)) if knn.neighbours else None


FLEET = Stage(
    "fleet",
    "evaluate on the later events, through the device code",
    needs=("prepare", "candidates", "export", "train-central"),
    depends=lambda c: [c.seed, *plain(c.evaluate, c.personalise, c.baselines.knn)],
    work=fleet,
    leaves=(METRICS_FILE,),
    clears=("fleet",),
    help="evaluate many users through the device code",
    does="lets every test user's device learn and rank, in processes, and measures: RUN/fleet, RUN/metrics.json",
)
