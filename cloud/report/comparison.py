# SPDX-License-Identifier: Apache-2.0
"""Benchmark results of several machines side by side: a table, and one page with plots.

Takes results of the form of `pocketrec.device.bench.schema`, whoever measured them. Knows nothing of how that is done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from pocketrec.cloud.report import page, svg
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.bench.schema import KINDS, problem

#: A name and a result.
Named = tuple[str, dict[str, Any]]

_KIND_NAMES: Final = {"train": "train step", "embed": "user embedding", "infer": "scores of the candidates"}
_TABLE: Final = (
    "Times in milliseconds; in brackets, medians as multiples of the first row. Peak resident memory of the whole "
    "process, in MB."
)
_SPREAD: Final = "The dot is the median; the line goes from the fastest call to the 99th percentile."
_CURVES: Final = "From the fastest call to the 99th percentile: a flat line is a steady machine."
_ABOUT: Final = (
    "machine", "runtime", "runtime_version", "threads", "emulated", "energy", "temperature_before_c",
    "temperature_after_c", "calls", "android",
)  # fmt: skip
_COLOURS: Final = ("personal", "global", "naive", "other")


def read_result(path: Path) -> dict[str, Any]:
    """The result in the last line of a file, such as the kept output of `pocketrec bench`.

    Raises:
        DataError: it cannot be read, or is not of the form that this version knows.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8").strip().splitlines()[-1])
    except (OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "its last line is not JSON"
        raise DataError(f"no result in {path} ({reason}): name the kept output of `pocketrec bench`") from None
    if wrong := problem(result):
        raise DataError(f"{path} is not a result of this version ({wrong}): measure again")
    return result


def named(result: dict[str, Any]) -> str:
    """A short name for the file of a result: the device's model, else the machine's architecture.

    Settings other than those of `pocketrec android run` without options follow, so that each has a file of its own.
    """
    android = result.get("android", {})
    words = f"{android.get('manufacturer', '')} {android.get('device', '')}".strip()
    name = re.sub(r"[^A-Za-z0-9]+", "-", words or result["machine"]["architecture"]).strip("-").lower() or "device"
    threads, runs = result["threads"], result["calls"]
    settings = [f"threads-{threads}"] * (threads != 1) + ["xnnpack-off"] * (_xnnpack(result) == "off")
    return "-".join([name, *settings, *[f"runs-{runs}"] * (runs != 100)])


def table(results: Sequence[Named]) -> tuple[list[str], list[list[str]]]:
    """Head and rows for people; times in ms, as multiples of the first row in brackets.

    Raises:
        DataError: the results are of different models.
    """
    _one_model(results)
    head = ["", "runtime", "threads", "XNNPACK"]
    head += [f"{kind} p{quantile}" for kind in KINDS for quantile in (50, 99)] + ["load", "peak MB"]
    rows = []
    for name, result in results:
        row = [_marked(name, result), f"{result['runtime']} {result['runtime_version']}", str(result["threads"])]
        row += [_xnnpack(result)]
        for kind in KINDS:
            median, first = result[f"{kind}_ms_p50"], results[0][1][f"{kind}_ms_p50"]
            row += [f"{median:.3f} ({median / first:.2f})", f"{result[f'{kind}_ms_p99']:.3f}"]
        rows.append([*row, f"{result['load_ms']:.1f}", f"{result['peak_rss_mb']:.1f}"])
    return head, rows


def summary(results: Sequence[Named]) -> list[dict[str, Any]]:
    """The table as plain values."""
    keys = ["runtime", "runtime_version", "threads", "emulated", "load_ms", "peak_rss_mb", "rss_delta_mb"]
    keys += [f"{kind}_ms_p{quantile}" for kind in KINDS for quantile in (50, 90, 99)]
    keys += ["machine"]
    return [
        {"name": name, "xnnpack": _xnnpack(result)} | {key: result[key] for key in keys} for name, result in results
    ]


def write_page(path: Path, results: Sequence[Named]) -> None:
    """Write the comparison as one self-contained page.

    Raises:
        DataError: the results are of different models.
        StorageError: it cannot be written.
    """
    head, rows = table(results)
    model = results[0][1]["model"]
    names = ("backbone", "way", "window", "batch", "candidates")
    facts = ", ".join(f"{key} {model[key]}" for key in names if key in model)
    lead = f"Model {results[0][1]['model_id'][:12]}: {facts}. Times are of single calls."
    spread = [page.heading(_KIND_NAMES[kind]) + _medians(results, kind) for kind in KINDS]
    curves = "".join(page.heading(_KIND_NAMES[kind]) + _curves(results, kind) for kind in KINDS)
    cells = [[escape(cell) for cell in row] for row in rows]
    about = "".join(page.details(name, json.dumps(_about(one), indent=1, ensure_ascii=False)) for name, one in results)
    parts = [
        f'<h1>PocketRec on {len(results)} machines</h1><p class="lead">{escape(lead)}</p>',
        page.section("Times and memory", _TABLE, page.table(head, cells)),
        page.section("Medians and slow calls", _SPREAD, page.pair(*spread, _memory(results))),
        page.section("All calls", _CURVES, curves),
        page.section("Machines", "", about),
    ]
    write_atomic(path, page.page("PocketRec on several machines", "\n".join(parts)).encode("utf-8"))


def _one_model(results: Sequence[Named]) -> None:
    models = {result["model_id"][:12]: name for name, result in reversed(results)}
    if len(models) > 1:
        told = ", ".join(f"{name} {model}" for model, name in models.items())
        raise DataError(f"the results are of different models ({told}): compare results of one bundle")


def _xnnpack(result: dict[str, Any]) -> str:
    """Whether XNNPACK ran what it can; "-" where the result does not say."""
    return {True: "on", False: "off", None: "-"}[result.get("android", {}).get("xnnpack")]


def _marked(name: str, result: dict[str, Any]) -> str:
    if result["emulated"]:
        return f"{name} (emulated)"
    return f"{name} (emulator)" if result.get("android", {}).get("emulator") else name


def _medians(results: Sequence[Named], kind: str) -> str:
    rows = [
        svg.Estimate(_marked(name, result), result[f"{kind}_ms_p50"], min(result["raw_ms"][kind]),
                     result[f"{kind}_ms_p99"], _COLOURS[place % 4])
        for place, (name, result) in enumerate(results)
    ]  # fmt: skip
    label = f"{kind}: median and spread"
    return svg.estimates(rows, x_label="ms", zero=True, name_room=_room(results), label=label)


def _memory(results: Sequence[Named]) -> str:
    rows = [
        svg.Estimate(_marked(name, result), result["peak_rss_mb"], result["rss_before_mb"], result["peak_rss_mb"],
                     _COLOURS[place % 4])
        for place, (name, result) in enumerate(results)
    ]  # fmt: skip
    return page.heading("memory before loading, and at the peak") + svg.estimates(
        rows, x_label="resident, MB", zero=True, name_room=_room(results), label="memory before loading and at the peak"
    )


def _curves(results: Sequence[Named], kind: str) -> str:
    series = []
    for place, (name, result) in enumerate(results):
        times = sorted(result["raw_ms"][kind])
        times = times[: max(1, -(-len(times) * 99 // 100))]
        shares = [100 * (at + 0.5) / len(result["raw_ms"][kind]) for at in range(len(times))]
        series.append(svg.Series(_marked(name, result), shares, times, _COLOURS[place % 4]))
    label = f"{kind}: all calls"
    return svg.line_chart(series, x_label="share of the calls, %", y_label="ms", width=900, height=220, label=label)


def _room(results: Sequence[Named]) -> float:
    return 24 + 6.6 * max(len(_marked(name, result)) for name, result in results)


def _about(result: dict[str, Any]) -> dict[str, Any]:
    return {key: result[key] for key in _ABOUT if key in result}
