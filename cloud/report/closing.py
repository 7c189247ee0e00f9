# SPDX-License-Identifier: Apache-2.0
"""The verdict of report.html, and the words that its figures need."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from pocketrec.cloud.evaluation.systems import kind_of, name_of
from pocketrec.cloud.report import page
from pocketrec.cloud.report.words import change as written
from pocketrec.cloud.report.words import figure, interval, times

Table = Mapping[str, Any]

_OUTCOMES: Final = {"ahead": "better", "behind": "worse", "level": "within chance"}
_TERMS: Final = (
    ("Recall@20", "share of test events whose item is among the first 20 of the ranking"),
    ("MRR@20", "mean of 1 / rank of the item that was taken, 0 beyond 20: .5 is as good as always second"),
    ("NDCG@20", "mean of 1 / log2(1 + rank), 0 beyond 20: as MRR, with more weight on lower places"),
    ("95 %", "interval that a resampling of whole users gives; where it leaves out zero, the difference is clear"),
    ("gained : harmed", "users whose own MRR@20 changes by more than .01, up and down"),
    ("\N{MULTIPLICATION SIGN} global", "the mean as a multiple of the global model's, on the same events"),
    ("global model", "what every device fetches; trained on events before the cut-off alone"),
    ("personal", "the same after the device has learned from its own user's events, as rehearsal and guard allow"),
    ("cut-off", "the moment that parts what the cloud may learn from and what devices learn from and are judged on"),
    ("rehearsal", "the devices' own training played on an earlier cut, by which a recipe is chosen, or none"),
    ("guard", "the device's comparison on held-back events: personal weights, a blend, or the global ones"),
    ("bonus for repeats", "what a device adds to the scores of items that its user has had"),
    ("candidate set", "items chosen in the cloud for a user, which the device ranks together with the user's own"),
    ("item-kNN", "items that were often taken by the same people as what the user had; needs no network"),
    ("packed", "the model file without what a device can fill in by itself; later releases send the weights alone"),
)


def verdict(metrics: Table) -> str:
    """What devices recommend, beside each simple system; empty where the run has no verdict."""
    found = metrics.get("verdict", {})
    if not found.get("against"):
        return ""
    rows = []
    for name, entry in found["against"].items():
        own, other = metrics[found["system"]]["mrr@20"], metrics[name]["mrr@20"]
        rows.append([f'<i class="{kind_of(name)}"></i>{escape(name_of(name))}', figure(other), written(entry["mean"]),
                     interval(entry), times(own / other if other else None), _OUTCOMES[entry["outcome"]]])  # fmt: skip
    ours = figure(metrics[found["system"]]["mrr@20"])
    head = ["beside", "MRR@20", f"devices ({ours}) less it", "95 %", "devices : it", "devices are"]
    words = "What devices recommend beside systems without a network: MRR@20 at the same positions."
    return page.section("Verdict", words, page.table(head, rows))


def glossary() -> str:
    """The words of the page, one sentence each."""
    rows = [[escape(term), f'<span class="said">{escape(says)}</span>'] for term, says in _TERMS]
    return page.section("Words", "", page.table(["", ""], rows))
