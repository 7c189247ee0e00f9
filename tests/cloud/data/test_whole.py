# SPDX-License-Identifier: Apache-2.0
"""The whole log as the past: nothing is left out, and the cut-off is its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.data.prepared import load_cloud, load_devices, prepare
from pocketrec.cloud.data.whole import prepare_whole

ROWS = [(user, f"{item % 4}", 100 + 10 * item + user) for item in range(10) for user in range(6)]


def _log(folder: Path) -> Path:
    rows = [*ROWS, (0, "latest", 500)]
    path = folder / "log.csv"
    path.write_text("user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(("kind", "cut_off"), [("quantile", 501), ("per_user", None)])
def test_everything_lies_before_the_end(kind: str, cut_off: int | None, tmp_path: Path) -> None:
    config = config_from_dict({"data": {"path": str(_log(tmp_path))}, "split": {"kind": kind}})
    prepare(config, tmp_path / "run")
    prepare_whole(config, tmp_path / "whole")
    part, whole = load_cloud(tmp_path / "run"), load_cloud(tmp_path / "whole")
    devices = load_devices(tmp_path / "whole")
    assert whole.before.events == len(ROWS) + 1 > part.before.events
    assert len(devices.after) == len(devices.learn) == 0
    assert whole.cut_off == cut_off
    assert set(whole.vocabulary.ids) - set(part.vocabulary.ids) >= {"latest"}
    assert whole.counts.sum() == whole.before.events
    assert whole.personal


def test_times_that_are_no_whole_numbers_end_right_after_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n" + "".join(f"u{n % 3},i{n % 5},{n + 0.5}\n" for n in range(30)))
    prepare_whole(config_from_dict({"data": {"path": str(path)}}), tmp_path / "whole")
    assert load_cloud(tmp_path / "whole").cut_off == np.nextafter(29.5, np.inf)
