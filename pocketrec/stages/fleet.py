# SPDX-License-Identifier: Apache-2.0
"""Stage fleet: evaluation on the later events, through the device code."""

from __future__ import annotations

import math
from typing import Any

from pocketrec.cloud.base.runs import METRICS_FILE, Run, Stage, read_json, write_json
from pocketrec.stages.baselines import FOLDER as FITTED
from pocketrec.stages.baselines import TUNED
from pocketrec.stages.bundles import publish
from pocketrec.stages.models import second_in
from pocketrec.stages.necessary import FOLDER as NECESSARY
from pocketrec.stages.neighbours import neighbours_file
from pocketrec.stages.parts import plain, unusual, use_threads
from pocketrec.stages.ranker_way import personalise_of
from pocketrec.stages.recipes import REHEARSAL, needs_naive, recipe_of, recipe_of_run, repeats_alone


def fleet(run: Run) -> None:
    """Evaluate, write ``RUN/metrics.json``, and put the figures into the bundle's model card."""
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.report.staged import staged_line

    metrics = _judge_personal(run) if load_cloud(run.folder).personal else _judge_global(run)
    if "item_knn" in metrics and (tuned := read_json(run.folder / TUNED)):
        metrics["tuned"] = {"item_knn": tuned["chosen"]}
    write_json(run.folder / METRICS_FILE, metrics)
    if told := staged_line(metrics):
        run.detail(told)
    publish(run, metrics)


def _judge_personal(run: Run) -> dict[str, Any]:
    """Every test user's device, in processes."""
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary
    from pocketrec.cloud.evaluation.evaluate import fleet_metrics
    from pocketrec.cloud.fleet.bench import device_figures
    from pocketrec.cloud.fleet.fleet import System, device_users, run_fleet

    config, export = run.config, run.folder / "export"
    data, devices = load_cloud(run.folder), load_devices(run.folder)
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    users, left_out = device_users(
        data.before, devices.after, devices.learn, sets, limit=config.evaluate.users, seed=config.seed
    )
    recipe = recipe_of_run(run)
    files = (export / "model.tflite", export / "item_embeddings.npy")
    ranker = config.ranker.first
    near = neighbours_file(run)
    found = read_json(export / "facts.json").get("retrieval", {}).get("k", 0)
    second = second_in(export)
    systems = [System("global", *files, ranker=ranker, retrieve=found, second=second),
               System("personal", *files, recipe=recipe, ranker=ranker, neighbours=near, second=second)]  # fmt: skip
    if near is not None:
        systems.append(System("neighbours", *files, ranker=ranker, neighbours=near, second=second))
    bonus = repeats_alone(recipe)
    if bonus is not None:
        systems.append(System("repeats", *files, recipe=bonus, guard=False, ranker=ranker, neighbours=near,
                              second=second))  # fmt: skip
    if config.evaluate.naive:
        folder = export / "naive" if needs_naive(run, recipe) else export
        naive = {**recipe_of(personalise_of(run)), "proximal": 0.0, "minimum_events": 1}
        own = (folder / "model.tflite", folder / "item_embeddings.npy")
        for name, targets in (("naive", "later"), ("naive_all", "all")):
            systems.append(System(name, *own, recipe={**naive, "targets": targets}, guard=False, ranker=ranker,
                                  second=second_in(folder)))  # fmt: skip
    if config.evaluate.central:
        central = run.folder / "central"
        own = (central / "model.tflite", central / "item_embeddings.npy")
        systems.append(System("central", *own, recipe=bonus, guard=False, ranker=ranker, neighbours=near))
    if config.data.privacy:
        own = (run.folder / NECESSARY / "model.tflite", run.folder / NECESSARY / "item_embeddings.npy")
        systems.append(System("necessary", *own, recipe=bonus, guard=False, ranker=ranker, neighbours=near))
        systems.append(System("necessary_personal", *own, recipe=recipe, ranker=ranker, neighbours=near))
    if config.evaluate.push:
        systems.append(System("push", *files, recipe=recipe, ranker=ranker, pushed=True, second=second))
    with run.progress(unit="users") as progress:
        run_fleet(
            users, systems, run.folder / "fleet", evaluate=config.evaluate, baselines=run.folder / FITTED,
            left_out=left_out, resources=config.resources, progress=progress,
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
    from pocketrec.cloud.baselines.files import load_baselines
    from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary
    from pocketrec.cloud.evaluation.evaluate import global_metrics
    from pocketrec.cloud.evaluation.global_model import sequence_ranks
    from pocketrec.device.contract.neighbours import Neighbours

    config = run.config
    model = load_model(run.folder / "train" / "model.keras")
    path = neighbours_file(run)
    near = None if path is None else Neighbours.from_bytes(path.read_bytes(), len(load_cloud(run.folder).vocabulary))
    with run.progress() as progress:
        ranks = sequence_ranks(
            model, load_devices(run.folder).after, config.model, config.evaluate,
            load_baselines(run.folder / FITTED), config.ranker.first, progress, near,
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


FLEET = Stage(
    "fleet",
    "evaluate on the later events, through the device code",
    needs=("prepare", "baselines", "candidates", "export", "train-central", "train-necessary"),
    depends=lambda c: [c.seed, *plain(c.evaluate, c.personalise, c.baselines.knn), *unusual(c.baselines.beside_knn)],
    work=fleet,
    leaves=(METRICS_FILE,),
    clears=("fleet",),
    help="evaluate many users through the device code",
    does="lets every test user's device learn and rank, in processes, and measures: RUN/fleet, RUN/metrics.json",
)
