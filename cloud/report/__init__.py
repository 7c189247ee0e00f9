# SPDX-License-Identifier: Apache-2.0
"""report.html: one self-contained page about a run, made with plain Python and inline SVG.

A section is one function in `pocketrec.cloud.report.sections`; the page fetches nothing from anywhere.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from pocketrec.cloud.base.runs import stage_seconds
from pocketrec.cloud.config.moved import upgraded
from pocketrec.cloud.data.prepared import load_reading, load_titles
from pocketrec.cloud.evaluation.evaluate import read_users
from pocketrec.cloud.evaluation.verdict import beats_the_network, sentence_of
from pocketrec.cloud.fleet.files import USERS_FILE
from pocketrec.cloud.report import closing, page, sections
from pocketrec.cloud.report.audit import audit_section
from pocketrec.cloud.report.costs import costs, packed_bytes
from pocketrec.cloud.report.examples import examples
from pocketrec.cloud.report.flow import flow
from pocketrec.cloud.report.privacy import privacy
from pocketrec.cloud.report.reading import reading
from pocketrec.cloud.report.staged import two_stages
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic

REPORT_FILE = "report.html"
_WAY = "The cloud sees nothing at or after the cut-off; what a device learns stays on it."


def write_report(run: Path) -> Path:
    """Write ``run/report.html`` from the files of the run directory and return its path.

    Reads ``metrics.json``; and where they are there ``config.json``, ``versions.json``, ``metrics.jsonl`` (training),
    ``rehearse/rehearsal.json``, ``fleet/users.jsonl`` (per-user gains), ``data/reading.json`` (rows left out) and
    ``audit.json``.

    Raises:
        DataError: metrics.json is missing or unreadable.
        StorageError: the page cannot be written.
    """
    metrics = _read(run / "metrics.json")
    if not metrics:
        raise DataError(f"no file {run / 'metrics.json'}: run `pocketrec fleet` first")
    settings, versions = upgraded(_read(run / "config.json")), _read(run / "versions.json")
    rehearsal = _read(run / "rehearse" / "rehearsal.json") if "rehearsal" in metrics else {}
    users = read_users(run / "fleet") if "personal" in metrics and (run / "fleet" / USERS_FILE).exists() else []
    source, packed = settings.get("data", {}), packed_bytes(run)
    name = source.get("set") or Path(source.get("path", "")).name or run.resolve().name
    lead = f"{name}, seed {settings.get('seed', metrics['protocol']['seed'])}"
    parts = [
        f'<h1>PocketRec: {escape(name)}</h1><p class="lead">{escape(_lead(metrics, lead) + _verdict(metrics))}</p>',
        sections.headline(metrics, packed),
        closing.verdict(metrics),
        page.section("The way of the data", _WAY, flow(metrics, settings)),
        reading(load_reading(run)),
        sections.quality(metrics),
        two_stages(metrics),
        privacy(metrics),
        sections.per_user(metrics, users),
        examples(users, _item_names(run)),
        sections.rehearsal(metrics, rehearsal),
        sections.training(_lines(run / "metrics.jsonl")),
        costs(metrics, packed),
        audit_section(_read(run / "audit.json")),
        closing.glossary(),
        page.section("How this was made", "", "".join(
            page.details(title, json.dumps(content, indent=1, ensure_ascii=False))
            for title, content in (("Configuration", settings), ("Versions", versions),
                                   ("Seconds of each stage", stage_seconds(run)),
                                   ("Counts", metrics.get("data", {}))) if content)) if settings or versions else "",
    ]  # fmt: skip
    path = run / REPORT_FILE
    write_atomic(path, page.page(f"PocketRec: {name}", "\n".join(part for part in parts if part)).encode("utf-8"))
    return path


def _item_names(run: Path) -> list[str]:
    """The title of each item row, its id where it has none; empty where the run has no list of items."""
    path = run / "data" / "cloud" / "items.txt"
    if not path.exists():
        return []
    ids = path.read_text(encoding="utf-8").split("\n")[:-1]
    titles = load_titles(run) or [""] * len(ids)
    return [title or item for title, item in zip(titles, ids, strict=True)]


def _lead(metrics: dict[str, Any], lead: str) -> str:
    change = metrics["compare"].get("personal", {}).get("mrr@20")
    if not change:
        kind = "sessions that never come back" if metrics.get("data", {}).get("sessions") else "its own split"
        what = "the global model and neighbours" if "neighbours" in metrics["compare"] else "the global model"
        return f"{lead}. A log of {kind}, without personal training: {what} against simple baselines."
    if change["low"] is not None and change["low"] > 0:
        verdict = f"what a device does for its user clearly helps{_by_what(metrics)}"
    elif change["high"] is not None and change["high"] < 0:
        verdict = "what a device does for its user hurts"
    else:
        verdict = "what a device does for its user makes no clear difference"
    return f"{lead}. On this log {verdict}."


def _verdict(metrics: dict[str, Any]) -> str:
    sentence, found = sentence_of(metrics), beats_the_network(metrics)
    return f" {sentence[0].upper()}{sentence[1:]}." + (f" {found}." if found else "")


def _by_what(metrics: dict[str, Any]) -> str:
    """Whether trained weights add to what the bonus for repeats does alone."""
    beside = metrics["compare"].get("personal_repeats", {}).get("mrr@20")
    if not beside or beside["low"] is None:
        return ""
    if beside["low"] > 0:
        return ", and the trained weights clearly add to the bonus for repeats"
    return "; most of it is the bonus for repeats, to which the trained weights add nothing clear"


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({type(error).__name__}): run the stage that writes it again") from None


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
