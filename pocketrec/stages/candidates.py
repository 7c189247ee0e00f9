"""Stage candidates: candidate sets, and the ALS factors of the baseline."""

from __future__ import annotations

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.stages.parts import plain


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


CANDIDATES = Stage(
    "candidates",
    "make candidate sets",
    needs=("prepare",),
    depends=lambda c: [c.seed, *plain(c.candidates), c.evaluate.mask_seen, c.resources.engine],
    work=candidates,
    leaves=("candidates/candidates.npz",),
    clears=("candidates",),
    help="make each user's candidate set",
    does="makes K items for each user from events before the cut-off: RUN/candidates",
)
