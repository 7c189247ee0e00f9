# SPDX-License-Identifier: Apache-2.0
"""What a device fetches and needs, as a section of report.html."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from pocketrec.cloud.report import page
from pocketrec.cloud.report.words import DASH, size

Table = Mapping[str, Any]


def packed_bytes(run: Path) -> dict[str, int]:
    """Bytes of the packed model of a run: ``skeleton``, which later releases share, and ``weights``; {} = none."""
    files = {"skeleton": run / "export" / "model.skeleton", "weights": run / "export" / "model.weights"}
    return {name: file.stat().st_size for name, file in files.items()} if all(map(Path.is_file, files.values())) else {}


def costs(metrics: Table, packed: Mapping[str, int]) -> str:
    """Bytes and latency.

    Args:
        metrics: metrics.json.
        packed: what `packed_bytes` gives.
    """
    sizes, device = metrics.get("bytes", {}), metrics.get("device", {})
    parts = []
    if sizes:
        names = {
            "model": "model.tflite",
            "packed": "the same, packed for the network",
            "weights": "of it, what a later release sends",
            "candidates_per_user": "candidate set, each user",
            "bundle": "whole bundle",
            "dense_fp32_model": "dense float32 model",
            "sparse_payload": "candidates' rows only (float32 rest)",
        }
        known = {**sizes, **({"packed": sum(packed.values()), "weights": packed["weights"]} if packed else {})}
        rows = [[escape(words), size(known[key])] for key, words in names.items() if known.get(key)]
        rows.append(["dense float32 : model and candidates", f"{sizes['ratio']:.2f} \N{MULTIPLICATION SIGN}"])
        parts.append(page.heading("Bytes") + page.table(["", ""], rows))
    if device:
        names = {"train": "train step", "embed": "user embedding", "infer": "score candidates"}
        columns = ("{}_ms_p50", "fleet_{}_ms_p50", "fleet_{}_ms_p95")
        rows = [
            [escape(words), *(_milliseconds(device.get(column.format(key))) for column in columns)]
            for key, words in names.items()
        ]
        memory = [device.get(key) for key in ("peak_rss_mb", "fleet_peak_rss_mb")]
        shown = [DASH if value is None else f"{value:.0f} MB" for value in memory]
        rows.append(["peak memory", *shown, ""])
        title = f"Latency, {device.get('runtime') or device.get('fleet_runtime', '')}, one thread"
        head = ["median", "alone", "fleet", "fleet, p95"]
        parts.append(page.heading(title) + page.table(head, rows))
    return page.section("Bytes and latency", "", page.pair(*parts)) if parts else ""


def _milliseconds(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f} ms"
