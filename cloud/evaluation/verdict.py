# SPDX-License-Identifier: Apache-2.0
"""What a reader has to know first: whether a simple system recommends better than devices do.

The verdict is one sentence, paired over the same users as everything else in metrics.json. It is never left out: where
nothing can be said, that is the sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pocketrec.cloud.config.baselines import label_of
from pocketrec.cloud.evaluation.systems import name_of

#: Simple systems that a device's recommendations have to be compared with, in the order of the sentence.
REFERENCES: Final = ("item_knn", "recent", "recent_popularity", "popularity")
_MEASURE: Final = "mrr@20"
_NONE: Final = "no verdict: none of item_knn, recent, recent_popularity and popularity was judged ([baselines] judged)"


def recommends(systems: Mapping[str, Any]) -> str:
    """The system by which a device recommends: ``personal``; on a log without personal training ``neighbours`` where
    the bundle brings some, else ``global``."""
    return next((name for name in ("personal", "neighbours") if name in systems), "global")


def verdict(systems: Mapping[str, Any], compare: Callable[[str, str], Mapping[str, Any]]) -> dict[str, Any]:
    """The table ``verdict`` of metrics.json.

    Args:
        systems: name -> its entry of metrics.json, in which only ``mrr@20`` is read.
        compare: gives the paired difference in MRR@20 of two systems, first less second, with ``mean``, ``low`` and
            ``high`` of the 95 % interval (None where there is none).

    Returns:
        ``system``, ``measure``, ``sentence``, and ``against``: reference -> the paired difference with ``outcome``:
        ``ahead`` or ``behind`` where the interval lies above or below zero, else ``level``.
    """
    ours = recommends(systems)
    against: dict[str, dict[str, Any]] = {}
    for name in REFERENCES:
        if name in systems:
            found = dict(compare(ours, name))
            against[name] = {**found, "outcome": _outcome(found)}
    figures = {name: systems[name][_MEASURE] for name in (ours, *against)}
    return {"system": ours, "measure": _MEASURE, "against": against, "sentence": _sentence(ours, figures, against)}


def sentence_of(metrics: Mapping[str, Any]) -> str:
    """The sentence of a metrics.json; of one that was written before there were verdicts, how to get it."""
    found = metrics.get("verdict", {}).get("sentence")
    return found or "no verdict: this run was evaluated before there were verdicts: run `pocketrec fleet --force`"


def beats_the_network(metrics: Mapping[str, Any], system: str = "item_knn") -> str:
    """A sentence where a baseline is ahead of the global model, or of what devices make of it; empty elsewhere.

    Empty too where the verdict says so already.

    Args:
        metrics: metrics.json.
        system: the baseline.
    """
    if system not in metrics or not metrics["compare"].get(system):
        return ""
    if metrics.get("verdict", {}).get("against", {}).get(system, {}).get("outcome") == "behind":
        return ""
    own = metrics[system][_MEASURE]
    names = {"global": "the global model", "personal": "personal"}
    ours = {words: metrics[name][_MEASURE] for name, words in names.items() if name in metrics}
    beaten = [f"{words} ({figure:.4f})" for words, figure in ours.items() if own > figure]
    if not beaten:
        return ""
    ahead = [f"; {words} ({figure:.4f}) is ahead of it" for words, figure in ours.items() if own <= figure]
    low = metrics["compare"][system][_MEASURE]["low"]
    clearly = "beats the network" if low is not None and low > 0 else "is not behind the network"
    return f"{name_of(system)} {clearly}: MRR@20 {own:.4f} against {' and '.join(beaten)}{''.join(ahead)}"


def _outcome(found: Mapping[str, Any]) -> str:
    """Whether the difference is clear; of one user, whose interval is no interval, it never is."""
    if found["low"] is not None and found["low"] > 0:
        return "ahead"
    return "behind" if found["high"] is not None and found["high"] < 0 else "level"


def _sentence(ours: str, figures: Mapping[str, float], against: Mapping[str, Mapping[str, Any]]) -> str:
    """Systems that are better come first, for they decide."""
    if not against:
        return _NONE
    groups = {outcome: [name for name in against if against[name]["outcome"] == outcome]
              for outcome in ("behind", "ahead", "level")}  # fmt: skip
    own = f"MRR@20 {figures[ours]:.4f}"
    what = "what devices recommend" if ours == "personal" else "the model that devices get"
    parts = []
    if groups["behind"]:
        told = _list(f"{_name(name)} (MRR@20 {figures[name]:.4f}, {_difference(against[name], -1)})"
                     for name in groups["behind"])  # fmt: skip
        verb = "is" if len(groups["behind"]) == 1 else "are"
        parts.append(f"{told} {verb} better on this log than {what} ({own})")
    elif groups["ahead"]:
        what += f" ({own})"
    if groups["ahead"]:
        told = _list(f"{_name(name)} by {_difference(against[name])}" for name in groups["ahead"])
        parts.append(f"{what} beats {told}")
    if groups["level"]:
        told = _list(f"{_name(name)} ({_difference(against[name])})" for name in groups["level"])
        subject = what if parts else f"{what} ({own})"
        parts.append(f"{subject} is within chance of {told}")
    return "; ".join(parts)


def _name(system: str) -> str:
    """A system's name within a sentence: item-kNN keeps its capitals."""
    label = label_of(system)
    return f"{label[0].lower()}{label[1:]}"


def _difference(found: Mapping[str, Any], sign: int = 1) -> str:
    if found["low"] is None or found["high"] is None:
        return f"{sign * found['mean']:+.4f}, no interval"
    low, high = sorted((sign * found["low"], sign * found["high"]))
    return f"{sign * found['mean']:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}"


def _list(words: Iterable[str]) -> str:
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last
