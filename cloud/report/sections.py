"""The sections of report.html, each from plain figures to markup; each is empty where its figures are missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from pocketrec.cloud.evaluation.systems import in_order, kind_of, name_of
from pocketrec.cloud.report import page, svg
from pocketrec.cloud.report.words import (
    DASH,
    count,
    figure,
    interval,
    lengths,
    percent,
    size,
)
from pocketrec.cloud.report.words import change as written

Table = Mapping[str, Any]


def headline(metrics: Table) -> str:
    """The large figures on top."""
    entries = [(figure(metrics["global"]["mrr@20"]), "MRR@20, global model", f"Recall@20 {_recall(metrics, 'global')}")]
    change = metrics["compare"].get("personal", {}).get("mrr@20")
    if change:
        ratio = change["ratio"]["mean"]
        users = metrics["users"]
        entries += [
            (figure(metrics["personal"]["mrr@20"]), "MRR@20, personal", f"Recall@20 {_recall(metrics, 'personal')}"),
            (percent(ratio - 1, 1) if ratio is not None else DASH, "personal against global",
             f"95 %: {interval(change)}"),
            (f"{count(users['gained'])} : {count(users['harmed'])}", "users gained : harmed",
             f"of {count(users['evaluated'])}, by more than .01"),
        ]  # fmt: skip
    if metrics.get("ceiling") is not None:
        entries.append((percent(metrics["ceiling"]), "of next items are offered by the device",
                        f"{percent(metrics.get('ceiling_candidates'))} by the candidate set alone"))  # fmt: skip
    if metrics.get("bytes"):
        entries.append((size(metrics["bytes"]["model"]), "model.tflite",
                        f"dense float32: {size(metrics['bytes']['dense_fp32_model'])}"))  # fmt: skip
    return page.tiles(entries)


def training(history: Sequence[Table]) -> str:
    """Loss and validation curves, from metrics.jsonl."""
    epochs = [line for line in history if "epoch" in line and "loss" in line]
    if not epochs:
        return ""
    names = {"train": "model", "train-early": "early model"}
    searched = any(line.get("phase") == "search" for line in epochs)
    losses, judged = [], []
    for stage, phase in dict.fromkeys((line.get("stage", "train"), line.get("phase", "")) for line in epochs):
        mine = [line for line in epochs if (line.get("stage", "train"), line.get("phase", "")) == (stage, phase)]
        short = names.get(stage, str(stage))
        name = f"{short}, {'refit' if phase == 'final' else phase}" if searched and phase else short
        kind = "global" if stage == "train" else "naive"
        losses.append(svg.Series(name, [e["epoch"] for e in mine], [e["loss"] for e in mine], kind))
        valid = [e for e in mine if e.get("val_mrr@20") is not None]
        if valid:
            judged.append(svg.Series(short, [e["epoch"] for e in valid],
                                     [e["val_mrr@20"] for e in valid], kind))  # fmt: skip
    charts = [svg.line_chart(losses, x_label="epoch", y_label="training loss (nats)")]
    if judged:
        charts.append(svg.line_chart(judged, x_label="epoch", y_label="validation MRR@20"))
    seconds = sum(line.get("seconds", 0.0) for line in epochs)
    words = f"{len(epochs)} epochs in {seconds:,.0f} s."
    if any(line.get("stage") == "train-early" for line in epochs):
        words += " The early model stops at the earlier cut and serves rehearsal alone."
    if searched:
        words += " The search finds the number of epochs; refit trains on everything before the cut."
    return page.section("Training", words, page.pair(*charts))


def quality(metrics: Table) -> str:
    """The table of all systems, the chart with intervals, groups, and ranking within the candidate set."""
    protocol = metrics["protocol"]
    systems = in_order(name for name in metrics if isinstance(metrics[name], Mapping) and "mrr@20" in metrics[name])
    rows = []
    for name in systems:
        entry, change = metrics[name], metrics["compare"].get(name, {}).get("mrr@20")
        if change:
            versus = f"{written(change['mean'])} <small>({interval(change)})</small>"
            moved = f"{count(change['gained'])} : {count(change['harmed'])}"
        else:
            versus, moved = DASH, DASH
        cells = [figure(entry[m]) for m in ("recall@5", "recall@10", "recall@20", "mrr@20", "ndcg@20")]
        rows.append([f'<i class="{kind_of(name)}"></i>{escape(name_of(name))}', *cells, versus, moved])
    head = ["", "Recall@5", "Recall@10", "Recall@20", "MRR@20", "NDCG@20", "MRR@20 - global (95 %)", "gained : harmed"]
    strong = [index for index, name in enumerate(systems) if name == "personal"]
    words = (f"Full ranking of all items at {count(protocol['positions'])} test positions, the same for every "
             f"system. Means are over {protocol['mean']}; ties: {protocol['ties']} place; "
             f"seen items {'are masked' if protocol['mask_seen'] else 'stay in'}.")  # fmt: skip
    estimates = [
        svg.Estimate(name_of(name).split(",")[0], metrics[name]["interval"]["mrr@20"]["mean"],
                     _number(metrics[name]["interval"]["mrr@20"]["low"]),
                     _number(metrics[name]["interval"]["mrr@20"]["high"]), kind_of(name))
        for name in systems
    ]  # fmt: skip
    chart = svg.estimates(estimates, x_label="MRR@20 with 95 % interval", name_room=150, shape=_short)
    parts = [page.table(head, rows, strong), page.heading("How sure"), page.pair(chart, _groups(metrics, systems))]
    return page.section("Quality", words, "".join(parts))


def per_user(metrics: Table, users: Sequence[Table]) -> str:
    """Every user's gain against the events that the device learned from."""
    if "personal" not in metrics or not users:
        return ""
    points = []
    for user in users:
        gain = _mrr(user["ranks"]["personal"]) - _mrr(user["ranks"]["global"])
        kind = "personal" if gain > 0.01 else "harm" if gain < -0.01 else "other"
        kept = user["decision"].get("personal", {}).get("kept", "global")
        title = f"{user['learn']} events, {written(gain)}, {kept}"
        points.append(svg.Point(user["learn"], gain, kind, title))
    groups, rows = [], []
    for group in metrics["history"]:
        change = group["compare"]
        high = group["high"] if group["high"] is not None else max(point.x for point in points)
        groups.append((group["low"], high, change["mean"], _number(change["low"]), _number(change["high"])))
        rows.append([lengths(group["low"], group["high"]), count(group["users"]), figure(group["global"]["mrr@20"]),
                     figure(group["personal"]["mrr@20"]),
                     f"{written(change['mean'])} <small>({interval(change)})</small>",
                     f"{count(change['gained'])} : {count(change['harmed'])}"])  # fmt: skip
    kept = metrics["users"]
    words = (
        "One dot is one user: gain of personal over global MRR@20, green above .01, red below -.01. Lines and bands: "
        f"mean of each group with its 95 % interval. The guard kept the personal weights for "
        f"{count(kept['kept_personal'])} users, blended for {count(kept['kept_blend'])}, stayed global for "
        f"{count(kept['kept_global'])}."
    )
    chart = svg.scatter(
        points, groups, x_label="events that the device learned from (log scale)", y_label="gain in MRR@20"
    )
    head = ["Events learned from", "users", "global", "personal", "gain (95 %)", "gained : harmed"]
    return page.section("Who gains", words, chart + page.table(head, rows))


def rehearsal(metrics: Table, report: Table) -> str:
    """What rehearsal tried, chose and expected, compared with what happened."""
    if not report:
        return ""
    trials = [trial for trial in report["trials"] if "guarded" in trial]
    rows = [svg.Estimate(trial["name"], trial["guarded"]["mean"], *_one_error(trial["guarded"]),
                         "personal" if trial["name"] == report["chosen"] else "other",
                         f"{trial['guarded']['gained']} : {trial['guarded']['harmed']}")
            for trial in trials]  # fmt: skip
    parts = []
    if rows:
        parts.append(page.heading("Dress rehearsal: guarded gain in MRR@20, one standard error; gained : harmed"))
        chart = svg.estimates(rows, x_label="gain in MRR@20", zero=True, width=900, name_room=300, shape=svg.signed)
        parts.append(chart)
    unguarded = [trial for trial in report["trials"] if "unguarded" in trial]
    if unguarded:
        lines = [f"{t['name']:<48} {t['unguarded']['mean']:+.4f}  {t['unguarded']['gained']:>4} : "
                 f"{t['unguarded']['harmed']:<4} {t['loglik']:+.3f} nats" for t in unguarded]  # fmt: skip
        parts.append(page.details(f"Screening of all {len(unguarded)} recipes, without the guard", "\n".join(lines)))
    against = metrics.get("rehearsal")
    if against:
        parts.append(page.heading("What was expected, and what happened"))
        parts.append(_forecast(against))
    chosen = report["chosen"]
    words = (f"Before the cut-off, on a second, earlier cut, {count(report['users'])} users went through "
             f"{len(report['trials'])} recipes in the device's own code. Chosen: {chosen}.")  # fmt: skip
    if chosen == "none":
        words += " No recipe clearly gained, so devices keep the global model."
    return page.section("Rehearsal", words, "".join(parts))


def costs(metrics: Table) -> str:
    """Bytes and latency."""
    sizes, device = metrics.get("bytes", {}), metrics.get("device", {})
    parts = []
    if sizes:
        names = {
            "model": "model.tflite",
            "candidates_per_user": "candidate set, each user",
            "bundle": "whole bundle",
            "dense_fp32_model": "dense float32 model",
            "sparse_payload": "candidates' rows only (float32 rest)",
        }
        rows = [[escape(words), size(sizes[key])] for key, words in names.items() if key in sizes]
        rows.append(["dense float32 : model and candidates", f"{sizes['ratio']:.2f} \N{MULTIPLICATION SIGN}"])
        parts.append(page.heading("Bytes") + page.table(["", ""], rows))
    if device:
        names = {"train": "train step", "embed": "user embedding", "infer": "score the candidates"}
        columns = ("{}_ms_p50", "fleet_{}_ms_p50", "fleet_{}_ms_p95")
        rows = [
            [escape(words), *(_milliseconds(device.get(column.format(key))) for column in columns)]
            for key, words in names.items()
        ]
        memory = [device.get(key) for key in ("peak_rss_mb", "fleet_peak_rss_mb")]
        shown = [DASH if value is None else f"{value:.0f} MB" for value in memory]
        rows.append(["peak memory of the process", *shown, ""])
        title = f"Latency, {device.get('runtime') or device.get('fleet_runtime', '')}, one thread"
        head = ["median", "one device", "in the fleet", "fleet, 95 %"]
        parts.append(page.heading(title) + page.table(head, rows))
    return page.section("Bytes and latency", "", page.pair(*parts)) if parts else ""


def _groups(metrics: Table, systems: Sequence[str]) -> str:
    rows = []
    for name, words in (("all", "All users"), ("old", "Old users"), ("new", "New users")):
        group = metrics.get("groups", {}).get(name)
        if group and group["users"]:
            shown = [figure(group[s]["mrr@20"]) for s in ("global", "personal") if s in group]
            change = group.get("compare", {})
            rows.append([words, count(group["users"]), *shown, written(change.get("mean", 0.0))])
    inside = metrics.get("candidates", {})
    parts = page.table(["MRR@20", "users", "global", "personal", "gain"], rows) if rows else ""
    chosen = [name for name in systems if name in inside]
    if chosen:
        cells = [[f'<i class="{kind_of(n)}"></i>{escape(name_of(n).split(",")[0])}', figure(inside[n]["recall@20"]),
                  figure(inside[n]["mrr@20"])] for n in chosen]  # fmt: skip
        head = ["Within what a device offers", "Recall@20", "MRR@20"]
        offered = f"What a device offers holds {percent(inside['ceiling'])} of the next items"
        alone = f"its {count(inside.get('k'))} candidates alone hold {percent(inside.get('ceiling_candidates'))}"
        parts += page.heading(f"{offered}; {alone}")
        parts += page.table(head, cells)
    return parts


def _forecast(against: Table) -> str:
    rows = []
    entries = [("All", against["expected"], against["came"])]
    for group in against["by_length"]:
        if group["users"]:
            entries.append((lengths(group["low"], group["high"]) + " events", group["expected"], group["came"]))
    for name, expected, came in entries:
        rows.append(_row(name, expected, "other", "expected"))
        rows.append(_row("", came, "personal", "came"))
    return svg.estimates(rows, x_label="gain in MRR@20, 95 % interval", zero=True, width=900, name_room=130,
                         note_room=150, shape=svg.signed)  # fmt: skip


def _row(name: str, entry: Table, kind: str, words: str) -> svg.Estimate:
    note = f"{words} {written(entry['mean'])}"
    return svg.Estimate(name, entry["mean"], _number(entry["low"]), _number(entry["high"]), kind, note)


def _one_error(entry: Table) -> tuple[float, float]:
    error = entry["error"] or 0.0
    return entry["mean"] - error, entry["mean"] + error


def _recall(metrics: Table, system: str) -> str:
    return figure(metrics[system]["recall@20"])


def _mrr(rank: Any) -> float:
    return float(np.where(rank <= 20, 1 / rank, 0.0).mean())


def _milliseconds(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f} ms"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if 0 < value < 1 else f"{value:g}"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
