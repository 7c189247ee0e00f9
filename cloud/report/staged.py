# SPDX-License-Identifier: Apache-2.0
"""What devices show of a run whose ranker of a second stage ships: a section of report.html, and a line for the run."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from pocketrec.cloud.evaluation.systems import in_order, kind_of, name_of
from pocketrec.cloud.report import page
from pocketrec.cloud.report.words import change as written
from pocketrec.cloud.report.words import figure, interval

Table = Mapping[str, Any]


def two_stages(metrics: Table) -> str:
    """Every system in the order of both stages, beside the same system without the ranker; empty where none ships."""
    staged = metrics.get("two_stages")
    if not staged:
        return ""
    rows = []
    for name in in_order(name for name in staged if name != "compare"):
        changes = [staged["compare"].get(key) for key in (f"{name}_first_stage", name)]
        told = ["" if one is None else f'{written(one["mean"])} <small class="under">{interval(one)}</small>'
                for one in changes]  # fmt: skip
        rows.append([f'<i class="{kind_of(name)}"></i>{escape(name_of(name))}',
                     *(figure(staged[name][measure]) for measure in ("recall@20", "mrr@20", "ndcg@20")),
                     figure(metrics["candidates"][name]["mrr@20"]), *told])  # fmt: skip
    head = ["", "Recall@20", "MRR@20", "NDCG@20", "MRR@20, first stage alone", "less that (95 %)", "less global (95 %)"]
    words = ("What devices show: what they find by the inner product, and own items unless these are masked, in the "
             "order of the ranker; an item that was not found is a miss. Same positions as above.")  # fmt: skip
    return page.section("Two stages, as devices serve", words, page.table(head, rows))


def staged_line(metrics: Table) -> str:
    """The same in one line; "" where none ships."""
    staged = metrics.get("two_stages")
    if not staged:
        return ""
    line = f"two stages, as devices serve, MRR@20: global {staged['global']['mrr@20']:.4f}"
    if personal := staged["compare"].get("personal"):
        line += (f", personal {staged['personal']['mrr@20']:.4f} ({personal['mean']:+.4f}, {personal['low']:+.4f} to "
                 f"{personal['high']:+.4f})")  # fmt: skip
    return f"{line}; first stage alone {metrics['candidates']['global']['mrr@20']:.4f}"
