# SPDX-License-Identifier: Apache-2.0
"""Logs of sessions: cut into sessions where users pause, split by the session's start, counted and told as sessions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.audit.own import parts_of_config, parts_of_run
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.log import Labels, Log
from pocketrec.cloud.data.prepared import load_cloud, prepare
from pocketrec.cloud.data.sessions import by_gap
from pocketrec.cloud.data.split import rehearsal_split, split_log
from pocketrec.device.base.errors import ConfigError, DataError

DATA = DataConfig(set="synthetic")
BEGIN = 1_500_000_000
Rows = list[tuple[str, int]]


def log_of(rows: Rows, unit: int = 1) -> Log:
    """Events of users at some seconds; items x and y in turn."""
    users = sorted({user for user, _ in rows})
    codes = np.array([users.index(user) for user, _ in rows], np.int32)
    times = np.array([(BEGIN + second) * unit for _, second in rows])
    items = Labels(np.array(["x", "y"], object), np.arange(len(rows), dtype=np.int32) % 2)
    return Log(Labels(np.array(users, object), codes), items, times)


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_pause_longer_than_the_gap_begins_a_session(unit: int) -> None:
    log = log_of([("b", 0), ("a", 100), ("b", 61), ("a", 160), ("b", 60), ("a", 1000), ("b", 200)], unit)
    cut = by_gap(log, 60)
    names = [str(cut.users.values[code]) for code in cut.users.codes]
    assert names == ["b#1", "a#1", "b#1", "a#1", "b#1", "a#2", "b#2"]
    np.testing.assert_array_equal(cut.timestamps, log.timestamps)


rows = st.lists(st.tuples(st.sampled_from(["u", "u#1", "ü"]), st.integers(0, 300)), min_size=2, max_size=40)


@examples(60)
@given(rows, st.integers(1, 100), st.floats(0.1, 0.9))
def test_sessions_lie_where_they_began_and_nothing_later_is_seen(made: Rows, gap: int, quantile: float) -> None:
    log = by_gap(log_of(made), gap)
    for user in set(log.users.codes.tolist()):
        times = np.sort(log.timestamps[log.users.codes == user])
        assert (np.diff(times) <= gap).all()
    try:
        made_of = split_log(log_of(made), SplitConfig(kind="sessions", gap=gap, quantile=quantile), DATA)
    except DataError:  # one side is empty
        return
    assert not set(made_of.before.users) & set(made_of.after.users)
    assert (made_of.personal, made_of.summary["sessions"]) == (False, True)
    assert made_of.cut_off is not None
    assert made_of.before.timestamps.max() < made_of.cut_off
    assert made_of.after.timestamps.min(initial=made_of.cut_off) >= made_of.cut_off
    whole = {user: int((log.users.codes == place).sum()) for place, user in enumerate(log.users.values)}
    unknown = made_of.summary["unknown_after"]
    assert unknown or all(whole[user] == length
                          for user, length in zip(made_of.after.users, made_of.after.lengths, strict=True))  # fmt: skip


def test_an_id_is_a_session_where_there_is_no_gap() -> None:
    made = split_log(log_of([("s1", 0), ("s2", 5), ("s1", 9), ("s3", 8), ("s3", 8)]),
                     SplitConfig(kind="sessions", quantile=0.8), DATA)  # fmt: skip
    assert made.before.users.tolist() == ["s1", "s2"]
    assert made.before.events == 2, "s1 goes on after s3 began: that is neither seen nor tested"
    assert (made.after.users.tolist(), made.after.events, made.cut_off) == (["s3"], 2, BEGIN + 8)


def test_an_earlier_cut_keeps_sessions_whole_too() -> None:
    rows = [(f"s{place:02}", 10 * place + step) for place in range(20) for step in (0, 5, 12)]
    before = split_log(log_of(rows), SplitConfig(kind="sessions", quantile=0.9), DATA).before
    earliest, later, _ = rehearsal_split(before, 0.5, sessions=True)
    assert not set(earliest.users) & set(later.users)
    assert earliest.timestamps.max() < later.timestamps.min()
    past, rest, _ = rehearsal_split(before, 0.53)
    assert set(past.users) & set(rest.users), "a cut in time goes through sessions"


def test_options_that_fit_no_session_are_refused() -> None:
    for split in ({"gap": 60.0}, {"kind": "sessions", "gap": -1.0}, {"anonymous": True}):
        with pytest.raises(ConfigError, match="split"):
            config_from_dict({"split": split})
    with pytest.raises(ConfigError, match="lean"):
        config_from_dict({"split": {"kind": "sessions"}, "lean": {"enabled": True}})


def test_the_audit_counts_sessions_by_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [(f"u{user}", f"i{rng.integers(9)}", BEGIN + int(second))
            for user in range(12) for second in np.cumsum(rng.choice([5, 400], 20))]  # fmt: skip
    with (tmp_path / "log.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("user", "item", "timestamp"), *rows])
    config = config_from_dict({"data": {"path": str(tmp_path / "log.csv")}, "split": {"kind": "sessions", "gap": 60.0}})
    pairs = parts_of_config(config, "x").recount
    assert pairs
    assert all(said == found for said, found in pairs.values()), pairs
    prepare(config, tmp_path / "run")
    assert load_cloud(tmp_path / "run").summary["sessions"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    assert parts_of_run(tmp_path / "run").learn is None
