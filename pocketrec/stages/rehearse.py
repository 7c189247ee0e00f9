"""Stage rehearse: the devices' recipe, chosen on the earlier cut."""

from __future__ import annotations

from pocketrec.cloud.base.runs import Run, Stage
from pocketrec.stages.models import export_model
from pocketrec.stages.parts import plain, ranking, unusual, use_threads
from pocketrec.stages.recipes import has_rehearsal, in_words, rehearsal_parts


def rehearse(run: Run) -> None:
    """Choose the devices' recipe on the earlier cut: ``RUN/rehearse``."""
    use_threads(run)
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.rehearsal.rehearse import RehearseJob, Variant, rehearse

    config = run.config.rehearse
    earliest, later, learn = rehearsal_parts(run.config, load_cloud(run.folder).before)
    variants = {}
    for way in config.ways:
        for optimizer in config.optimizers:
            folder = run.path("rehearse", "models", f"{way}-{optimizer}")
            if not (folder / "model.tflite").exists():
                export_model(run, "train/early", folder, way, optimizer, gate=False)
            variants[way, optimizer] = Variant(
                folder / "model.tflite", folder / "item_embeddings.npy", run.config.ranker
            )
    with run.progress() as progress:
        job = RehearseJob(earliest, later, learn, variants, config, run.config.evaluate, seed=run.config.seed)
        recipe = rehearse(job, run.folder / "rehearse", resources=run.config.resources, progress=progress)
    run.detail(in_words(recipe))


REHEARSE = Stage(
    "rehearse",
    "play the future on the past: which recipe should devices follow?",
    needs=("prepare", "train-early"),
    depends=lambda c: [c.seed, *plain(c.rehearse, c.export), c.candidates.k, *ranking(c), *unusual(c.ranker)],
    work=rehearse,
    leaves=("rehearse/recipe.json", "rehearse/rehearsal.json"),
    clears=("rehearse",),
    applies=has_rehearsal,
    help="choose the devices' recipe before the cut-off",
    does="tries the grid of recipes on a second, earlier cut, through the device's own code: RUN/rehearse",
)
