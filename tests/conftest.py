# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: examples of property tests, the choice for another Python, the order of files, no skip
unseen in CI."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from examples import LONG
from hypothesis import settings
from other_python import CHOSEN, is_read, is_run

# No deadline, for machines differ. The short suites try the same examples everywhere; the long one draws new ones.
settings.register_profile("short", deadline=None, derandomize=True, database=None)
settings.register_profile("long", deadline=None, max_examples=1000, database=None)
settings.load_profile("long" if LONG else "short")

FAILED = os.environ.pop("POCKETREC_FAILED", "")
"""File that gets the ids of tests that fail. Like `ONLY`, of tests/parts.py; not for the pytest that a test starts."""
ONLY = Path(os.environ["POCKETREC_ONLY"]).read_text(encoding="utf-8") if "POCKETREC_ONLY" in os.environ else ""
"""Ids of the tests to run, a line each; empty: all."""

# Files that take longest, in the short suites or the long ones. They are begun first: a file is the work of one worker,
# and at the end both should have something to do.
LONGEST = (
    "test_half_year.py", "test_run.py", "cloud/transfer/test_transfer_command.py", "commands/test_tutorial.py",
    "test_demo.py", "commands/test_production.py", "cloud/training/test_train.py",
    "cloud/training/test_train_resumed.py", "test_benchmarks.py",
    "commands/test_federate.py", "export/test_export.py", "commands/test_compare.py",
    "cloud/training/test_train_yoochoose.py", "package/test_package_run.py", "commands/test_privacy_run.py",
    "stages/test_two_stages.py", "cases/test_cases_any.py", "test_scale.py", "cases/test_cases_shared.py",
    "export/test_export_nextitnet.py", "export/file/test_zeros.py", "export/test_export_sasrec.py",
    "export/test_export_mingru.py", "export/test_export_grec.py", "export/test_export_sharing.py",
    "export/tables/test_block_table.py", "export/tables/test_quantise.py",
    "export/federated/test_contribution_file.py", "cloud/rehearsal/test_rehearse.py",
    "cloud/transfer/test_transfer_network.py", "cloud/search/test_search.py", "cloud/backbones/test_models.py",
    "commands/test_automatic.py", "export/layers/test_layers.py",
    "export/layers/test_layers_wrapped.py", "export/test_export_ranknet.py",
    "cloud/rehearsal/test_bonus.py", "cloud/data/test_data_readers.py", "cloud/data/test_data_sequences.py",
    "cloud/data/test_data_killed.py", "cloud/federated/test_masks.py", "cloud/audit/test_audit_command.py",
    "cloud/federated/test_pfedrec_command.py", "machines/test_remote.py", "test_cli.py", "test_golden_run.py",
    "cloud/test_full_disk.py", "test_skips.py",
)  # fmt: skip


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """With another Python, files none of whose tests are chosen: importing them costs seconds."""
    if not CHOSEN or not collection_path.name.startswith("test_") or collection_path.suffix != ".py":
        return None
    return None if is_read(collection_path.relative_to(Path(__file__).parent).as_posix()) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files in the order of `LONGEST`; with another Python, or again, a choice of the tests is run."""
    below, places = Path(__file__).parent, {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.relative_to(below).as_posix(), len(LONGEST)))
    if CHOSEN:
        chosen = [item for item in items
                  if is_run(item.path.relative_to(below).as_posix(), item.nodeid.partition("::")[2],
                            {marker.name for marker in item.iter_markers()})]  # fmt: skip
        _keep(config, items, chosen)
    if ONLY:
        _keep(config, items, [item for item in items if item.nodeid in ONLY.splitlines()])


def _keep(config: pytest.Config, items: list[pytest.Item], chosen: list[pytest.Item]) -> None:
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


def pytest_collection_finish() -> None:
    """What is imported by now stays to the end: the garbage collector need not walk through it again and again."""
    os.environ.pop("POCKETREC_ONLY", None)  # workers have been started by now
    gc.collect()
    gc.freeze()


def _must_run(item: pytest.Item) -> bool:
    """Whether a skip of the test is a failure: in CI, but for tests of real logs where there are none."""
    if os.environ.get("CI", "").lower() not in ("1", "true", "yes"):
        return False
    data = Path(os.environ.get("POCKETREC_DATA", Path(__file__).parents[2] / "shared" / "data"))
    return item.get_closest_marker("real_data") is None or data.is_dir()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _must_run(item):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"in CI nothing may be missing, and this test was {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    if report.skipped and os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        report.outcome, report.longrepr = "failed", f"in CI nothing may be missing: {report.longrepr}"
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and FAILED:
        with open(FAILED, "a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\n")


def pytest_sessionfinish(exitstatus: int) -> None:
    """A session that was stopped has run less than its failures tell."""
    if FAILED and exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        with open(FAILED, "a", encoding="utf-8") as file:
            file.write(f"the session ended with status {exitstatus}\n")
