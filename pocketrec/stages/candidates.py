# SPDX-License-Identifier: Apache-2.0
"""Stage candidates: candidate sets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.device.base.errors import ConfigError
from pocketrec.stages.baselines import als_of
from pocketrec.stages.parts import plain


def candidates(run: Run) -> None:
    """Make candidate sets, where they come from ALS with the factors of the baseline: ``RUN/candidates``."""
    from pocketrec.cloud.candidates import Past, source
    from pocketrec.cloud.candidates.none import no_sets
    from pocketrec.cloud.data.prepared import load_cloud

    config, data = run.config.candidates, load_cloud(run.folder)
    if run.config.split.of_sessions:
        no_sets(len(data.vocabulary), config.k).save(run.path("candidates", "candidates.npz"))
        run.detail("no candidate sets: sessions never come back for theirs, so devices begin with popular items")
        return
    if config.method == "none" and data.cut_off is None and data.personal:
        raise ConfigError("[candidates] method none does not suit a log without a cut-off time: its devices learn from "
                          "their candidate file how many events the model was trained on")  # fmt: skip
    scratch = run.path("candidates", "unfinished.rows")
    with _spark(run) as spark, run.progress() as progress:
        past = Past(
            data.before, len(data.vocabulary), data.vocabulary, seed=run.config.seed,
            threads=run.config.resources.threads, mask_seen=run.config.evaluate.mask_seen, scratch=scratch, spark=spark,
            model=run.folder / "train" / "model.keras" if "train" in config.needs() else None,
            window=run.config.model.window,
            als=als_of(run) if config.method == "als" else None, progress=progress, say=run.detail,
        )  # fmt: skip
        sets = source(config.method, spark=spark is not None).build(config.options, config.k, past)
    sets.save(run.path("candidates", "candidates.npz"))
    scratch.unlink(missing_ok=True)
    run.detail("no candidate sets: devices search the whole catalogue by themselves" if config.method == "none" else
               f"{config.method}: {sets.in_words()}")  # fmt: skip


@contextlib.contextmanager
def _spark(run: Run) -> Iterator[Any]:
    """The Spark session, where the run's engine is Spark and the source works there; None elsewhere."""
    if run.config.resources.engine != "spark" or not run.config.candidates.has_spark():
        yield None
        return
    from pocketrec.cloud.spark.session import spark_session

    with spark_session(run.config.resources.master) as spark:
        yield spark


CANDIDATES = Stage(
    "candidates",
    "make candidate sets",
    needs=("prepare", "baselines"),
    depends=lambda c: [c.seed, *plain(c.candidates), c.evaluate.mask_seen, c.resources.engine],
    also_needs=lambda c: c.candidates.needs(),
    outside=lambda c: c.candidates.outside(),
    work=candidates,
    leaves=("candidates/candidates.npz",),
    clears=("candidates",),
    help="make each user's candidate set",
    does="makes K items for each user from events before the cut-off: RUN/candidates",
)
