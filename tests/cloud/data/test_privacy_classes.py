# SPDX-License-Identifier: Apache-2.0
"""Privacy classes of events: after the cut-off the cloud has business-necessary ones alone, devices have all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.prepared import (
    NECESSARY_FILE,
    load_cloud,
    load_devices,
    load_necessary,
    load_summary,
    prepare,
)
from pocketrec.cloud.data.whole import prepare_whole
from pocketrec.device.base.errors import ConfigError, DataError

pytestmark = pytest.mark.feature("D2")

USERS, EVENTS = 5, 20
CUT = 14  # of each user's events; all users act in turn, so it is the cut of the log too


def _behavior(user: int, event: int) -> str:
    return "buy" if (user + event) % 3 == 0 else "view"


def _config(folder: Path, privacy: dict[str, list[str]] | None = None, **split: Any) -> RunConfig:
    """A log in which each user has an item of its own that is only viewed, and only after the cut-off."""
    rows = []
    for event in range(EVENTS):
        for user in range(USERS):
            late, behavior = event >= CUT, _behavior(user, event)
            item = f"late{user}" if late and behavior == "view" and event % 2 else f"i{(user + event) % 7}"
            rows.append(f"u{user},{item},{1000 + event * 10 + user},{behavior},{'test' if late else 'train'}")
    path = folder / "log.csv"
    path.write_text("user,item,timestamp,behavior,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    privacy = {"behavior": ["buy"]} if privacy is None else privacy
    tables = {"data": {"path": str(path), "privacy": privacy}, "split": {"quantile": CUT / EVENTS, **split}}
    return config_from_dict(tables)


def test_the_cloud_has_the_purchases_of_what_devices_learn_from(tmp_path: Path) -> None:
    config = _config(tmp_path)
    prepare(config, tmp_path / "run")
    necessary, devices = load_necessary(tmp_path / "run"), load_devices(tmp_path / "run")
    names = load_cloud(tmp_path / "run").vocabulary.ids
    expected, learned = {}, 0
    for place, user in enumerate(devices.after.users):
        learn = int(devices.learn[place])
        learned += learn
        times = devices.after.of(place)[1][:learn]
        number = int(user[1:])
        kept = [time for time in times.tolist() if _behavior(number, (time - 1000) // 10) == "buy"]
        expected[user] = kept
    found = {user: necessary.of(place)[1].tolist() for place, user in enumerate(necessary.users)}
    assert found == {user: kept for user, kept in expected.items() if kept}
    for place, user in enumerate(necessary.users):
        for row, time in zip(*necessary.of(place), strict=True):
            assert names[row - 1] == f"i{(int(user[1:]) + (time - 1000) // 10) % 7}"
    counts = load_summary(tmp_path / "run")
    assert counts["necessary_learn"] == necessary.events == sum(map(len, expected.values()))
    assert 0 < counts["necessary_learn"] < counts["events_learn"] == learned
    assert counts["necessary_learn"] < counts["necessary_after"] < counts["events_after"]


def test_classes_change_nothing_else_that_is_prepared(tmp_path: Path) -> None:
    for name, privacy in (("with", None), ("without", {})):
        prepare(_config(tmp_path, privacy), tmp_path / name)
    for path in ("cloud/before.npz", "cloud/items.txt", "cloud/counts.npy", "cloud/summary.json", "devices/after.npz",
                 "devices/learn.npy"):  # fmt: skip
        assert (tmp_path / "with" / "data" / path).read_bytes() == (tmp_path / "without" / "data" / path).read_bytes()
    assert not (tmp_path / "without" / NECESSARY_FILE).exists()
    prepare(_config(tmp_path, {}), tmp_path / "with")
    assert not (tmp_path / "with" / NECESSARY_FILE).exists(), "what an earlier call left is gone"


@pytest.mark.parametrize("split", [{}, {"kind": "time", "time": str(1000 + CUT * 10)}, {"kind": "per_user"},
                                   {"kind": "column", "test_values": ["test"]}])  # fmt: skip
def test_a_model_of_the_whole_log_reads_only_what_the_cloud_may_use(tmp_path: Path, split: dict[str, Any]) -> None:
    prepare_whole(_config(tmp_path, **split), tmp_path / "allowed")
    prepare_whole(_config(tmp_path, {}, **split), tmp_path / "all")
    allowed, everything = load_cloud(tmp_path / "allowed"), load_cloud(tmp_path / "all")
    assert everything.before.events == USERS * EVENTS
    early = [(user, event) for user in range(USERS) for event in range(CUT)]
    late = [(user, event) for user in range(USERS) for event in range(CUT, EVENTS) if _behavior(user, event) == "buy"]
    found = sorted((int(user[1:]), (time - 1000) // 10) for place, user in enumerate(allowed.before.users)
                   for time in allowed.before.of(place)[1].tolist())  # fmt: skip
    assert found == sorted(early + late)
    assert set(everything.vocabulary.ids) - set(allowed.vocabulary.ids) == {f"late{user}" for user in range(USERS)}
    assert allowed.counts.sum() == allowed.before.events


def test_events_carry_a_value_of_every_column(tmp_path: Path) -> None:
    prepare(_config(tmp_path, {"behavior": ["buy", "view"], "split": ["test"]}), tmp_path / "run")
    counts = load_summary(tmp_path / "run")
    assert counts["necessary_after"] == counts["events_after"]
    np.testing.assert_array_equal(load_necessary(tmp_path / "run").lengths, load_devices(tmp_path / "run").learn)


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        ({"behavior": ["purchase"]}, "no event after the cut-off is business-necessary: correct .* data.privacy"),
        ({"behaviour": ["buy"]}, "no column 'behaviour' .*: set data.privacy"),
    ],
)
def test_a_class_that_is_not_in_the_log_is_refused(privacy: dict[str, list[str]], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        prepare(_config(tmp_path, privacy), tmp_path / "run")


def test_a_class_needs_values_and_a_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="privacy names values"):
        config_from_dict({"data": {"set": "synthetic", "privacy": {"behavior": []}}})
    tables = {"data": {"set": "synthetic", "privacy": {"behavior": ["buy"]}}}
    with pytest.raises(ConfigError, match="privacy is not there for Spark"):
        config_from_dict({**tables, "resources": {"engine": "spark"}})
    config = config_from_dict(tables)
    with pytest.raises(ConfigError, match=r"the synthetic log has no column for data\.privacy"):
        prepare(config, tmp_path / "run")
