"""Stage candidates: candidate sets."""

from __future__ import annotations

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.stages.baselines import als_of
from pocketrec.stages.parts import plain


def candidates(run: Run) -> None:
    """Make candidate sets, where they come from ALS with the factors of the baseline: ``RUN/candidates``."""
    from pocketrec.cloud.candidates import build
    from pocketrec.cloud.data.prepared import load_cloud

    config, data = run.config.candidates, load_cloud(run.folder)
    items, threads = len(data.vocabulary), run.config.resources.threads
    mask_seen = run.config.evaluate.mask_seen
    als = als_of(run) if config.method == "als" else None
    if als is not None and run.config.resources.engine == "spark":
        from pocketrec.cloud.spark.session import spark_session

        with spark_session(run.config.resources.master) as spark:
            from pocketrec.cloud.spark.candidates import als_sets

            sets = als_sets(spark, config, data.before, als, mask_seen=mask_seen)
        sets.save(run.path("candidates", "candidates.npz"))
    else:
        unfinished = run.path("candidates", "unfinished.rows")
        with run.progress() as progress:
            sets = build(
                config, data.before, items, seed=run.config.seed, threads=threads, mask_seen=mask_seen, als=als,
                unfinished=unfinished, progress=progress,
            )  # fmt: skip
        sets.save(run.path("candidates", "candidates.npz"))
        unfinished.unlink(missing_ok=True)
    run.detail(f"{config.method}: {sets.in_words()}")


CANDIDATES = Stage(
    "candidates",
    "make candidate sets",
    needs=("prepare", "baselines"),
    depends=lambda c: [c.seed, *plain(c.candidates), c.evaluate.mask_seen, c.resources.engine],
    work=candidates,
    leaves=("candidates/candidates.npz",),
    clears=("candidates",),
    help="make each user's candidate set",
    does="makes K items for each user from events before the cut-off: RUN/candidates",
)
