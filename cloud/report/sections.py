# SPDX-License-Identifier: Apache-2.0
"""The sections of report.html, each from plain figures to markup; each is empty where its figures are missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from pocketrec.cloud.config.knn import options_in_words
from pocketrec.cloud.evaluation.systems import in_order, kind_of, name_of
from pocketrec.cloud.report import page, svg
from pocketrec.cloud.report.recipes import bonus_name, names_of
from pocketrec.cloud.report.words import (
    DASH,
    count,
    figure,
    interval,
    lengths,
    percent,
    size,
    times,
)
from pocketrec.cloud.report.words import change as written

Table = Mapping[str, Any]

_TIMES: Final = "\N{MULTIPLICATION SIGN} global"


def headline(metrics: Table, packed: Mapping[str, int]) -> str:
    """The large figures on top; `packed` is what `pocketrec.cloud.report.costs.packed_bytes` gives."""
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
    elif beside := metrics["compare"].get("neighbours", {}).get("mrr@20"):
        entries += [
            (figure(metrics["neighbours"]["mrr@20"]), "MRR@20, network and neighbours",
             f"Recall@20 {_recall(metrics, 'neighbours')}"),
            (f"{beside['mean']:+.4f}", "against the global model", f"95 %: {interval(beside)}"),
        ]  # fmt: skip
    if metrics.get("ceiling") is not None:
        entries.append((percent(metrics["ceiling"]), "of next items are offered by the device",
                        f"{percent(metrics.get('ceiling_candidates'))} by {_found_by(metrics)} alone"))  # fmt: skip
    if metrics.get("bytes"):
        way = f"packed {size(sum(packed.values()))}, updates {size(packed['weights'])}; " if packed else ""
        entries.append((size(metrics["bytes"]["model"]), "model.tflite",
                        f"{way}dense float32 {size(metrics['bytes']['dense_fp32_model'])}"))  # fmt: skip
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
            versus = f'{written(change["mean"])} <small class="under">{interval(change)}</small>'
            moved, ratio = f"{count(change['gained'])} : {count(change['harmed'])}", _ratio(change)
        else:
            versus, moved, ratio = DASH, DASH, DASH
        cells = [figure(entry[m]) for m in ("recall@10", "recall@20", "mrr@20", "ndcg@20")]
        rows.append([f'<i class="{kind_of(name)}"></i>{escape(name_of(name))}', *cells, versus, ratio, moved])
    who = "sessions, gained : harmed" if metrics.get("data", {}).get("sessions") else "gained : harmed"
    head = ["", "Recall@10", "Recall@20", "MRR@20", "NDCG@20", "less global (95 %)", _TIMES, who]
    strong = [index for index, name in enumerate(systems) if name == "personal"]
    words = (f"Full ranking of all items at {count(protocol['positions'])} test positions, the same for every "
             f"system. Means are over {protocol['mean']}; ties: {protocol['ties']} place; "
             f"seen items {'are masked' if protocol['mask_seen'] else 'stay in'}.")  # fmt: skip
    for name, options in metrics.get("tuned", {}).items():
        words += f" {name_of(name)} was tuned before the cut-off: {options_in_words(options)}."
    estimates = [
        svg.Estimate(name_of(name).split(",")[0], metrics[name]["interval"]["mrr@20"]["mean"],
                     _number(metrics[name]["interval"]["mrr@20"]["low"]),
                     _number(metrics[name]["interval"]["mrr@20"]["high"]), kind_of(name))
        for name in systems
    ]  # fmt: skip
    chart = svg.estimates(estimates, x_label="MRR@20 with 95 % interval", name_room=170, shape=_short)
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
                     f"{written(change['mean'])} <small>({interval(change)})</small>", _ratio(change),
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
    head = ["Events learned from", "users", "global", "personal", "gain (95 %)", _TIMES, "gained : harmed"]
    return page.section("Who gains", words, chart + page.table(head, rows))


def rehearsal(metrics: Table, report: Table) -> str:
    """What rehearsal tried, chose and expected, compared with what happened."""
    if not report:
        return ""
    trials = [trial for trial in report["trials"] if "guarded" in trial]
    names, base = names_of(report["trials"]), report.get("global", {}).get("mrr@20")
    rows = [svg.Estimate(names[trial["name"]], trial["guarded"]["mean"], *_one_error(trial["guarded"]),
                         "personal" if trial["name"] == report["chosen"] else "other",
                         _moved(trial["guarded"], base))
            for trial in trials]  # fmt: skip
    parts = []
    if rows:
        parts.append(page.heading("Dress rehearsal: guarded gain in MRR@20, one standard error; times global; gained "
                                  ": harmed"))  # fmt: skip
        parts.append(svg.estimates(rows, x_label="gain in MRR@20", zero=True, width=900, name_room=300, note_room=130,
                                   shape=svg.signed))  # fmt: skip
    unguarded = [trial for trial in report["trials"] if "unguarded" in trial]
    if unguarded:
        lines = [f"{t['unguarded']['mean']:+.4f}  {_times(t['unguarded']['mean'], base):>8}  "
                 f"{t['unguarded']['gained']:>4} : {t['unguarded']['harmed']:<4} {t['loglik']:+7.3f} nats  "
                 f"{names[t['name']]}" for t in unguarded]  # fmt: skip
        parts.append(page.details(f"Screening of all {len(unguarded)} recipes, without the guard", "\n".join(lines)))
    if "bonus" in report:
        parts.append(page.heading("The bonus for repeats, by the price of a user harmed"))
        parts.append(_bonus(report["bonus"]))
    for trial in trials:
        if trial["name"] == report["chosen"] and "against" in trial:
            parts.append(_guard(trial))
    against = metrics.get("rehearsal")
    if against:
        parts.append(page.heading("What was expected, and what happened"))
        parts.append(_forecast(against, metrics))
    chosen = names.get(report["chosen"], report["chosen"])
    words = (f"Before the cut-off, on a second, earlier cut, {count(report['users'])} users went through "
             f"{len(report['trials'])} recipes in the device's own code. Chosen: {chosen}.")  # fmt: skip
    if chosen == "none":
        words += " No recipe gained clearly and harmed few, so devices keep the global model."
    if report.get("clock") and not metrics["protocol"]["mask_seen"]:
        words += f" The log's {report['clock']}."
    return page.section("Rehearsal", words, "".join(parts))


def _groups(metrics: Table, systems: Sequence[str]) -> str:
    rows = []
    for name, words in (("all", "All users"), ("old", "Old users"), ("new", "New users")):
        group = metrics.get("groups", {}).get(name)
        if group and group["users"]:
            shown = [figure(group[s]["mrr@20"]) for s in ("global", "personal") if s in group]
            change = group.get("compare", {})
            rows.append([words, count(group["users"]), *shown, written(change.get("mean", 0.0)), _ratio(change)])
    inside = metrics.get("candidates", {})
    parts = page.table(["MRR@20", "users", "global", "personal", "gain", _TIMES], rows) if rows else ""
    chosen = [name for name in systems if name in inside]
    if chosen:
        cells = [[f'<i class="{kind_of(n)}"></i>{escape(name_of(n).split(",")[0])}', figure(inside[n]["recall@20"]),
                  figure(inside[n]["mrr@20"])] for n in chosen]  # fmt: skip
        head = ["Within what a device offers", "Recall@20", "MRR@20"]
        offered = f"What a device offers holds {percent(inside['ceiling'])} of the next items"
        alone = f"of them {percent(inside.get('ceiling_candidates'))} by {_found_by(metrics)} alone"
        parts += page.heading(f"{offered}; {alone}")
        parts += page.table(head, cells)
    return parts


def _bonus(fitted: Table) -> str:
    """What was tried at each price; users are those that the bonus of the row was not fitted to."""
    rows = []
    for one in fitted["tried"]:
        fit, judged = one["fitted"], one["judged"]
        price = f"{one['price']:g}" + (" (taken)" if one["price"] == fitted["price"] else "")
        words = bonus_name(one["repeats"]) if "repeats" in one else one["words"]
        rows.append([price, f'<span class="said">{escape(words)}</span>', written(fit["mean"]),
                     f"{fit['gained']} : {fit['harmed']}", written(judged["mean"]),
                     f"{judged['gained']} : {judged['harmed']}"])  # fmt: skip
    words = (f"{count(fitted['users'])} users before the cut-off, no training; aim: {fitted['aim']:g} gained for each "
             "one harmed.")  # fmt: skip
    head = ["price", "bonus", "gain, fitted", "gained : harmed", "gain on other users", "gained : harmed"]
    return page.heading(words) + page.table(head, rows)


def _guard(trial: Table) -> str:
    """What the guard does for the chosen recipe, and whether its chance of harm is right."""
    on, off = trial["against"]["with"], trial["against"]["without"]
    words = (f"The guard: {on['gained']} : {on['harmed']} and {written(on['mean'])} with it, {off['gained']} : "
             f"{off['harmed']} and {written(off['mean'])} without it. ")  # fmt: skip
    words += "It is used." if trial["guard"] else "It does not lower harm by more than chance, so it is off."
    rows = [svg.Estimate(f"{percent(one['low'])} to {percent(one['high'])}", one["came"], one["came_low"],
                         one["came_high"], "personal", f"{percent(one['predicted'])} predicted, {one['users']} users")
            for one in trial["reliability"]]  # fmt: skip
    chart = svg.estimates(rows, x_label="share of users harmed, 95 % interval, by predicted chance of harm", width=900,
                          name_room=130, note_room=220) if rows else ""  # fmt: skip
    return page.heading(words) + chart


def _forecast(against: Table, metrics: Table) -> str:
    """What was expected and what came, as gains and as multiples of the global model's MRR@20 in the same group."""
    groups = {(group["low"], group["high"]): group["global"]["mrr@20"] for group in metrics.get("history", ())}
    whole = metrics
    if "ranking" in against:  # by both stages, whose figures stand in a table of their own, without groups
        groups, whole = {}, metrics[against["ranking"]]
    rows = []
    entries = [("All", against["expected"], against["came"], whole["global"]["mrr@20"])]
    for group in against["by_length"]:
        if group["users"]:
            name = lengths(group["low"], group["high"]) + " events"
            entries.append((name, group["expected"], group["came"], groups.get((group["low"], group["high"]))))
    for name, expected, came, base in entries:
        rows.append(_row(name, expected, "other", "expected", base))
        rows.append(_row("", came, "personal", "came", base))
    return svg.estimates(rows, x_label="gain in MRR@20, 95 % interval", zero=True, width=900, name_room=130,
                         note_room=200, shape=svg.signed)  # fmt: skip


def _row(name: str, entry: Table, kind: str, words: str, base: float | None) -> svg.Estimate:
    note = f"{words} {written(entry['mean'])}" + (f", {_times(entry['mean'], base)}" if base else "")
    return svg.Estimate(name, entry["mean"], _number(entry["low"]), _number(entry["high"]), kind, note)


def _ratio(change: Table) -> str:
    """The means' ratio in a comparison with the global model."""
    return times(change.get("ratio", {}).get("mean"))


def _times(gain: float, base: float | None) -> str:
    """A gain over a base as a ratio."""
    return times(1 + gain / base if base else None)


def _moved(entry: Table, base: float | None) -> str:
    return f"{_times(entry['mean'], base)}  {entry['gained']} : {entry['harmed']}"


def _one_error(entry: Table) -> tuple[float, float]:
    error = entry["error"] or 0.0
    return entry["mean"] - error, entry["mean"] + error


def _found_by(metrics: Table) -> str:
    """What finds items for a device, besides its own events."""
    sets = metrics.get("bytes", {}).get("candidates_per_user")
    return "the candidate set" if sets else "what the global model finds in the whole catalogue"


def _recall(metrics: Table, system: str) -> str:
    return figure(metrics[system]["recall@20"])


def _mrr(rank: Any) -> float:
    return float(np.where(rank <= 20, 1 / rank, 0.0).mean())


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if 0 < value < 1 else f"{value:g}"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
