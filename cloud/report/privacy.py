# SPDX-License-Identifier: Apache-2.0
"""The sections about who learns what: privacy classes of events, and push mode. Each is empty without its figures."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from pocketrec.cloud.evaluation.worth import PARTS
from pocketrec.cloud.report import page
from pocketrec.cloud.report.words import change, count, interval, size

Table = Mapping[str, Any]


def privacy(metrics: Table) -> str:
    """What each part of the later events is worth, by who may use it; what push mode reveals."""
    parts, words, title = [], "", "Push mode"
    if found := metrics.get("privacy"):
        title, counts = "What each part of the events is worth", metrics.get("data", {})
        if "necessary_learn" in counts:
            words = (f"Of {count(counts['events_learn'])} events that devices learn from, the cloud may use "
                     f"{count(counts['necessary_learn'])}: the business-necessary ones.")  # fmt: skip
        rows = [[escape(PARTS[name][2]), f"{change(one['mean'])} <small>({interval(one)})</small>",
                 f"{count(one['gained'])} : {count(one['harmed'])}"] for name, one in found.items()]  # fmt: skip
        parts.append(page.table(["What is used", "MRR@20 (95 %)", "gained : harmed"], rows))
    if pushed := metrics.get("push_mode"):
        parts.append(f"<p>{escape(push_in_words(pushed))}</p>")
    return page.section(title, words, "".join(parts)) if parts else ""


def push_in_words(pushed: Table) -> str:
    """What push mode reveals, and what it changes."""
    return (f"push mode reveals {pushed['reveals']} to the server ({size(pushed['bytes_up'])} up for a request), which "
            f"ranks all {count(pushed['items'])} items by it, without the device's bonus for repeats or neighbours; "
            f"a device of pull mode sends nothing")  # fmt: skip


def worth_in_words(found: Table) -> list[str]:
    """Lines on what each part is worth, for a terminal."""
    return [f"{PARTS[name][2]}: {change(one['mean'])} MRR@20 ({interval(one)}), "
            f"{one['gained']} : {one['harmed']} users" for name, one in found.items()]  # fmt: skip
