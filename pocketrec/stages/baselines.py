# SPDX-License-Identifier: Apache-2.0
"""Stage baselines: what every evaluation compares with, fitted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import Run, Stage, read_json
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.stages.parts import plain, unusual

if TYPE_CHECKING:
    from pocketrec.cloud.baselines.als import Als
    from pocketrec.cloud.baselines.baseline import Past
    from pocketrec.cloud.candidates import AlsModel
    from pocketrec.cloud.data.prepared import CloudData

FOLDER = "baselines"
#: What the search for the options of item-kNN found.
TUNED = f"{FOLDER}/tuned.json"
_UNFINISHED = "unfinished.json"


def baselines(run: Run) -> None:
    """Fit every baseline that is judged, and ALS where candidate sets come from it: ``RUN/baselines``."""
    from pocketrec.cloud.base.runs import write_json
    from pocketrec.cloud.baselines.baseline import Past
    from pocketrec.cloud.baselines.files import save_baseline, save_index
    from pocketrec.cloud.baselines.fitting import fit, judged
    from pocketrec.cloud.data.prepared import load_cloud

    config, data, home = run.config, load_cloud(run.folder), run.folder / FOLDER
    compared = list(judged(config, personal=data.personal))
    for_sets = config.candidates.method == "als" and not config.split.of_sessions
    names = [*compared, *(["als"] if for_sets and "als" not in compared else [])]
    done: dict[str, Any] = read_json(home / _UNFINISHED)  # what an interrupted call has fitted
    for name in names:
        if name in done:
            continue
        if name == "item_knn" and config.baselines.knn.tune and config.baselines.knn.neighbours:
            config = _tuned(run, data)
        with run.progress() as progress:
            past = Past(data.before, len(data.vocabulary), config.seed, config.resources.threads, progress)
            if name == "als" and config.resources.engine == "spark":
                found: Any = _als_on_spark(run, past)
            else:
                found = fit(config, name, past)
        done[name] = None if found is None else save_baseline(home, name, found)
        write_json(home / _UNFINISHED, done)
    fitted = {name: done[name] for name in names if done[name] is not None}
    save_index(home, fitted, [name for name in compared if name in fitted])
    (home / _UNFINISHED).unlink(missing_ok=True)
    run.detail(", ".join(fitted))


def _tuned(run: Run, data: CloudData) -> RunConfig:
    """The configuration with the options of item-kNN that a short search finds, which is told."""
    import dataclasses
    import time

    from pocketrec.cloud.base.runs import write_json
    from pocketrec.cloud.search.neighbours import tune_neighbours
    from pocketrec.device.base.errors import DataError

    config, started = run.config, time.monotonic()
    try:
        with run.progress() as progress:
            tuned = tune_neighbours(config, data, progress)
    except DataError as error:
        run.detail(f"item_knn as configured: {error}")
        return config
    write_json(run.path(TUNED), tuned.to_dict())
    run.detail(f"{tuned.in_words()}, {time.monotonic() - started:.1f} s")
    return dataclasses.replace(config, baselines=dataclasses.replace(config.baselines, knn=tuned.chosen))


def als_of(run: Run) -> AlsModel:
    """The factors of the baseline ALS.

    Raises:
        DataError: a file is missing or damaged.
    """
    from pocketrec.cloud.baselines.files import load_baseline

    fitted: Als = load_baseline(run.folder / FOLDER, "als")  # type: ignore[assignment]
    return fitted.model()


def _als_on_spark(run: Run, past: Past) -> Als:
    from pocketrec.cloud.baselines.als import Als
    from pocketrec.cloud.spark.session import spark_session

    with spark_session(run.config.resources.master) as spark:
        from pocketrec.cloud.spark.candidates import als_on_spark

        return Als.of(als_on_spark(spark, run.config.candidates.als, past.before, past.items, seed=past.seed))


def _als(config: RunConfig) -> list[Any]:
    """What shapes the factors."""
    als, method = config.candidates.als, config.candidates.method
    return [als.factors, als.regularization, als.alpha, als.iterations, method, config.resources.engine]


BASELINES = Stage(
    "baselines",
    "fit the baselines",
    needs=("prepare",),
    depends=lambda c: [c.seed, _als(c), *plain(c.baselines.knn), *unusual(c.baselines.beside_knn),
                       *([c.evaluate.ties] if c.evaluate.ties != EvaluateConfig().ties else [])],  # they judge, too
    work=baselines,
    leaves=(f"{FOLDER}/baselines.json",),
    clears=(FOLDER,),
    keyed=False,  # candidates and fleet name the same tables in their own keys
    help="fit what every evaluation compares with",
    does="fits popularity, ALS, item-kNN and what else [baselines] names to events before the cut-off: RUN/baselines",
)
