# SPDX-License-Identifier: Apache-2.0
"""How long work takes yet, where it is of several kinds that follow each other in one stage."""

from __future__ import annotations

import io

import pytest

from pocketrec.cloud.base import progress as progress_module
from pocketrec.cloud.base.progress import TerminalProgress


@pytest.mark.parametrize("second_total", [100, 60])
def test_the_rate_of_another_kind_of_work_is_its_own(monkeypatch: pytest.MonkeyPatch, second_total: int) -> None:
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with TerminalProgress("rehearse", stream, "users") as progress:
        for done in range(101):  # a second each
            now[0] += 1
            progress(done, 100, "screening")
        for done in range(31):  # two seconds each
            now[0] += 2
            progress(done, second_total, "with the guard")
    last = stream.getvalue().splitlines()[-1]
    done = int(last.split()[1].partition("/")[0])
    assert f"about {progress_module._duration(2 * (second_total - done))} left" in last
