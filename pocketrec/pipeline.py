"""The stages of a run in their order, with all that each depends on; and what a finished run has to show.

Looking at this table costs nothing: the work itself is in `pocketrec.stages`, the machinery in `pocketrec.cloud.runs`.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketrec.cloud.config import RunConfig
from pocketrec.cloud.runs import METRICS_FILE, Run, Stage, read_json
from pocketrec.device.errors import DataError
from pocketrec.device.files import write_atomic

_MEASURES = ("recall@5", "recall@20", "mrr@20", "ndcg@20")


def _work(name: str) -> Callable[[Run], None]:
    """The function of `pocketrec.stages` with this name, imported when it is called."""

    def work(run: Run) -> None:
        from pocketrec import stages

        function: Callable[[Run], None] = getattr(stages, name)
        function(run)

    return work


def _has_rehearsal(config: RunConfig) -> bool:
    from pocketrec.stages import has_rehearsal

    return has_rehearsal(config)


def _log_identity(config: RunConfig) -> Any:
    """Sizes and times of change of the log's files; nothing for the synthetic one."""
    if config.data.set == "synthetic" and not config.data.path:
        return None
    from pocketrec.cloud.data.location import log_identity

    return log_identity(config.data)


def _plain(*configs: Any) -> list[Any]:
    return [dataclasses.asdict(config) for config in configs]


def _ranking(config: RunConfig) -> list[Any]:
    return [config.evaluate.mask_seen, config.evaluate.ties, config.evaluate.bootstrap]


STAGES: tuple[Stage, ...] = (
    Stage(
        "prepare",
        "read the log, split it at the cut-off",
        needs=(),
        depends=lambda c: [*_plain(c.data, c.split), c.evaluate.mask_seen],
        outside=_log_identity,
        work=_work("prepare"),
        leaves=("data",),
    ),
    Stage(
        "train-early",
        "train to an earlier cut, for the rehearsal",
        needs=("prepare",),
        depends=lambda c: [c.seed, *_plain(c.model, c.train, c.prune), c.evaluate.mask_seen, c.rehearse.quantile],
        work=_work("train_early"),
        leaves=("train/early.keras",),
        clears=("train/early.*",),
        applies=_has_rehearsal,
    ),
    Stage(
        "train",
        "train to the cut-off",
        needs=("prepare",),
        depends=lambda c: [c.seed, *_plain(c.model, c.train, c.prune), c.evaluate.mask_seen],
        work=_work("train_final"),
        leaves=("train/model.keras",),
        clears=("train/model.*",),
    ),
    Stage(
        "candidates",
        "make candidate sets",
        needs=("prepare",),
        depends=lambda c: [c.seed, *_plain(c.candidates), c.evaluate.mask_seen, c.resources.engine],
        work=_work("candidates"),
        leaves=("candidates/candidates.npz",),
        clears=("candidates",),
    ),
    Stage(
        "rehearse",
        "play the future on the past: which recipe should devices follow?",
        needs=("prepare", "train-early"),
        depends=lambda c: [c.seed, *_plain(c.rehearse, c.export), c.candidates.k, *_ranking(c)],
        work=_work("rehearse"),
        leaves=("rehearse/recipe.json", "rehearse/rehearsal.json"),
        clears=("rehearse",),
        applies=_has_rehearsal,
    ),
    Stage(
        "export",
        "write the TensorFlow Lite file, check it on every runtime, write the bundle",
        needs=("train", "candidates", "rehearse"),
        depends=lambda c: [
            *_plain(c.export, c.lean, c.personalise), c.candidates.k, c.evaluate.naive, c.evaluate.mask_seen,
        ],
        work=_work("export"),
        leaves=("export/model.tflite", "bundle", "bundle.zip", "packed", "packed.zip"),
        clears=("export",),
    ),
    Stage(
        "train-central",
        "train on what the devices learn from, too, for comparison only",
        needs=("prepare", "export"),  # after the bundle: nothing later than the cut-off is opened before it exists
        depends=lambda c: [c.seed, *_plain(c.model, c.train, c.prune, c.export, c.personalise), c.evaluate.mask_seen],
        work=_work("train_central"),
        leaves=("central/model.keras", "central/model.tflite"),
        clears=("central",),
        applies=lambda c: c.evaluate.central and c.split.kind != "column",
    ),
    Stage(
        "fleet",
        "evaluate on the later events, through the device code",
        needs=("prepare", "candidates", "export", "train-central"),
        depends=lambda c: [c.seed, *_plain(c.evaluate, c.personalise, c.knn)],
        work=_work("fleet"),
        leaves=(METRICS_FILE,),
        clears=("fleet",),
    ),
    Stage(
        "report",
        "write report.html",
        needs=("fleet",),
        depends=lambda c: None,
        work=_work("report"),
        leaves=("report.html",),
    ),
)
"""In the order of a run."""

TARGETS: dict[str, tuple[str, ...]] = {
    **{stage.name: (stage.name,) for stage in STAGES},
    "train": ("train-early", "train"),
}
"""Subcommand -> the stages that it brings up to date, with all that they need."""

TRAININGS = (*TARGETS["train"], "train-central")
"""What several workers train together: the model for comparison needs a bundle, so it comes after `export`."""


def results(folder: Path) -> str:
    """What a finished run has to show at a terminal: the quality table, what became of the users, where things lie.

    The last line is one JSON document for programs.

    Raises:
        DataError: there is no metrics.json.
    """
    metrics = read_json(folder / METRICS_FILE)
    if not metrics:
        raise DataError(f"no {METRICS_FILE} in {folder}: run `pocketrec fleet` first")
    systems = [name for name in metrics if isinstance(metrics[name], dict) and "mrr@20" in metrics[name]]
    lines = ["", f"{'full ranking':<12}" + "".join(f"{name:>11}" for name in _MEASURES) + "   MRR@20 against global"]
    for name in systems:
        figures = "".join(f"{metrics[name][measure]:>11.4f}" for measure in _MEASURES)
        against = metrics["compare"].get(name, {}).get("mrr@20")
        lines.append(f"{name:<12}{figures}   {_difference(against) if against else ''}".rstrip())
    sampled = [name for name in systems if "sampled_99" in metrics[name]]
    if sampled:
        lines.append(f"{'among 99 sampled':<16}")
        for name in sampled:
            figures = "".join(f"{metrics[name]['sampled_99'][measure]:>11.4f}" for measure in _MEASURES)
            lines.append(f"{name:<12}{figures}")
    users = metrics["users"]
    lines.append("")
    if "personal" in systems:
        lines.append(
            f"{users['evaluated']} users: {users['gained']} gained and {users['harmed']} lost more than .01 of MRR@20 "
            f"from the global model to the personal; {users['kept_global']} devices stayed with the global model"
        )
        lines.append(
            f"{metrics['ceiling']:.1%} of the test items are among what a device offers (candidates and own items), "
            f"{metrics.get('ceiling_candidates', 0):.1%} in the users' candidate sets alone"
        )
    else:
        lines.append(f"{users['evaluated']} sequences, the global model alone (the log has its own split)")
    for name, words in (("repeats", "the bonus for repeats alone"), ("central", "retraining in the cloud")):
        if f"personal_{name}" in metrics["compare"]:
            lines.append(f"personal against {words}: {_difference(metrics['compare'][f'personal_{name}']['mrr@20'])}")
    size = metrics["bytes"]
    lines.append(
        f"a device fetches {size['model'] / 1e6:.2f} MB of model and {size['candidates_per_user'] / 1e3:.1f} kB of "
        f"candidates; the weights in float32 are {size['dense_fp32_model'] / 1e6:.2f} MB"
    )
    lines += ["", f"bundle  {folder / 'bundle'} (and bundle.zip)", f"report  {folder / 'report.html'}"]
    places = {"run": str(folder), "bundle": str(folder / "bundle")}
    lines.append(json.dumps({**places, "metrics": _short(metrics, systems)}))
    return "\n".join(lines)


def _short(metrics: dict[str, Any], systems: list[str]) -> dict[str, Any]:
    """The part of metrics.json that fits a line for programs: measures, differences of MRR@20, users, bytes, times."""
    short: dict[str, Any] = {name: {m: metrics[name][m] for m in _MEASURES} for name in systems}
    short["compare"] = {name: against["mrr@20"] for name, against in metrics["compare"].items() if "mrr@20" in against}
    kept = ("users", "ceiling", "bytes", "device")
    return short | {name: metrics[name] for name in kept if name in metrics}


def _difference(against: dict[str, Any]) -> str:
    low, high, ratio = against["low"], against["high"], against["ratio"]["mean"]
    interval = "-" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
    return f"{against['mean']:+.4f} ({interval}), x {'-' if ratio is None else f'{ratio:.3f}'}"


def write_events(folder: Path, user: str | None, path: Path) -> str:
    """Write the events that a user's device would hold when it learns, as CSV with user, item and timestamp.

    Args:
        folder: the run directory.
        user: id; None = one with a middling number of events to learn from, of those whose device kept what it
            learned where the fleet has run.
        path: the file.

    Returns:
        The user's id.

    Raises:
        DataError: the run has no such user, or none that could learn.
        StorageError: the file cannot be written.
    """
    from pocketrec.cloud.data.prepared import load_cloud, load_devices

    data, devices = load_cloud(folder), load_devices(folder)
    if user is None:
        counts = zip(devices.after.users, devices.learn.tolist(), strict=True)
        learners = {str(name): count for name, count in counts if count}
        if not learners:
            raise DataError(f"no user of {folder} has later events to learn from: name one with --user")
        kept = _kept_personal(folder) & learners.keys() or learners.keys()
        user = sorted(kept, key=lambda name: (learners[name], name))[len(kept) // 2]
    earlier, later = data.before.find(user), devices.after.find(user)
    if earlier is None and later is None:
        raise DataError(f"no user {user!r} in {folder}: mend --user")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("user", "item", "timestamp"))
    for sequences, place, count in ((data.before, earlier, None), (devices.after, later, devices.learn)):
        if place is not None:
            items, times = (column[: None if count is None else count[place]] for column in sequences.of(place))
            for item, moment in zip(items.tolist(), times.tolist(), strict=True):
                writer.writerow((user, data.vocabulary.ids[item - 1], moment))
    write_atomic(path, text.getvalue().encode("utf-8"))
    return user


def _kept_personal(folder: Path) -> set[str]:
    """Ids of the users whose device kept what it learned; none where the fleet has not run."""
    from pocketrec.cloud.evaluate import read_users

    try:
        users = read_users(folder / "fleet")
    except DataError:
        return set()
    return {user["user"] for user in users if user["decision"].get("personal", {}).get("kept") == "personal"}
