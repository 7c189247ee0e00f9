# SPDX-License-Identifier: Apache-2.0
"""The page of an audit, in the style of report.html."""

from __future__ import annotations

from html import escape
from pathlib import Path

from pocketrec.cloud.audit.finding import Verdict, summary_line
from pocketrec.cloud.report import page
from pocketrec.cloud.report.audit import audit_section, audit_tiles
from pocketrec.device.base.files import write_atomic


def write_page(verdict: Verdict, path: Path) -> None:
    """Write one self-contained page.

    Raises:
        StorageError: it cannot be written.
    """
    document = verdict.to_dict()
    lead = f"{verdict.name}: {summary_line(verdict.counts())}."
    parts = [
        f'<h1>PocketRec audit</h1><p class="lead">{escape(lead)}</p>',
        audit_tiles(document),
        audit_section(document, "Checks"),
    ]
    write_atomic(path, page.page("PocketRec audit", "\n".join(parts)).encode("utf-8"))
