# SPDX-License-Identifier: Apache-2.0
"""Neighbours of a run: tried in the rehearsal, written by the export, read by the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pocketrec.cloud.base.runs import Run, read_json
from pocketrec.stages.baselines import TUNED
from pocketrec.stages.recipes import has_rehearsal

if TYPE_CHECKING:
    from pocketrec.cloud.data.sequences import Sequences
    from pocketrec.device.contract.neighbours import Neighbours

#: What the rehearsal found: the strength, and what was tried.
CHOSEN: Final = "rehearse/neighbours.json"


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
    strength = float(read_json(run.folder / CHOSEN).get("strength", 0.0)) if has_rehearsal(run.config) else 0.0
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
    found = read_json(run.folder / CHOSEN)
    if not found:
        return "neighbours: not tried"
    tried = {entry["strength"]: entry["mrr@20"] for entry in found["tried"]}
    words = ", ".join(f"{strength:g} {value:.4f}" for strength, value in tried.items())
    taken = f"strength {found['strength']:g}" if found["strength"] else "none, which is as good"
    return f"neighbours: {taken}; MRR@20 of {found['users']:,} users by strength, with the bonus that suits: {words}"


def _path(run: Run) -> Path:
    from pocketrec.device.contract.neighbours import NEIGHBOURS_FILE

    return run.folder / "export" / NEIGHBOURS_FILE
