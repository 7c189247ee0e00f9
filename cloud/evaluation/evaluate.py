# SPDX-License-Identifier: Apache-2.0
"""From ranks to metrics.json: quality of every system on the same test positions, by group, with intervals.

The names in metrics.json are documented in docs/metrics.md and stay as they are. This module knows nothing about how
a user was served; it reads the ranks that `pocketrec.cloud.fleet.fleet` left, or takes them from the Keras model where
a log has no personal training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.processes import read_lines
from pocketrec.cloud.config.evaluate import EvaluateConfig
from pocketrec.cloud.evaluation.systems import in_order
from pocketrec.cloud.evaluation.verdict import verdict
from pocketrec.cloud.evaluation.worth import worth
from pocketrec.cloud.fleet.files import FLEET_FILE, USERS_FILE
from pocketrec.cloud.metrics import metrics
from pocketrec.cloud.metrics.sampled import NEGATIVES, sampled_means
from pocketrec.device.base.errors import DataError
from pocketrec.device.contract.neighbours import NEIGHBOURS_FILE

#: Measures that get intervals and paired differences.
COMPARED: Final = ("mrr@20", "recall@20", "ndcg@20")

Ranks = list[NDArray[np.float64]]


def read_users(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``folder/users.jsonl`` in the order of user ids, ranks as arrays (a miss is infinity).

    Raises:
        DataError: the file is missing.
    """
    path = Path(folder) / USERS_FILE
    if not path.exists():
        raise DataError(f"no file {path}: run `pocketrec fleet` first")
    users = read_lines(path)
    for entry in users:
        for table in ("ranks", "within", *(["two_stages"] if "two_stages" in entry else [])):
            entry[table] = {name: _ranks(values) for name, values in entry[table].items()}
    return sorted(users, key=lambda entry: entry["user"])


def fleet_metrics(
    folder: Path,
    *,
    evaluate: EvaluateConfig,
    seed: int = 1,
    data: Mapping[str, Any] | None = None,
    sizes: Mapping[str, Any] | None = None,
    rehearsal: Mapping[str, Any] | None = None,
    device: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """metrics.json of a personalised log, from what `pocketrec.cloud.fleet.fleet.run_fleet` left in `folder`.

    Args:
        folder: holds users.jsonl and fleet.json.
        evaluate: how quality is measured.
        seed: seed of the bootstrap.
        data: the summary of the split, copied under ``data``.
        sizes: what `size_ledger` gives, copied under ``bytes``.
        rehearsal: rehearsal.json, whose forecast is compared with what happened.
        device: what one device needs (`pocketrec.cloud.fleet.bench`); the fleet's own figures are put beside it.

    Raises:
        DataError: the files are missing, or no user could be evaluated.
    """
    users = read_users(folder)
    fleet = json.loads((Path(folder) / FLEET_FILE).read_text(encoding="utf-8"))
    if not users:
        raise DataError("no user has both events to learn from and a known event to test: move the cut-off")
    ranks = _by_system([user["ranks"] for user in users])
    within = _by_system([user["within"] for user in users])
    judge = _Judge(evaluate.bootstrap, seed)
    learn = np.array([user["learn"] for user in users])
    old = np.array([user["old"] for user in users])
    result = _quality(ranks, judge, fleet["window"], evaluate, (data or {}).get("items"), personal=True)
    kept = [user["decision"].get("personal", {}).get("kept", "global") for user in users]
    personal = result["compare"].get("personal", {}).get(metrics.HEADLINE, {})
    for name in ("central", "repeats", "neighbours", "push"):
        if name in ranks and "personal" in ranks:
            both = {measure: [metrics.user_values(ranks[system], measure) for system in ("personal", name)]
                    for measure in COMPARED}  # fmt: skip
            result["compare"][f"personal_{name}"] = {m: judge.compare(*values) for m, values in both.items()}
    result["users"] = {
        "evaluated": len(users),
        "events_learn": int(learn.sum()),
        **{name: personal.get(name, 0) for name in ("gained", "harmed", "gained_share", "harmed_share")},
        **{f"kept_{name}": kept.count(name) for name in ("global", "blend", "personal")},
    }
    result["groups"] = {
        "all": _group(ranks, np.arange(len(users)), judge),
        "old": _group(ranks, np.flatnonzero(old), judge),
        "new": _group(ranks, np.flatnonzero(~old), judge),
    }
    result["history"] = [
        {"low": low, "high": high, **_group(ranks, index, judge)} for low, high, index in metrics.length_groups(learn)
    ]
    for name in ("ceiling", "ceiling_candidates"):
        result[name] = float(np.mean([user[name] / len(user["ranks"]["global"]) for user in users]))
    result["candidates"] = {
        "ceiling": result["ceiling"],
        "ceiling_candidates": result["ceiling_candidates"],
        "ceiling_event_mean": sum(u["ceiling"] for u in users) / sum(len(u["ranks"]["global"]) for u in users),
        "k": fleet["candidates"],
        **{name: metrics.user_means(values) for name, values in within.items()},
    }
    if "two_stages" in users[0]:
        result["two_stages"] = _two_stages(users, judge)
    if parts := worth({name: metrics.user_values(values) for name, values in ranks.items()}, judge.compare):
        result["privacy"] = parts
    if "push" in ranks:
        result["push_mode"] = {"reveals": "the user embedding of each request", "bytes_up": 4 * fleet["embedding"],
                               "items": fleet["items"]}  # fmt: skip
    result["skipped"] = fleet["skipped"]
    result["device"] = {**(device or {}), **{f"fleet_{name}": value for name, value in fleet["device"].items()}}
    if rehearsal is not None:
        by_both = rehearsal.get("ranking") == "two_stages" and "two_stages" in users[0]
        served = _by_system([user["two_stages"] for user in users]) if by_both else ranks
        told = {"ranking": "two_stages"} if by_both else {}
        result["rehearsal"] = {**forecast_against(rehearsal, served, learn, judge), **told}
    return _finish(result, data, sizes)


def global_metrics(
    systems: Mapping[str, Ranks],
    *,
    evaluate: EvaluateConfig,
    window: int,
    seed: int = 1,
    data: Mapping[str, Any] | None = None,
    sizes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """metrics.json of a log without personal training (split kinds column and sessions): means are over events.

    Args:
        systems: ``global``, ``neighbours`` where there are some, and baselines, each a list of the ranks of every
            sequence's positions (`pocketrec.cloud.evaluation.global_model.sequence_ranks`).
        evaluate: how quality is measured.
        window: events that the model looks back on.
        seed: seed of the bootstrap.
        data: the summary of the split, copied under ``data``.
        sizes: what `size_ledger` gives, copied under ``bytes``.

    Raises:
        DataError: there is no test position.
    """
    if not any(len(rank) for rank in systems["global"]):
        raise DataError("no event of the test part can be ranked: look at the split")
    judge = _Judge(evaluate.bootstrap, seed, np.array([len(rank) for rank in systems["global"]]))
    result = _quality(dict(systems), judge, window, evaluate, (data or {}).get("items"), personal=False)
    result["users"] = {"evaluated": len(systems["global"]), "gained": 0, "harmed": 0,
                       "kept_global": len(systems["global"])}  # fmt: skip
    return _finish(result, data, sizes)


def forecast_against(rehearsal: Mapping[str, Any], ranks: Mapping[str, Ranks], learn: NDArray[Any],
                     judge: _Judge) -> dict[str, Any]:
    """What rehearsal expected of personal training and what happened, overall and by history length."""
    before = metrics.user_values(ranks.get("neighbours", ranks["global"]))
    came = metrics.user_values(ranks.get("personal", ranks["global"])) - before
    forecast = rehearsal["forecast"]
    rows = []
    for group in forecast["by_length"]:
        inside = (learn >= group["low"]) & (learn <= (math.inf if group["high"] is None else group["high"]))
        rows.append({"low": group["low"], "high": group["high"], "expected": dict(group["gain"]),
                     "came": judge.mean(came[inside]), "users": int(inside.sum())})  # fmt: skip
    return {"chosen": rehearsal["chosen"], "expected": dict(forecast["gain"]), "came": judge.mean(came),
            "by_length": rows}  # fmt: skip


def size_ledger(
    bundle: Path, *, users: int, dense_parameters: int, k: int, embedding: int, items: int
) -> dict[str, float]:
    """Bytes that a device fetches against the dense float32 model (feature D9).

    Args:
        bundle: the bundle folder.
        users: users with a candidate set in it.
        dense_parameters: weights of the Keras model, the item table included.
        k: items in a candidate set.
        embedding: size E of item embeddings.
        items: N.

    Returns:
        ``model`` (bytes of model.tflite), ``neighbours`` (bytes of the file of neighbours, 0 where there is none),
        ``candidates_per_user`` (bytes of the shards for each user), ``bundle`` (all files), ``dense_fp32_model`` (4
        bytes a weight), ``ratio`` = dense_fp32_model / (model + neighbours + candidates_per_user),
        and for comparison the payload of the paper, which ships the candidates' rows instead of the item table:
        ``sparse_payload`` = all other weights in float32 + k int8 rows with scale and row id, and
        ``sparse_ratio`` = dense_fp32_model / sparse_payload.
    """
    model = (bundle / "model.tflite").stat().st_size
    shards = sum(path.stat().st_size for path in (bundle / "candidates").rglob("*") if path.is_file())
    each = shards / users if users else 0.0
    near = bundle / NEIGHBOURS_FILE
    neighbours = near.stat().st_size if near.exists() else 0
    dense = 4 * dense_parameters
    sparse = dense - 4 * (items + 1) * embedding + k * (embedding + 8)
    return {
        "model": model,
        "neighbours": neighbours,
        "candidates_per_user": each,
        "bundle": sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()),
        "dense_fp32_model": dense,
        "ratio": dense / (model + neighbours + each),
        "sparse_payload": sparse,
        "sparse_ratio": dense / sparse,
    }


def _two_stages(users: Sequence[Mapping[str, Any]], judge: _Judge) -> dict[str, Any]:
    """Every system's measures of what a device shows, which is what it has found, in the order of the ranker: with
    intervals, and differences from the global model in that order, and from the same system without the ranker."""
    staged = _by_system([user["two_stages"] for user in users])
    plain = _by_system([user["within"] for user in users])
    values = {name: metrics.user_values(ranks) for name, ranks in staged.items()}
    result: dict[str, Any] = {
        name: {**metrics.user_means(ranks), "interval": {metrics.HEADLINE: judge.mean(values[name])}}
        for name, ranks in staged.items()
    }
    result["compare"] = {
        **{name: judge.compare(value, values["global"]) for name, value in values.items() if name != "global"},
        **{f"{name}_first_stage": judge.compare(value, metrics.user_values(plain[name]))
           for name, value in values.items()},
    }  # fmt: skip
    return result


class _Judge:
    """Intervals with one seed, so that every figure is drawn on the same users."""

    def __init__(self, samples: int, seed: int, weights: NDArray[Any] | None = None) -> None:
        """Make a judge; `weights` are numbers of positions where means are over events."""
        self.samples, self.seed, self.weights = samples, seed, weights

    def mean(self, values: NDArray[Any]) -> dict[str, float | None]:
        return _finite(metrics.bootstrap_mean(values, self.samples, self.seed, self.weights).to_dict())

    def compare(self, after: NDArray[Any], before: NDArray[Any]) -> dict[str, Any]:
        return _finite(metrics.paired(after, before, self.samples, self.seed, self.weights).to_dict())


def _quality(ranks: dict[str, Ranks], judge: _Judge, window: int, evaluate: EvaluateConfig, items: int | None, *,
             personal: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"format": 1, "protocol": {
        "personal": personal, "mean": "users" if personal else "events", "ranking": "full",
        "sampled": f"{NEGATIVES} negatives, uniform, expectation", "ties": evaluate.ties,
        "mask_seen": evaluate.mask_seen, "window": window, "margin": metrics.MARGIN, "bootstrap": judge.samples,
        "seed": judge.seed, "positions": sum(len(rank) for rank in ranks["global"])}}  # fmt: skip
    compare: dict[str, Any] = {}
    for name in in_order(ranks):
        by_event, by_user = metrics.event_means(np.concatenate(ranks[name])), metrics.user_means(ranks[name])
        entry: dict[str, Any] = dict(by_user if personal else by_event)
        entry["event_mean"], entry["user_mean"] = by_event, by_user
        values = {measure: metrics.user_values(ranks[name], measure) for measure in COMPARED}
        entry["interval"] = {measure: judge.mean(value) for measure, value in values.items()}
        if items:
            entry[f"sampled_{NEGATIVES}"] = sampled_means(ranks[name], items, by_user=personal)
        result[name] = entry
        if name != "global":
            compare[name] = {m: judge.compare(v, metrics.user_values(ranks["global"], m)) for m, v in values.items()}
    result["compare"] = compare

    def difference(first: str, second: str) -> dict[str, Any]:
        return judge.compare(*(metrics.user_values(ranks[name]) for name in (first, second)))

    result["verdict"] = verdict({name: result[name] for name in ranks}, difference)
    return result


def _group(ranks: Mapping[str, Ranks], index: NDArray[Any], judge: _Judge) -> dict[str, Any]:
    chosen = {name: [values[i] for i in index] for name, values in ranks.items()}
    entry: dict[str, Any] = {"users": len(index), "events": sum(len(rank) for rank in chosen["global"])}
    entry |= {name: metrics.user_means(values) for name, values in chosen.items()}
    if "personal" in chosen:
        after, before = (metrics.user_values(chosen[name]) for name in ("personal", "global"))
        entry["compare"] = judge.compare(after, before)
    return entry


def _by_system(users: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, Ranks]:
    return {name: [user[name] for user in users] for name in users[0]}


def _ranks(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([math.inf if value is None else value for value in values], dtype=np.float64)


def _finite(values: Any) -> Any:
    """JSON has no infinity and no nan: None in their place."""
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _finish(result: dict[str, Any], data: Mapping[str, Any] | None, sizes: Mapping[str, Any] | None) -> dict[str, Any]:
    if data is not None:
        result["data"] = dict(data)
    if sizes is not None:
        result["bytes"] = dict(sizes)
    return result
