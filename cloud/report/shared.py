# SPDX-License-Identifier: Apache-2.0
"""The part of the ledger about the shared model: what federated rounds make of it, beside training in the cloud.

Takes figures that `pocketrec federate` has measured and lays them out. It knows nothing about how they came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from pocketrec.cloud.evaluation.systems import name_of
from pocketrec.cloud.metrics.metrics import HEADLINE
from pocketrec.cloud.report import page
from pocketrec.cloud.report.words import DASH, change, figure, size

Table = Mapping[str, Any]

#: Systems of the shared model, in the order of the rows.
SYSTEMS: Final = ("federated", "federated_personal", "central", "central_tuned")
_HEAD: Final = (
    "model", "Recall@20", "MRR@20", "gain (95 %)", "gained:harmed", "rounds", "devices", "up", "down", "up in all",
    "server s", "device ms", "epsilon", "share of central",
)  # fmt: skip
_MEASURES: Final = ("recall@20", HEADLINE, "ndcg@20")


def shared_rows(metrics: Table) -> list[dict[str, Any]]:
    """Rows of the ledger.

    Args:
        metrics: ``RUN/federate/metrics.json``.

    Returns:
        For each of `SYSTEMS` that was judged its measures, ``gain`` (of MRR@20 over global), ``share`` (of central's
        gain: mean, low, high), and for the federated ones ``rounds``, ``devices`` (a round), ``bytes_up`` and
        ``bytes_down`` (of a device and round), ``bytes_up_all`` (of a device over the training: rounds x share x
        bytes), ``server_seconds``, ``device_ms`` and, where noise was added, ``epsilon``.
    """
    facts, rows = metrics["federate"], []
    for name in SYSTEMS:
        if name not in metrics:
            continue
        row = {"name": name, **{measure: metrics[name][measure] for measure in _MEASURES},
               "gain": metrics["compare"][name][HEADLINE]}  # fmt: skip
        if name == "federated" and "share_of_central" in facts:
            row["share"] = facts["share_of_central"]
        if name.startswith("federated") and facts.get("rounds"):
            up = facts["bytes_up"]
            row |= {
                "rounds": facts["rounds"], "devices": facts["devices_a_round"], "bytes_up": up,
                "bytes_down": facts["bytes_down"], "bytes_up_all": round(facts["rounds"] * facts["share"] * up),
                "server_seconds": facts["server_seconds"], "device_ms": facts["device_ms"],
                **({"epsilon": facts["epsilon"]} if "epsilon" in facts else {}),
            }  # fmt: skip
        rows.append(row)
    return rows


def as_lines(rows: list[dict[str, Any]]) -> list[str]:
    """The rows as lines of a table for a terminal."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(_HEAD))]
    lines = ["  ".join(cell.rjust(width) if place else cell.ljust(width)
                       for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
             for row in cells]  # fmt: skip
    return ["", *lines, "up, down: of a device and round; share of central: of the gain of retraining in the cloud"]


def section(rows: list[dict[str, Any]]) -> str:
    """The rows as a section of the page."""
    words = "What devices make of the shared model in federated rounds, beside training in the cloud on their events."
    return page.section("The shared model", words,
                        page.table(_HEAD, [[escape(cell) for cell in _cells(row)] for row in rows]))  # fmt: skip


def _cells(row: Table) -> tuple[str, ...]:
    gain, share = row["gain"], row.get("share")
    measured = [""] * 7
    if "rounds" in row:
        measured = [str(row["rounds"]), f"{row['devices']:.0f}", size(row["bytes_up"]), size(row["bytes_down"]),
                    size(row["bytes_up_all"]), f"{row['server_seconds']:.1f}", f"{row['device_ms']:.1f}"]  # fmt: skip
    return (
        name_of(row["name"]), figure(row["recall@20"]), figure(row[HEADLINE]),
        f"{change(gain['mean'])} ({change(gain['low'])} to {change(gain['high'])})",
        f"{gain['gained']}:{gain['harmed']}", *measured,
        f"{row['epsilon']:.2f}" if "epsilon" in row else "", _share(share),
    )  # fmt: skip


def _share(share: Table | None) -> str:
    if share is None:
        return ""
    if share["mean"] is None:
        return DASH
    ends = "" if share["low"] is None else f" ({share['low']:.0%} to {share['high']:.0%})"
    return f"{share['mean']:.0%}{ends}"
