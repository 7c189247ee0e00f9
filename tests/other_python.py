"""Which tests `make test-python3.13` leaves to the interpreter of `make test` (POCKETREC_OTHER_PYTHON=1).

Another Python comes with other versions of numpy, pandas and the runtimes, so all tests of the device and all tests of
the cloud that take little are run with it. Training and converting are TensorFlow's own work, some seconds each time:
of the files that do so again and again, one test that trains, one that searches and some that convert are enough to
see that they work, and one whole run stands for all slow tests. `make test PYTHON=python3.13` runs everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

CHOSEN = os.environ.get("POCKETREC_OTHER_PYTHON", "") not in ("", "0")

ONLY: dict[str, tuple[str, ...]] = {
    "cloud/search/test_search.py": ("test_trials_are_recorded", "test_a_configuration_written_as_toml"),
    "cloud/test_full_disk.py": (),
    "cloud/training/test_train.py": ("test_history_and_result", "test_a_rate_that_explodes"),
    "cloud/training/test_train_pruning.py": ("test_the_smallest_are_pruned",),
    "export/file/test_shrink.py": (),
    "export/layers/test_layers.py": ("TestGru",),
    "export/tables/test_quantise.py": ("test_error_is_at_most_half_a_step",),
    "export/test_export.py": ("test_gate_passes_on_every_runtime[2-partial-adagrad-", "test_gru_equals_keras",
                              "test_gate_refuses_other_weights"),
    "test_golden_run.py": ("test_a_run_of_then_is_up_to_date", "test_a_run_of_then_is_reported_on"),
}  # fmt: skip
"""File -> how the names of those of its tests begin that are run."""

SLOW = ("package/test_package_run.py",)
"""Files whose slow tests are run: with a package of one's own, from the log to a device."""


def is_run(file: str, name: str, markers: Iterable[str]) -> bool:
    """Whether a test is among the chosen.

    Args:
        file: its path below tests/, with slashes.
        name: what stands behind the file in its node id.
        markers: names of its markers.
    """
    if "slow" in markers:
        return file in SLOW
    return file not in ONLY or name.startswith(ONLY[file])
