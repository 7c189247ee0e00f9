# SPDX-License-Identifier: Apache-2.0
"""Many users through the very same device code, in processes, and every system ranked on the same test positions.

For a test event the context is the latest `window` known events before it, earlier test events included; nothing is
trained on test events. Items outside the vocabulary are in no context and are no target. Every system ranks the whole
catalogue, and apart from that what the user's device offers (candidates, and own items where they are not masked):
there a target outside is a miss.

This module knows nothing about how models were trained; `pocketrec.cloud.evaluation.evaluate` turns ranks into figures.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.fingerprint import fingerprint
from pocketrec.cloud.base.processes import run_jobs
from pocketrec.cloud.base.progress import Progress, no_progress
from pocketrec.cloud.base.runs import write_json
from pocketrec.cloud.baselines.baseline import Baseline, popularity_scores
from pocketrec.cloud.baselines.files import load_baselines
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.config.ranker import INNER_PRODUCT, RankerConfig
from pocketrec.cloud.config.resources import ResourceConfig
from pocketrec.cloud.fleet.device import (
    DeviceUser,
    ScoresOf,
    Settings,
    SimulatedDevice,
    first_list,
    found_by,
    is_offered,
    known_positions,
    system_ranks,
)
from pocketrec.cloud.fleet.files import FLEET_FILE, USERS_FILE
from pocketrec.cloud.fleet.second import Finds
from pocketrec.device.base.memory import peak_resident_mb
from pocketrec.device.contract.neighbours import Neighbours
from pocketrec.device.contract.recipe import GuardRecipe, Recipe
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.engine.runtime import choose_runtime
from pocketrec.device.personal.guard import GLOBAL, Decision
from pocketrec.device.personal.item_rows import NONE, ItemRows

if TYPE_CHECKING:
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.sequences import Sequences

_LINES: Final = 2  # changes with the figures that a line of users.jsonl holds
_SHOWN: Final = ("global", "personal", "item_knn")  # systems whose first list is kept, for examples
_EXAMPLE: Final = 5  # items of such a list, and of the history beside it


@dataclass(frozen=True)
class System:
    """One way to serve a user through the device code."""

    name: str
    """global, personal, naive, central (a retrained model), or any other name."""
    model: Path
    """The .tflite file."""
    item_embeddings: Path
    """[N+1, E] float32 .npy: the item table as it is in the file (dequantised)."""
    recipe: Mapping[str, Any] | None = None
    """recipe.json as a dict; None: the weights as exported, no training."""
    guard: bool = True
    """False: what was trained is always used (naive fine-tuning)."""
    ranker: RankerConfig = INNER_PRODUCT
    """How its embeddings become scores."""
    neighbours: Path | None = None
    """`NEIGHBOURS_FILE` of the bundle; None = the network alone."""
    retrieve: int = 0
    """Items that devices find in the whole catalogue, as the first system says for all; 0 = they rank candidates."""
    pushed: bool = False
    """Push mode (C3DRec): the user embedding goes up, and a server scores the whole catalogue by it, without what needs
    the history: no neighbours, no bonus for repeats. What is seen is masked on the device."""
    second: Path | None = None
    """The ranker of the second stage in the file (.npz), in whose order devices show what they have found; None = the
    file has none."""


def device_users(
    before: Sequences, after: Sequences, learn: NDArray[np.int64], candidates: Candidates | None = None, *,
    limit: int = 0, seed: int = 1,
) -> tuple[list[DeviceUser], dict[str, int]]:
    """The users that have events to learn from and a test.

    Args:
        before: events before the cut-off.
        after: later events.
        learn: int64 (len(after),), how many first events of each user of `after` the device learns from.
        candidates: candidate sets; None = none.
        limit: size of a seeded sample of the users; 0 = all.
        seed: of that sample.

    Returns:
        The users in the order of their ids; and how many were left out, by reason.
    """
    tested = [bool((after.of(place)[0][learn[place] :] > 0).any()) for place in range(len(after))]
    fit = np.flatnonzero((learn > 0) & np.array(tested, dtype=bool))
    left_out = {"users": len(after) - len(fit), "users_not_sampled": 0}
    if 0 < limit < len(fit):
        left_out["users_not_sampled"] = len(fit) - limit
        fit = np.sort(np.random.default_rng(seed).choice(fit, limit, replace=False))
    users = []
    for place in fit:
        name = after.users[place]
        events, times = after.of(place)
        earlier = before.find(name)
        past, past_times = (events[:0], times[:0]) if earlier is None else before.of(earlier)
        users.append(DeviceUser(
            name, past, events[: learn[place]], events[learn[place]:],
            np.zeros(0, np.int32) if candidates is None else candidates.of(name),
            np.concatenate([past_times, times]).astype(np.float64),
        ))  # fmt: skip
    return users, left_out


def run_fleet(
    users: Sequence[DeviceUser],
    systems: Sequence[System],
    folder: Path,
    *,
    evaluate: EvaluateConfig,
    baselines: Path | None = None,
    left_out: Mapping[str, int] | None = None,
    resources: ResourceConfig | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Evaluate every user; a run that was killed resumes where it was.

    Args:
        users: what `device_users` gives.
        systems: ``global`` first, then ``personal`` and whatever else is compared.
        folder: gets users.jsonl (one line a user) and fleet.json.
        evaluate: ties and mask.
        baselines: folder of fitted baselines (`pocketrec.cloud.baselines.files`), each ranked as one more system;
            None = no baseline.
        left_out: what `device_users` gives, for the record.
        resources: processes and runtime; changes no figure.
        progress: called after every user.

    Returns:
        The content of fleet.json.

    Raises:
        PocketRecError: a model cannot be used, or a process died.
        StorageError: a file cannot be written.
    """
    resources = resources or ResourceConfig()
    runtime = choose_runtime(resources.runtime)
    settings = Settings(evaluate.ties, evaluate.mask_seen, runtime, systems[0].retrieve)
    folder.mkdir(parents=True, exist_ok=True)
    key = _fingerprint(users, systems, settings, load_baselines(baselines) if baselines else {})
    lines = run_jobs(
        {user.user: user for user in users}, _work, folder / USERS_FILE, key,
        start=_start, arguments=(tuple(systems), settings, baselines), processes=resources.processes, progress=progress,
    )  # fmt: skip
    entries = list(lines.values())
    times = {
        name: _percentiles([entry["ms"][name] for entry in entries if name in entry["ms"]])
        for name in ("train", "embed", "infer")
    }
    shared = _shape(systems[0], users)
    shared |= {"candidates": settings.retrieve} if settings.retrieve else {}
    result = {
        "format": 1, "systems": [system.name for system in systems], **shared,
        "window": entries[0]["window"] if entries else 0,
        "skipped": {**(left_out or {}), "unknown_targets": sum(e["unknown"] for e in entries),
                    "empty_contexts": sum(e["empty"] for e in entries)},
        "infer_difference": max((e["infer_difference"] for e in entries), default=0.0),
        "device": {"runtime": runtime, **{f"{name}_ms_{key}": value for name, entry in times.items()
                                          for key, value in entry.items()},
                   "peak_rss_mb": max((e["rss_mb"] for e in entries), default=0.0)},
    }  # fmt: skip
    write_json(folder / FLEET_FILE, result)
    return result


def evaluate_user(user: DeviceUser, systems: Sequence[System], devices: Mapping[str, SimulatedDevice],
                  baselines: Mapping[str, Baseline], settings: Settings) -> dict[str, Any]:
    """Serve one user by every system; the line of users.jsonl."""
    full: dict[str, NDArray[np.float64]] = {}
    staged: dict[str, NDArray[np.float64]] = {}
    within: dict[str, NDArray[np.float64]] = {}
    decisions: dict[str, Any] = {}
    shown: dict[str, list[int]] = {}
    untrained: dict[tuple[str, Repeats], str] = {}  # device and bonus -> a system that was served with global weights
    at_start: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}  # device -> embeddings by global weights
    difference = 0.0
    for system in systems:
        key, repeats, item_rows = _device_key(system), Repeats(), NONE
        device = devices[key]
        if system.recipe is None:
            device.model.import_weights(device.reference)
            as_it_is = True
        else:
            recipe = Recipe.from_dict(system.recipe)
            if not system.guard:
                recipe = _without_guard(recipe)
            decision = device.personalise(user, recipe)
            as_it_is = decision.choice == GLOBAL or not recipe.passes
            repeats = Repeats() if system.pushed else recipe.repeats.times(decision.share)
            item_rows = NONE if system.pushed else device.item_rows
            decisions[system.name] = _decision(decision)
        twin = untrained.get((key, repeats)) if as_it_is and not len(item_rows.rows) else None
        if twin is not None:
            full[system.name], within[system.name] = full[twin], full[twin] if system.pushed else within[twin]
            staged |= {system.name: staged[twin]} if twin in staged and not system.pushed else {}
            shown |= {system.name: shown[twin]} if system.name in _SHOWN and twin in shown else {}
            continue
        if as_it_is and not len(item_rows.rows):
            untrained[key, repeats] = system.name
        known = at_start.get(key) if as_it_is else None
        embedded, filled = known or device.embeddings(user)
        if as_it_is:
            at_start[key] = embedded, filled
        scores = _system_scores(user, device, embedded, filled, repeats, item_rows)
        raised = repeats != Repeats() or len(item_rows.rows)
        plain = _system_scores(user, device, embedded, filled, Repeats()) if raised else None
        full[system.name], within[system.name] = system_ranks(user, scores, len(device.table), settings, plain)
        if system.pushed:  # a server has no candidate set
            within[system.name] = full[system.name]
        elif device.second is not None:
            finds = found_by(user, settings, device.neighbours)
            both = _system_scores(user, device, embedded, filled, repeats, finds=finds)
            _, staged[system.name] = system_ranks(user, both, len(device.table), settings, plain or scores)
        shown |= {system.name: first_list(user, scores, settings, _EXAMPLE)} if system.name in _SHOWN else {}
        if known is None:
            difference = max(difference, device.infer_difference(user))
    for name, baseline in baselines.items():
        scores = _baseline_scores(user, baseline)
        full[name], within[name] = system_ranks(user, scores, len(device.table), settings)
        shown |= {name: first_list(user, scores, settings, _EXAMPLE)} if name in _SHOWN else {}
    rows, places = known_positions(user)
    targets = user.test[user.test > 0]
    timed = devices[_device_key(next((s for s in systems if s.name == "personal"), systems[0]))]
    times = {name: values[-1] for name, values in timed.milliseconds.items() if values}
    return {
        "user": user.user, "old": len(user.before) > 0, "before": len(user.before), "learn": len(user.learn),
        "test": len(targets), "unknown": int((user.test == 0).sum()), "empty": int((places == 0).sum()),
        **_ceilings(user, settings, full, within), "decision": decisions,
        "ranks": {name: _plain(rank) for name, rank in full.items()},
        "within": {name: _plain(rank) for name, rank in within.items()},
        **({"two_stages": {name: _plain(rank) for name, rank in staged.items()}} if staged else {}),
        "example": {"had": rows[: places[0]][: -_EXAMPLE - 1 : -1].tolist(), "next": int(rows[places[0]]), **shown},
        "ms": {name: round(value, 4) for name, value in times.items()}, "rss_mb": round(peak_resident_mb(), 1),
        "infer_difference": difference, "window": timed.model.window,
    }  # fmt: skip


@dataclass(frozen=True)
class _Process:
    """What one process of the fleet holds."""

    systems: tuple[System, ...]
    settings: Settings
    devices: dict[str, SimulatedDevice]
    baselines: dict[str, Baseline]
    """With arrays that all processes map from the same files."""


_process: _Process | None = None


def _start(systems: tuple[System, ...], settings: Settings, baselines: Path | None) -> None:
    global _process
    devices: dict[str, SimulatedDevice] = {}
    for system in systems:
        key = _device_key(system)
        if key not in devices:
            devices[key] = SimulatedDevice(system.model, system.item_embeddings, settings.runtime, system.ranker,
                                           _neighbours(system), system.second)  # fmt: skip
    _process = _Process(systems, settings, devices, load_baselines(baselines) if baselines else {})


def _work(user: DeviceUser) -> dict[str, Any]:
    if _process is None:
        raise RuntimeError("the process was not started by run_fleet")
    return evaluate_user(user, _process.systems, _process.devices, _process.baselines, _process.settings)


def _device_key(system: System) -> str:
    return f"{system.model}\n{system.item_embeddings}\n{system.neighbours or ''}"


def _neighbours(system: System) -> Neighbours | None:
    if system.neighbours is None:
        return None
    items = len(np.load(system.item_embeddings, mmap_mode="r")) - 1
    return Neighbours.from_bytes(system.neighbours.read_bytes(), items)


def _system_scores(
    user: DeviceUser, device: SimulatedDevice, embedded: NDArray[np.float32], filled: NDArray[np.bool_],
    repeats: Repeats, item_rows: ItemRows = NONE, finds: Finds | None = None,
) -> ScoresOf:
    """Scores of a system under the weights that `embedded` was made with; popularity where nothing is known.

    With `finds` they are those of both stages, under the weights that the device has now.
    """
    rows, places = known_positions(user)
    popular = popularity_scores(len(device.table))

    def scores(part: slice) -> NDArray[np.float32]:
        raised = device.scores_at(embedded[part], rows, places[part], repeats, user.known_times, finds)  # (p, N + 1)
        if len(item_rows.rows):
            item_rows.add_to_catalogue(raised, embedded[part])
        return np.where(filled[part, None], raised, popular)

    return scores


def _baseline_scores(user: DeviceUser, baseline: Baseline) -> ScoresOf:
    rows, places = known_positions(user)
    return lambda part: baseline.many([rows[:place] for place in places[part]], [user.user] * len(places[part]))


def _without_guard(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, guard=GuardRecipe(enabled=False))


def _ceilings(
    user: DeviceUser, settings: Settings, full: Mapping[str, NDArray[np.float64]],
    within: Mapping[str, NDArray[np.float64]],
) -> dict[str, int]:
    """Test events whose item the device offers, and those that the candidates alone have. Of a device that searches the
    catalogue: what the personal model offers, and what is among the K best items of the global one."""
    if settings.retrieve:
        served = within.get("personal", within["global"])
        found = {"ceiling": np.isfinite(served), "ceiling_candidates": full["global"] <= settings.retrieve}
    else:
        targets = user.test[user.test > 0]
        found = {"ceiling": is_offered(user, settings), "ceiling_candidates": np.isin(targets, user.candidates)}
    return {name: int(values.sum()) for name, values in found.items()}


def _decision(decision: Decision) -> dict[str, Any]:
    seen = decision.judgement
    entry: dict[str, Any] = {"kept": decision.choice, "reason": decision.reason, "posterior": decision.posterior}
    if seen is not None:
        entry |= {"heldback": seen.heldback, "observed": {c: dataclasses.asdict(o) for c, o in seen.observed.items()}}
    return entry


def _plain(rank: NDArray[np.float64]) -> list[float | int | None]:
    """JSON has no infinity: a miss is null."""
    return [None if np.isinf(r) else int(r) if r == int(r) else float(r) for r in rank.tolist()]


def _percentiles(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None}
    return {f"p{p}": round(float(np.percentile(values, p)), 4) for p in (50, 95)}


def _shape(system: System, users: Sequence[DeviceUser]) -> dict[str, int]:
    rows, size = np.load(system.item_embeddings, mmap_mode="r").shape
    widest = max((len(user.candidates) for user in users), default=0)
    return {"items": rows - 1, "embedding": size, "candidates": widest}


def _fingerprint(
    users: Sequence[DeviceUser], systems: Sequence[System], settings: Settings, baselines: Mapping[str, Baseline]
) -> str:
    """Changes with all that a figure depends on."""
    fitted = {name: baseline.arrays() for name, baseline in baselines.items()}
    plain = {
        "lines": _LINES,
        "settings": {k: v for k, v in dataclasses.asdict(settings).items() if k != "retrieve" or v},  # as before
        "users": [user.user for user in users],
        "systems": [[system.name, system.recipe, system.guard, dataclasses.asdict(system.ranker),
                     *(["pushed"] if system.pushed else [])] for system in systems],
        "baselines": {name: list(arrays) for name, arrays in fitted.items()},
    }  # fmt: skip
    own = [(one.model, one.item_embeddings, *([one.neighbours] if one.neighbours else [])) for one in systems]
    files = itertools.chain(*own, (one.second for one in systems if one.second is not None))
    rows = itertools.chain.from_iterable(
        (user.before, user.learn, user.test, user.candidates, user.times) for user in users
    )
    learned = itertools.chain.from_iterable(arrays.values() for arrays in fitted.values())
    return fingerprint(plain, itertools.chain(files, rows, learned))
