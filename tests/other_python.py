# SPDX-License-Identifier: Apache-2.0
"""Which tests `make test-python3.13` runs with the other interpreter (POCKETREC_OTHER_PYTHON=1).

Another Python comes with other versions of numpy, pandas, TensorFlow and the runtimes. What may differ with them is
run: imports of every module, the command line, all that reads and writes files (logs, bundles, recipes, states) and
computes with numpy and pandas, one training, some conversions, one whole run with a package of one's own, and the
tests of the device but kills, faults and altered files (which are a part of their own). Again and again training and
converting is TensorFlow's work, and proves with one interpreter what it would with another. `make test
PYTHON=python3.13` runs everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

CHOSEN = os.environ.get("POCKETREC_OTHER_PYTHON", "") not in ("", "0")

WHOLE = (
    "cases/test_cases_early.py", "cases/test_cases_told.py", "cloud/audit/test_audit_checks.py",
    "cloud/audit/test_audit_files.py", "cloud/backbones/test_item_net.py", "cloud/base/", "cloud/baselines/",
    "cloud/candidates/", "cloud/config/", "cloud/data/", "cloud/evaluation/", "cloud/fleet/", "cloud/metrics/",
    "cloud/report/", "cloud/retrieval/", "commands/test_gate.py", "commands/test_join.py",
    "package/test_package_contracts.py", "stages/test_pipeline.py", "stages/test_candidates_file.py", "test_cli.py",
    "test_doctor.py", "test_imports.py", "test_runs.py",
)  # fmt: skip
"""Files, and folders with a slash behind them, all of whose tests are run that are neither slow nor long."""

ONLY: dict[str, tuple[str, ...]] = {
    "cloud/audit/test_audit_replay.py": ("test_compressed_and_parquet_logs",),
    "cloud/backbones/test_models.py": ("TestGru",),
    "cloud/data/test_data_killed.py": (),
    "cloud/rehearsal/test_rehearse.py": ("test_nothing_to_learn", "test_the_prior_recovers"),
    "cloud/search/test_search.py": ("test_a_configuration_written_as_toml",),
    "cloud/training/test_train.py": ("test_history_and_result", "test_a_rate_that_explodes"),
    "export/layers/test_layers.py": ("TestGru",),
    "export/tables/test_block_table.py": ("test_the_card",),
    "export/tables/test_quantise.py": ("test_error_is_at_most_half_a_step",),
    "export/test_export.py": ("test_gate_passes_on_every_runtime[2-partial-adagrad-", "test_gru_equals_keras"),
    "test_golden_run.py": ("test_a_run_of_then_is_up_to_date", "test_a_run_of_then_is_reported_on"),
}  # fmt: skip
"""File -> how the names of those of its tests begin that are run; also of files that `WHOLE` has."""

RUNS = ("package/test_package_run.py",)
"""Files whose slow and long tests are run: with a package of one's own, from the log to a device."""


def is_read(file: str) -> bool:
    """Whether a file, its path below tests/, has tests that may be run: others need not be imported."""
    return bool(ONLY[file]) if file in ONLY else file.startswith((*WHOLE, *RUNS))


def is_run(file: str, name: str, markers: Iterable[str]) -> bool:
    """Whether a test is among the chosen.

    Args:
        file: its path below tests/, with slashes.
        name: what stands behind the file in its node id.
        markers: names of its markers.
    """
    if file in RUNS:
        return True
    if not {"slow", "long", "java"}.isdisjoint(markers):
        return False
    return name.startswith(ONLY[file]) if file in ONLY else file.startswith(WHOLE)
