# SPDX-License-Identifier: Apache-2.0
"""`data.share`: the global model trains on some of the users, with all their events; nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketrec.cloud.base.runs import Pipeline, Run
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.data.prepared import load_cloud
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.errors import ConfigError
from pocketrec.stages import STAGES
from pocketrec.stages.train import sample


def _log(users: int = 20) -> Sequences:
    codes = np.repeat(np.arange(users), np.arange(1, users + 1))
    return Sequences.build(np.array([f"u{user:02}" for user in range(users)], object), codes,
                           np.arange(len(codes)) + 1, np.arange(len(codes)))  # fmt: skip


def test_whole_users_are_taken_the_same_ones_for_a_seed() -> None:
    log = _log()
    some = sample(log, 0.3, 7)
    assert len(some) == 6
    for place, user in enumerate(some.users):
        np.testing.assert_array_equal(some.of(place)[0], log.of(int(log.find(user) or 0))[0])
    assert sample(log, 0.3, 7).users.tolist() == some.users.tolist() != sample(log, 0.3, 8).users.tolist()
    assert sample(log, 1.0, 7) is log
    assert len(sample(log, 0.001, 7)) == 1


def test_the_prepared_log_has_everybody(tmp_path: Path) -> None:
    for share in (1.0, 0.25):
        tables = {"data": {"set": "synthetic", "synthetic": {"users": 20, "items": 30, "events": 20}, "share": share}}
        Pipeline(STAGES, Run(config_from_dict(tables), tmp_path / str(share))).execute(["prepare"])
    whole, part = (load_cloud(tmp_path / share) for share in ("1.0", "0.25"))
    assert part.before.users.tolist() == whole.before.users.tolist()
    assert list(part.vocabulary.ids) == list(whole.vocabulary.ids)


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ConfigError, match=r"share must lie in \(0, 1\]"):
        config_from_dict({"data": {"set": "synthetic", "share": share}})
