# SPDX-License-Identifier: Apache-2.0
"""Neighbours and bonus for repeats of a log: rehearsed users are looked at once, by the device's own code, then both
are fitted.

Devices are not trained for it, so that many more users can be asked than for the screening: what the early model makes
of their test positions is computed in processes without TensorFlow, all else is arithmetic on that.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.processes import run_jobs
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.base.runs import write_json
from pocketrec.cloud.config.rehearse import RehearseConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.data.clock import clock_of
from pocketrec.cloud.fleet.device import DeviceUser, SimulatedDevice, known_positions
from pocketrec.cloud.fleet.fleet import device_users
from pocketrec.cloud.fleet.second import SecondStage, by_search
from pocketrec.cloud.rankers import make_ranker
from pocketrec.cloud.rehearsal.bonus import Fitted, fit_bonus
from pocketrec.cloud.rehearsal.job import RehearseJob
from pocketrec.cloud.rehearsal.neighbouring import add_rows, choose_strength, raised
from pocketrec.cloud.rehearsal.positions import Positions, observe
from pocketrec.cloud.rehearsal.trials import POSITIONS, Variant, spread
from pocketrec.device.contract.neighbours import Neighbours
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.engine.runtime import choose_runtime

BONUS_FILE: Final = "bonus.json"
NEIGHBOURS_FILE: Final = "neighbours.json"
_LOOKS: Final = "looks.jsonl"
_TIMED_POWER: Final = 0.5  # of the events since, where the bonus for repeats looks at times


def bonuses_of(config: RehearseConfig, clock: bool) -> set[Repeats]:
    """Each bonus of the configuration, that of strength 0 too where it is named."""
    forms = [Repeats(1.0, decay) for decay in config.decays]
    forms += [Repeats(1.0, 1.0, *form) for form in itertools.product(config.powers, config.follows)]
    if clock:
        timed = itertools.product([_TIMED_POWER], config.follows, config.time_powers)
        forms += [Repeats(1.0, 1.0, *form) for form in timed]
    return {form.times(strength) if strength else Repeats() for strength, form in
            itertools.product(config.repeats, forms)}  # fmt: skip


def fitted_neighbours(
    job: RehearseJob, folder: Path, *, resources: ResourceConfig, progress: Progress = no_progress
) -> Neighbours | None:
    """Choose how strongly the neighbours count, and write what was tried into `NEIGHBOURS_FILE` of the folder.

    Returns:
        The job's neighbours with that strength; None where they do not help, or there are none to try.

    Raises:
        PocketRecError: a model cannot be used, or a process died.
        StorageError: a file cannot be written.
    """
    (folder / NEIGHBOURS_FILE).unlink(missing_ok=True)
    if job.neighbours is None:
        return None
    users, _ = device_users(job.earliest, job.later, job.learn, limit=job.config.fit_users, seed=job.seed)
    if len(users) < 2:
        return None
    mask, variant = job.evaluate.mask_seen, _plainest(job)
    network = _scores(users, dataclasses.replace(variant, neighbours=None), folder, resources, progress)

    def scores_of(index: int) -> NDArray[np.float32]:
        scores = network(index)
        if mask:
            rows, _ = known_positions(users[index])
            for row, place in zip(scores, _places(users[index]), strict=True):
                row[rows[:place]] = -np.inf
        return scores

    clock = clock_of(job.earliest).periods and bool(job.config.time_powers)
    bonuses = [] if mask else [bonus for bonus in bonuses_of(job.config, clock) if bonus.strength]
    found = choose_strength(
        users, [_places(user) for user in users], scores_of, job.neighbours,
        sorted(bonuses, key=dataclasses.astuple), job.evaluate.ties, progress,
    )  # fmt: skip
    write_json(folder / NEIGHBOURS_FILE, found.to_dict())
    return job.neighbours.times(found.strength) if found.strength else None


def fitted_bonus(
    job: RehearseJob, folder: Path, *, resources: ResourceConfig, progress: Progress = no_progress
) -> Repeats | None:
    """Fit the bonus, and write what was tried into `BONUS_FILE` of the folder.

    Returns:
        The bonus, of strength 0 where none gains anything; None where none is to be fitted: seen items are masked, the
        configuration names no strength or says so, or nobody can be rehearsed.

    Raises:
        PocketRecError: a model cannot be used, or a process died.
        StorageError: a file cannot be written.
    """
    config = job.config
    (folder / BONUS_FILE).unlink(missing_ok=True)
    if not config.fit or job.evaluate.mask_seen or not any(config.repeats):
        return None
    users, _ = device_users(job.earliest, job.later, job.learn, limit=config.fit_users, seed=job.seed)
    if len(users) < 2:
        return None
    clock = clock_of(job.earliest).periods and bool(config.time_powers)
    positions = _look(users, _plainest(job), job.evaluate.ties, folder, resources, progress)
    lengths = [len(user.history) for user in users]
    beginnings = [bonus for bonus in bonuses_of(config, clock) if bonus.strength]
    found = fit_bonus(
        positions.gains, len(users), aim=config.harm, length=float(np.log1p(lengths).mean()),
        beginnings=sorted(beginnings, key=dataclasses.astuple), clock=clock, seed=job.seed, progress=progress,
    )  # fmt: skip
    write_json(folder / BONUS_FILE, _report(found, positions, config.harm))
    return found.chosen.repeats if found.chosen.judged.mean() > 0 else Repeats()


def _report(found: Fitted, positions: Positions, aim: float) -> dict[str, Any]:
    return {
        "aim": aim, "users": positions.users, "positions": len(positions.user),
        "global": {"mrr@20": float(positions.plain.mean())}, "price": found.chosen.price,
        "tried": [one.to_dict(aim) for one in found.tried],
    }  # fmt: skip


def _look(
    users: list[DeviceUser], variant: Variant, ties: str, folder: Path, resources: ResourceConfig, progress: Progress
) -> Positions:
    """The test positions of users under the global weights."""
    scores_of = _scores(users, variant, folder, resources, progress)
    return observe(users, [_places(user) for user in users], scores_of, ties)


def _plainest(job: RehearseJob) -> Variant:
    return next(variant for _, variant in sorted(job.variants.items()))


def _scores(
    users: list[DeviceUser], variant: Variant, folder: Path, resources: ResourceConfig, progress: Progress
) -> Callable[[int], NDArray[np.float32]]:
    """Index of a user -> scores of all items at the judged positions, under the global weights."""
    runtime = choose_runtime(resources.runtime)
    rows = itertools.chain.from_iterable((user.before, user.learn, user.test, user.times) for user in users)
    plain = {"positions": POSITIONS, "runtime": runtime, "ranker": dataclasses.asdict(variant.ranker)}
    lines = run_jobs(
        {user.user: user for user in users}, _embed, folder / _LOOKS,
        fingerprint(plain, itertools.chain([variant.model, variant.item_embeddings], rows)),
        start=_start, arguments=(variant, runtime), processes=resources.processes,
        progress=lambda done, total, note="": progress(done, total, "users looked at"),
    )  # fmt: skip
    table: NDArray[np.float32] = np.load(variant.item_embeddings, mmap_mode="r")  # (N + 1, E)
    ranker, second = make_ranker(variant.ranker), SecondStage.load(variant.second)

    def scores_of(index: int) -> NDArray[np.float32]:
        coded = base64.b64decode(lines[users[index].user]["embedding"])
        embedded = np.frombuffer(coded, "<f4").reshape(-1, table.shape[1])  # (P, E)
        scores: NDArray[np.float32] = ranker.scores(embedded, table)
        places = _places(users[index])
        if second is not None:
            rows, _ = known_positions(users[index])
            finds = by_search(second.found, variant.neighbours)
            second.reorder(scores, embedded, table, [rows[:place] for place in places], finds)
        if variant.neighbours is not None:
            add_rows(scores, raised(variant.neighbours, users[index], places))
        return scores

    return scores_of


def _places(user: DeviceUser) -> NDArray[np.int64]:
    """The test positions that are judged, as the screening has them."""
    _, places = known_positions(user)
    chosen: NDArray[np.int64] = places[spread(len(places), POSITIONS)]
    return chosen


_device: SimulatedDevice | None = None


def _start(variant: Variant, runtime: str) -> None:
    global _device
    _device = SimulatedDevice(variant.model, variant.item_embeddings, runtime, variant.ranker)
    _device.model.import_weights(_device.reference)


def _embed(user: DeviceUser) -> dict[str, Any]:
    if _device is None:
        raise RuntimeError("the process was not started by fitted_bonus")
    embedded = _device.embed_at(known_positions(user)[0], _places(user)).astype("<f4")  # (P, E)
    return {"embedding": base64.b64encode(embedded.tobytes()).decode("ascii")}
