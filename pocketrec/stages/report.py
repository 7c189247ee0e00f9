# SPDX-License-Identifier: Apache-2.0
"""Stage report: report.html."""

from __future__ import annotations

from pocketrec.cloud.base.runs import Run, Stage


def report(run: Run) -> None:
    """Write ``RUN/report.html``, which ends with the quick part of the audit: ``RUN/audit.json``."""
    from pocketrec.cloud.audit.own import audit_quickly
    from pocketrec.cloud.report import write_report

    run.detail(audit_quickly(run.folder))
    write_report(run.folder)


REPORT = Stage(
    "report",
    "write report.html",
    needs=("fleet",),
    depends=lambda c: None,
    work=report,
    leaves=("report.html", "audit.json"),
    help="write report.html",
    does="writes one self-contained page about the run: RUN/report.html",
)
