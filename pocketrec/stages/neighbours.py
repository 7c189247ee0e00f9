# SPDX-License-Identifier: Apache-2.0
"""Neighbours of a run: tried in the rehearsal, written by the export, read by the fleet.

Stage neighbours tries them where there is no rehearsal, since users never come back (sessions, a log's own split).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.cloud.base.runs import Run, Stage, read_json, write_json
from pocketrec.stages.baselines import TUNED
from pocketrec.stages.parts import plain, ranking, unusual, use_threads
from pocketrec.stages.recipes import has_blending, has_rehearsal, rehearsal_parts
from pocketrec.stages.train import train_early
from pocketrec.stages.warm import models_of

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.device.contract.neighbours import Neighbours

#: What was found, the strength and what was tried: by the rehearsal, and by stage neighbours.
CHOSEN: Final = "rehearse/neighbours.json"
FOLDER: Final = "neighbours"
BLENDED: Final = f"{FOLDER}/neighbours.json"


def neighbours_of(run: Run, events: Sequences, items: int, strength: float = 1.0) -> Neighbours | None:
    """The table of a catalogue of `items`, made of `events`, with the options that item-kNN was tuned to; None where
    ``rehearse.neighbours`` is 0."""
    import dataclasses

    from pocketrec.cloud.baselines.neighbours import fit_neighbours
    from pocketrec.cloud.baselines.shipped import shipped
    from pocketrec.cloud.config.knn import KnnConfig

    if not run.config.rehearse.neighbours:
        return None
    tuned = read_json(run.folder / TUNED).get("chosen")
    options = run.config.baselines.knn if tuned is None else KnnConfig(**tuned)
    kept = dataclasses.replace(options, neighbours=run.config.rehearse.neighbours)
    return shipped(fit_neighbours(kept, events, items), strength)


def ship_neighbours(run: Run) -> int:
    """Write the file for the bundle, where the rehearsal found that it helps: ``RUN/export``; its bytes, else 0."""
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.device.base.files import write_atomic

    path = _path(run)
    path.unlink(missing_ok=True)
    strength = float(_found(run).get("strength", 0.0))
    if not strength:
        return 0
    data = load_cloud(run.folder)
    table = neighbours_of(run, data.before, len(data.vocabulary), strength)
    if table is None:
        return 0
    content = table.to_bytes()
    write_atomic(path, content)
    return len(content)


def neighbours_file(run: Run) -> Path | None:
    """What `ship_neighbours` has written; None where there is nothing."""
    path = _path(run)
    return path if path.exists() else None


def shipped_neighbours(run: Run) -> bytes:
    """The content of the file for the bundle; empty where there is none."""
    path = neighbours_file(run)
    return b"" if path is None else path.read_bytes()


def strength_in_words(run: Run) -> str:
    """One line on what the rehearsal found."""
    found = _found(run)
    if not found.get("tried"):
        return str(found.get("why", "neighbours: not tried"))
    tried = {entry["strength"]: entry["mrr@20"] for entry in found["tried"]}
    words = ", ".join(f"{strength:g} {value:.4f}" for strength, value in tried.items())
    taken = f"strength {found['strength']:g}" if found["strength"] else "none, which is as good"
    who = "users by strength, with the bonus that suits" if has_rehearsal(run.config) else "sessions by strength"
    return f"neighbours: {taken}; MRR@20 of {found['users']:,} {who}: {words}"


def _found(run: Run) -> dict[str, Any]:
    """What was found for the run; empty where neighbours are not tried."""
    if has_rehearsal(run.config):
        return read_json(run.folder / CHOSEN)
    return read_json(run.folder / BLENDED) if has_blending(run.config) else {}


def _path(run: Run) -> Path:
    from pocketrec.device.contract.neighbours import NEIGHBOURS_FILE

    return run.folder / "export" / NEIGHBOURS_FILE


def train_blended(run: Run) -> None:
    """Train to the earlier cut: ``RUN/neighbours/early.keras``. All workers do; the rest is the chief's."""
    train_early(run, FOLDER)


def blend_neighbours(run: Run) -> None:
    """Find how strongly neighbours count on a log whose users never come back: ``RUN/neighbours``."""
    use_threads(run)
    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.cloud.search.blending import blend, is_trainable
    from pocketrec.device.base.errors import DataError

    config, data = run.config, load_cloud(run.folder)
    try:
        earliest, later, _ = rehearsal_parts(config, data.before)
        short = not is_trainable(earliest)  # asked before the other workers are told of a training
    except DataError:
        short = True
    if short:
        why = "neighbours: not tried, for what lies before the cut-off is too short to be cut again"
        write_json(run.path(BLENDED), {"strength": 0.0, "users": 0, "tried": [], "why": why})
        run.detail(why)
        return
    train_blended(run)
    near = neighbours_of(run, earliest, len(data.vocabulary))
    if near is None:  # has_blending says that there are some
        raise RuntimeError("rehearse.neighbours is 0")
    with run.progress() as progress:
        found = blend(load_model(run.folder / FOLDER / "early.keras"), earliest, later, near, config, progress)
    write_json(run.path(BLENDED), found.to_dict())
    run.detail(strength_in_words(run))


NEIGHBOURS = Stage(
    "neighbours",
    "is the network better with item-kNN beside it?",
    needs=("prepare", "baselines"),  # whose options of item-kNN are used
    depends=lambda c: [
        c.seed, *plain(c.model, c.train, c.prune), *ranking(c), c.rehearse.quantile, c.rehearse.neighbours,
        *unusual(c.ranker.trained, c.ranker.first, c.baselines.knn),
    ],
    outside=models_of,
    work=blend_neighbours,
    leaves=(BLENDED,),
    clears=(FOLDER,),
    applies=has_blending,
)
