"""What holds for every test: examples of property tests, the choice for another Python, no skip unseen in CI."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from examples import LONG
from hypothesis import settings
from other_python import CHOSEN, is_run

# No deadline, for machines differ. The short suites try the same examples everywhere; the long one draws new ones.
settings.register_profile("short", deadline=None, derandomize=True, database=None)
settings.register_profile("long", deadline=None, max_examples=1000, database=None)
settings.load_profile("long" if LONG else "short")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With another Python a choice of the tests is run: see `other_python`."""
    if CHOSEN:
        below = Path(__file__).parent
        chosen = [item for item in items
                  if is_run(item.path.relative_to(below).as_posix(), item.nodeid.partition("::")[2],
                            {marker.name for marker in item.iter_markers()})]  # fmt: skip
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


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
