"""What each stage of a run does: the one place where data, training, rehearsal, export and the fleet meet.

Everything heavy is imported inside the stages, so that looking at a run costs nothing. What lies before the cut-off
(``RUN/data/cloud``) is all that any stage opens before the bundle exists. After it, `train_central` (for comparison,
where it is asked for) and `fleet` open the later events; of what they make, the bundle gets the figures of its card.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.config import PersonaliseConfig, RunConfig
from pocketrec.cloud.runs import METRICS_FILE, Run, read_json, versions
from pocketrec.device.errors import DataError
from pocketrec.device.files import storage_error, write_atomic

if TYPE_CHECKING:
    import keras

    from pocketrec.cloud.data.prepared import CloudData
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.cloud.data.split import Prepared
    from pocketrec.cloud.neighbours import ItemNeighbours
    from pocketrec.device.manifest import Manifest

DONE, FAILED = -1, -2  # what the chief says when it has no more trainings
RECIPE, REHEARSAL = "rehearse/recipe.json", "rehearse/rehearsal.json"


# --- the stages -------------------------------------------------------------------------------------------------


def prepare(run: Run) -> None:
    """Read and split the log: ``RUN/data``."""
    if run.config.resources.engine == "spark":
        from pocketrec.cloud.spark.session import spark_session

        with spark_session(run.config.resources.master) as spark:
            from pocketrec.cloud.spark.prepare import prepare as prepare_on_spark

            prepared = prepare_on_spark(spark, run.config, run.folder)
    else:
        from pocketrec.cloud.data.prepared import prepare

        with run.progress() as progress:
            prepared = prepare(run.config, run.folder, progress)
    _tell_findings(run, prepared)
    counts = prepared.summary
    before, after = counts["events_before"], counts["events_after"]
    run.detail(f"before the cut-off: {before} events of {counts['users_before']} users, {counts['items']} items")
    run.detail(f"after it: {after} events of {counts['users_old']} old and {counts['users_new']} new users")


def _tell_findings(run: Run, prepared: Prepared) -> None:
    """Lines on rows that were left out and why, and on what will make the figures say little."""
    from pocketrec.cloud.data.checks import warnings
    from pocketrec.cloud.data.findings import findings
    from pocketrec.cloud.data.prepared import load_reading

    report = load_reading(run.folder)
    for line in [*(findings(report) if report else []), *warnings(prepared, run.config.evaluate)]:
        run.detail(line)


def train_early(run: Run) -> None:
    """Train to the earlier cut: ``RUN/train/early.keras``."""
    from pocketrec.cloud.data.prepared import load_cloud

    data = load_cloud(run.folder)
    earliest, _, _ = rehearsal_parts(run.config, data.before)
    _train(run, "early", earliest, len(data.vocabulary))


def train_final(run: Run) -> None:
    """Train to the cut-off: ``RUN/train/model.keras``."""
    from pocketrec.cloud.data.prepared import load_cloud

    data = load_cloud(run.folder)
    _train(run, "model", data.before, len(data.vocabulary))


def train_central(run: Run) -> None:
    """Train on what the devices learn from, too, for comparison only: ``RUN/central``."""
    from pocketrec.cloud.data.prepared import load_cloud, load_devices

    data, devices = load_cloud(run.folder), load_devices(run.folder)
    heads, _ = devices.after.cut_heads(devices.learn)
    _train(run, "model", data.before.followed_by(heads), len(data.vocabulary), "central")
    if run.workers and not run.workers.chief:
        return
    naive = run.config.personalise
    export_model(run, "central/model", run.folder / "central", naive.way, naive.optimizer, gate=False)


def _train(run: Run, name: str, sequences: Sequences, items: int, folder: str = "train") -> None:
    use_threads(run)
    from pocketrec.cloud.train import train
    from pocketrec.cloud.train_distributed import ALONE, announce

    workers = run.workers or ALONE
    if workers.chief:
        announce(workers, _TRAININGS.index(run.label))
    with run.progress() as progress:
        trained = train(
            run.config.model, run.config.train, sequences, items, run.path(folder),
            prune=run.config.prune, seed=run.config.seed, name=name, mask_seen=run.config.evaluate.mask_seen,
            record=lambda entry: run.record([entry]) if workers.chief else None, progress=progress, workers=workers,
        )  # fmt: skip
    if workers.chief:
        run.record(trained.history, replace=True)
    run.detail(f"{trained.epochs} epochs, {trained.seconds:.1f} s, loss {trained.history[-1]['loss']:.4f}")


_TRAININGS = ("train-early", "train", "train-central")


def follow(run: Run) -> None:
    """Take part in the trainings that the chief begins, until it has no more.

    Raises:
        DataError: the chief has stopped before its end, or a worker is gone.
    """
    from pocketrec.cloud.train_distributed import announce, lost_is_one_line

    work = {"train-early": train_early, "train": train_final, "train-central": train_central}
    with lost_is_one_line():
        while (number := announce(run.workers, DONE)) >= 0:
            run.say(f"{_TRAININGS[number]:<11} with the chief, as worker {run.workers.index}")
            work[_TRAININGS[number]](run.for_stage(_TRAININGS[number]))
    if number == FAILED:
        raise DataError("the chief has stopped: see there, then start all workers again with the same commands")


def candidates(run: Run) -> None:
    """Make candidate sets and the ALS factors of the baseline: ``RUN/candidates``."""
    from pocketrec.cloud.candidates import AlsModel, build, fit_als
    from pocketrec.cloud.data.prepared import load_cloud

    config, data = run.config.candidates, load_cloud(run.folder)
    items, threads = len(data.vocabulary), run.config.resources.threads
    mask_seen = run.config.evaluate.mask_seen
    factors = run.path("candidates", "als.npz")
    als = sets = None
    if data.personal or config.method == "als":  # the baseline needs factors whatever the candidates come from
        if run.config.resources.engine == "spark":
            from pocketrec.cloud.spark.session import spark_session

            with spark_session(run.config.resources.master) as spark:
                from pocketrec.cloud.spark.candidates import als_candidates

                als, sets = als_candidates(
                    spark, config, data.before, items, seed=run.config.seed, mask_seen=mask_seen
                )
        elif factors.exists():  # an interrupted call came so far
            als = AlsModel.load(factors)
        else:
            with run.progress() as progress:
                als = fit_als(config, data.before, items, run.config.seed, threads, progress)
        als.save(factors)
    if sets is None or config.method != "als":
        unfinished = run.path("candidates", "unfinished.rows")
        with run.progress() as progress:
            sets = build(
                config, data.before, items, seed=run.config.seed, threads=threads, mask_seen=mask_seen, als=als,
                unfinished=unfinished, progress=progress,
            )  # fmt: skip
        sets.save(run.path("candidates", "candidates.npz"))
        unfinished.unlink(missing_ok=True)
    else:
        sets.save(run.path("candidates", "candidates.npz"))
    run.detail(f"{config.method}: {sets.in_words()}")


def rehearse(run: Run) -> None:
    """Choose the devices' recipe on the earlier cut: ``RUN/rehearse``."""
    use_threads(run)
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.rehearse import Variant, rehearse

    config = run.config.rehearse
    earliest, later, learn = rehearsal_parts(run.config, load_cloud(run.folder).before)
    variants = {}
    for way in config.ways:
        for optimizer in config.optimizers:
            folder = run.path("rehearse", "models", f"{way}-{optimizer}")
            if not (folder / "model.tflite").exists():
                export_model(run, "train/early", folder, way, optimizer, gate=False)
            variants[way, optimizer] = Variant(folder / "model.tflite", folder / "item_embeddings.npy")
    with run.progress() as progress:
        recipe = rehearse(
            earliest, later, learn, variants, run.folder / "rehearse", config=config, evaluate=run.config.evaluate,
            seed=run.config.seed, resources=run.config.resources, progress=progress,
        )  # fmt: skip
    run.detail(in_words(recipe))


def export(run: Run) -> None:
    """Write and check the TensorFlow Lite file and publish the bundle: ``RUN/export``, ``RUN/bundle``."""
    use_threads(run)
    recipe = _recipe(run)
    export_model(run, "train/model", run.folder / "export", recipe["way"], recipe["optimizer"], gate=True)
    if _needs_naive(run.config, recipe):
        naive = run.config.personalise
        export_model(run, "train/model", run.folder / "export" / "naive", naive.way, naive.optimizer, gate=False)
    size = _publish(run, metrics=None)
    checked = ", ".join(read_json(run.folder / "export" / "facts.json")["gate"]["runtimes"])
    run.detail(f"model.tflite, {size / 1e6:.2f} MB, checked on {checked}")


def export_model(run: Run, name: str, folder: Path, way: str, optimizer: str, *, gate: bool) -> None:
    """Re-state the model ``RUN/NAME.keras`` as a TensorFlow Lite file in `folder`, checked where `gate` is set."""
    from pocketrec.cloud.models import load_model
    from pocketrec.export.build import build_tflite
    from pocketrec.export.gate import check

    model: keras.Model = load_model(run.folder / f"{name}.keras")
    try:
        exported = build_tflite(
            model, run.config.model, run.config.export, way=way, optimizer=optimizer, candidates=run.config.candidates.k
        )
        checked = check(exported, model, run.config.seed).to_dict() if gate else {}
    except OSError as error:  # both work in a temporary folder
        raise storage_error(tempfile.gettempdir(), error) from None
    exported.save(folder, checked)


def _publish(run: Run, metrics: dict[str, Any] | None) -> int:
    """Write the bundle and its .zip; the bytes of its model."""
    write = bundle_writer(run, run.folder / "export", _recipe(run), metrics)
    manifest = write(run.folder / "bundle", archive=run.folder / "bundle.zip")
    write(run.folder / "packed", archive=run.folder / "packed.zip", packed=True)
    if run.config.lean.enabled:
        _publish_lean(run, write.keywords)
    return manifest.files["model.tflite"].bytes


def bundle_writer(
    run: Run, exported: Path, recipe: dict[str, Any], metrics: dict[str, Any] | None = None
) -> functools.partial[Manifest]:
    """`pocketrec.export.publish.publish` with all that the run knows; what is left to say is where to."""
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud, load_summary
    from pocketrec.export.publish import publish

    data = load_cloud(run.folder)
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    return functools.partial(
        publish,
        exported,
        items=data.vocabulary.ids,
        recipe=recipe,
        candidates=(list(sets.users), sets.rows),
        known=data.before.lengths[data.before.find_all(sets.users)] if data.cut_off is None and data.personal else None,
        cut_off=data.cut_off,
        mask_seen=run.config.evaluate.mask_seen,
        config=run.config.to_dict(),
        summary=load_summary(run.folder),
        versions=versions(),
        metrics=metrics,
    )


def _publish_lean(run: Run, common: dict[str, Any]) -> None:
    """Write ``RUN/lean``, from the model of ``RUN/export/lean``, which is made where it is not there."""
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.models import item_embeddings, load_model
    from pocketrec.device.packing import shards_for
    from pocketrec.export.build import build_tflite
    from pocketrec.export.gate import check
    from pocketrec.export.lean import lean_model, lean_shards, lean_table
    from pocketrec.export.publish import publish

    config, data = run.config, load_cloud(run.folder)
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    model = load_model(run.folder / "train" / "model.keras")
    embeddings = item_embeddings(model)
    categories = None if data.categories is None else (list(data.categories.ids), data.categories.of_row)
    table = lean_table(embeddings, data.counts, config.lean.head, categories)
    shards, window = shards_for(len(sets.users)), config.model.window
    places = data.before.find_all(sets.users)
    latest = [data.before.of(place)[0][-window:] for place in places]
    own, rows = lean_shards(
        list(sets.users), sets.rows, latest, table, embeddings, data.vocabulary.ids, shards, config.lean.shard_items,
        config.export.item_bits,
    )  # fmt: skip
    reserved = max(len(items.ids) for items in own)
    folder, recipe = run.folder / "export" / "lean", _recipe(run)
    if not (folder / "facts.json").exists():
        small = lean_model(model, config.model, table, reserved)
        made = build_tflite(small, config.model, config.export, way=recipe["way"], optimizer=recipe["optimizer"],
                            candidates=config.candidates.k)  # fmt: skip
        made.save(folder, check(made, small, config.seed).to_dict())
    counts = {"head": table.head, "buckets": len(table.labels), "reserved": reserved, "category": config.data.category}
    ids = [*data.vocabulary.ids[: table.head], *table.labels]
    publish(folder, run.folder / "lean", **{
        **common, "items": ids, "candidates": (list(sets.users), rows), "packed": True, "lean": counts,
        "shard_items": own, "shards": shards,
    })  # fmt: skip


def fleet(run: Run) -> None:
    """Evaluate, write ``RUN/metrics.json``, and put the figures into the bundle's model card."""
    from pocketrec.cloud.data.prepared import load_cloud

    metrics = _judge_personal(run) if load_cloud(run.folder).personal else _judge_global(run)
    write_atomic(run.folder / METRICS_FILE, (json.dumps(metrics, indent=1) + "\n").encode("utf-8"))
    _publish(run, metrics)


def _judge_personal(run: Run) -> dict[str, Any]:
    """Every test user's device, in processes."""
    from pocketrec.cloud.candidates import AlsModel, Candidates
    from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary
    from pocketrec.cloud.evaluate import fleet_metrics
    from pocketrec.cloud.fleet import System, device_users, run_fleet
    from pocketrec.cloud.fleet_bench import device_figures

    config, export = run.config, run.folder / "export"
    data, devices = load_cloud(run.folder), load_devices(run.folder)
    als = AlsModel.load(run.folder / "candidates" / "als.npz")
    sets = Candidates.load(run.folder / "candidates" / "candidates.npz")
    users, left_out = device_users(
        data.before, devices.after, devices.learn, sets, als, limit=config.evaluate.users, seed=config.seed
    )
    recipe = _recipe(run)
    files = (export / "model.tflite", export / "item_embeddings.npy")
    systems = [System("global", *files), System("personal", *files, recipe=recipe)]
    bonus = repeats_alone(recipe)
    if bonus is not None:
        systems.append(System("repeats", *files, recipe=bonus, guard=False))
    if config.evaluate.naive:
        folder = export / "naive" if _needs_naive(config, recipe) else export
        naive = {**_recipe_of(config.personalise), "proximal": 0.0, "minimum_events": 1}
        own = (folder / "model.tflite", folder / "item_embeddings.npy")
        systems.append(System("naive", *own, recipe=naive, guard=False))
    if config.evaluate.central:
        central = run.folder / "central"
        own = (central / "model.tflite", central / "item_embeddings.npy")
        systems.append(System("central", *own, recipe=bonus, guard=False))
    with run.progress() as progress:
        run_fleet(
            users, systems, run.folder / "fleet", evaluate=config.evaluate, als_items=als.item_factors,
            neighbours=_neighbours(config, data), left_out=left_out, resources=config.resources, progress=progress,
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
    from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary
    from pocketrec.cloud.evaluate import global_metrics
    from pocketrec.cloud.evaluate_global import sequence_ranks
    from pocketrec.cloud.models import load_model

    config = run.config
    model = load_model(run.folder / "train" / "model.keras")
    with run.progress() as progress:
        ranks = sequence_ranks(
            model, load_devices(run.folder).after, config.model.window, config.evaluate,
            _neighbours(config, load_cloud(run.folder)), progress,
        )  # fmt: skip
    return global_metrics(
        ranks,
        evaluate=config.evaluate,
        window=config.model.window,
        seed=config.seed,
        data=load_summary(run.folder),
        sizes=_sizes(run),
    )


def report(run: Run) -> None:
    """Write ``RUN/report.html``."""
    from pocketrec.cloud.report import write_report

    write_report(run.folder)


# --- what they share --------------------------------------------------------------------------------------------


def rehearsal_parts(config: RunConfig, before: Sequences) -> Any:
    """Events before the earlier cut, those between the cuts, and how many of these each user learns from."""
    from pocketrec.cloud.data.split import rehearsal_split

    per_user, share = config.split.kind == "per_user", config.split.learn_share
    return rehearsal_split(before, config.rehearse.quantile, per_user=per_user, learn_share=share)


def has_rehearsal(config: RunConfig) -> bool:
    """Whether a run rehearses: not where a log has its own split, for then no device learns."""
    return config.rehearse.enabled and config.split.kind != "column"


def _recipe(run: Run) -> dict[str, Any]:
    """The recipe that the bundle ships: the rehearsal's, or the configured one where there was no rehearsal."""
    if has_rehearsal(run.config):
        return read_json(run.folder / RECIPE)
    return _recipe_of(run.config.personalise)


def _recipe_of(config: PersonaliseConfig) -> dict[str, Any]:
    from pocketrec.device.recipe import Recipe

    return Recipe(**dataclasses.asdict(config)).to_dict()


def repeats_alone(recipe: dict[str, Any]) -> dict[str, Any] | None:
    """A recipe with another's bonus for repeats and no training; None where that one has no bonus."""
    from pocketrec.device.recipe import Recipe
    from pocketrec.device.repeats import Repeats

    bonus = Repeats(**recipe["repeats"])
    if not (recipe["personalise"] and bonus.strength):
        return None
    return Recipe(
        way=recipe["way"], optimizer=recipe["optimizer"], passes=0, minimum_events=0, targets="all", repeats=bonus
    ).to_dict()


def _needs_naive(config: RunConfig, recipe: dict[str, Any]) -> bool:
    """Whether naive fine-tuning trains other tensors, or by another optimiser, than the bundle's model."""
    naive = config.personalise
    other = (naive.way, naive.optimizer) != (recipe["way"], recipe["optimizer"])
    return other and config.evaluate.naive and config.split.kind != "column"


def _sizes(run: Run) -> dict[str, float]:
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.evaluate import size_ledger

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


def in_words(recipe: dict[str, Any]) -> str:
    """A recipe in one line."""
    if not recipe["personalise"]:
        return "nothing to gain: devices stay with the global model"
    parts = ["no training"]
    if recipe["passes"]:
        parts = [f"{recipe['way']}, {recipe['optimizer']} {recipe['learning_rate']:g} x {recipe['passes']} passes"]
        parts += [f"pull {recipe['proximal']:g}"] if recipe["proximal"] else []
    bonus = recipe["repeats"]
    if bonus["strength"]:
        forms = {"decay": bonus["decay"] < 1, "power": bonus["power"] > 0, "follows": bonus["follows"] > 0,
                 "time_power": bonus.get("time_power", 0.0) > 0}  # fmt: skip
        form = ", ".join(f"{name} {bonus[name]:g}" for name, shown in forms.items() if shown)
        parts.append(f"bonus for repeats {bonus['strength']:g} ({form})")
    return ", ".join(parts)


def _neighbours(config: RunConfig, data: CloudData) -> ItemNeighbours | None:
    from pocketrec.cloud.neighbours import fit_neighbours

    return fit_neighbours(config.knn, data.before, len(data.vocabulary)) if config.knn.neighbours else None


def use_threads(run: Run) -> None:
    """Give TensorFlow its threads; has an effect before TensorFlow is first used only."""
    threads = str(run.config.resources.threads or os.cpu_count() or 1)
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
