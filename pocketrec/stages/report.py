"""Stage report: report.html."""

from __future__ import annotations

from pocketrec.cloud.base.runs import Run, Stage


def report(run: Run) -> None:
    """Write ``RUN/report.html``."""
    from pocketrec.cloud.report import write_report

    write_report(run.folder)


REPORT = Stage(
    "report",
    "write report.html",
    needs=("fleet",),
    depends=lambda c: None,
    work=report,
    leaves=("report.html",),
    help="write report.html",
    does="writes one self-contained page about the run: RUN/report.html",
)
