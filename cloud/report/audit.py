# SPDX-License-Identifier: Apache-2.0
"""The section about leaks: what `pocketrec audit` found, from its JSON document to markup."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from pocketrec.cloud.report import page
from pocketrec.cloud.report.words import DASH, count, percent

#: Verdict -> class of its colour.
_COLOURS: Final = {"fail": "naive", "warn": "naive", "cannot tell": "other", "info": "global", "ok": "personal"}
_WORDS: Final = "Counted again by pandas. Only a failed check is an error; `cannot tell` and `info` judge nothing."


def audit_section(document: Mapping[str, Any], title: str = "Leaks") -> str:
    """A card with the table of checks; empty where there is no audit."""
    checks = document.get("checks", [])
    if not checks:
        return ""
    rows = []
    for check in checks:
        advice = f"<br><small>What to do: {escape(check['advice'])}</small>" if check["advice"] else ""
        number = DASH if check["number"] is None else _number(check["number"])
        rows.append([f'<i class="{_COLOURS[check["verdict"]]}"></i>{escape(check["check"])}', escape(check["verdict"]),
                     number, percent(check["share"], 1), _long(escape(check["sentence"]) + advice)])  # fmt: skip
    strong = [place for place, check in enumerate(checks) if check["verdict"] == "fail"]
    skipped = document.get("skipped", {})
    notes = "\n".join([*(f"{name}: not checked, needs {needs}" for name, needs in skipped.items()),
                       *document.get("notes", [])])  # fmt: skip
    body = page.table(["check", "verdict", "number", "share", "what was found"], rows, strong)
    return page.section(title, _WORDS, body + (page.details("Not checked, and notes", notes) if notes else ""))


def audit_tiles(document: Mapping[str, Any]) -> str:
    """The counts of verdicts as large figures."""
    counts = document.get("counts", {})
    names = {"fail": "failed", "warn": "warnings", "cannot tell": "cannot tell", "info": "for your information",
             "ok": "fine"}  # fmt: skip
    return page.tiles([(count(counts.get(verdict, 0)), words, "") for verdict, words in names.items()])


def _number(value: float) -> str:
    return count(value) if float(value).is_integer() else f"{value:.4g}"


def _long(markup: str) -> str:
    """A sentence in a table: it may wrap."""
    return f'<span style="white-space: normal; text-align: left; display: inline-block">{markup}</span>'
