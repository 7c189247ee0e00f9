"""report.html: one self-contained page about a run, made with plain Python and inline SVG."""

from __future__ import annotations

from pathlib import Path


def write_report(run: Path) -> Path:
    """Write ``run/report.html`` from the files of the run directory and return its path.

    Reads ``metrics.json``; and where they are there ``config.json``, ``versions.json``, ``metrics.jsonl`` (training),
    ``rehearse/rehearsal.json`` and ``fleet/users.jsonl`` (per-user gains).
    """
    raise NotImplementedError
