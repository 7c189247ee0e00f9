"""Stage candidates: candidate sets, and the ALS factors of the baseline."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.stages.parts import plain

if TYPE_CHECKING:
    from pocketrec.cloud.candidates import Candidates, Past


def candidates(run: Run) -> None:
    """Make candidate sets and the ALS factors of the baseline: ``RUN/candidates``."""
    from pocketrec.cloud.candidates import Past, source
    from pocketrec.cloud.data.prepared import load_cloud

    config, data = run.config.candidates, load_cloud(run.folder)
    scratch = run.path("candidates", "unfinished.rows")
    past = Past(
        data.before, len(data.vocabulary), data.vocabulary, seed=run.config.seed, threads=run.config.resources.threads,
        mask_seen=run.config.evaluate.mask_seen, scratch=scratch, say=run.detail,
        model=run.folder / "train" / "model.keras" if "train" in config.needs() else None,
    )  # fmt: skip
    with _spark(run) as spark:
        past = dataclasses.replace(past, spark=spark)
        sets = None
        if data.personal or config.method == "als":  # the baseline needs factors whatever the candidates come from
            sets, past = _with_als(run, past)
        if sets is None:
            with run.progress() as progress:
                made = source(config.method, spark=spark is not None)
                sets = made.build(config.options, config.k, dataclasses.replace(past, progress=progress))
    sets.save(run.path("candidates", "candidates.npz"))
    scratch.unlink(missing_ok=True)
    run.detail(f"{config.method}: {sets.in_words()}")


def _with_als(run: Run, past: Past) -> tuple[Candidates | None, Past]:
    """The past with the fitted ALS; and, where Spark has ranked with it, the sets."""
    from pocketrec.cloud.candidates import AlsModel, fit_als

    config = run.config.candidates
    factors, sets = run.path("candidates", "als.npz"), None
    if past.spark is not None:
        from pocketrec.cloud.spark.candidates import als_candidates

        als, made = als_candidates(past.spark, config.als, config.k, past)
        sets = made if config.method == "als" else None
    elif factors.exists():  # an interrupted call came so far
        als = AlsModel.load(factors)
    else:
        with run.progress() as progress:
            als = fit_als(config.als, past.before, past.items, past.seed, past.threads, progress)
    als.save(factors)
    return sets, dataclasses.replace(past, als=als)


@contextlib.contextmanager
def _spark(run: Run) -> Iterator[Any]:
    """The Spark session, where the run's engine is Spark; None elsewhere."""
    if run.config.resources.engine != "spark":
        yield None
        return
    from pocketrec.cloud.spark.session import spark_session

    with spark_session(run.config.resources.master) as spark:
        yield spark


CANDIDATES = Stage(
    "candidates",
    "make candidate sets",
    needs=("prepare",),
    depends=lambda c: [c.seed, *plain(c.candidates), c.evaluate.mask_seen, c.resources.engine],
    also_needs=lambda c: c.candidates.needs(),
    outside=lambda c: c.candidates.outside(),
    work=candidates,
    leaves=("candidates/candidates.npz",),
    clears=("candidates",),
    help="make each user's candidate set",
    does="makes K items for each user from events before the cut-off: RUN/candidates",
)
