# SPDX-License-Identifier: Apache-2.0
"""States, tasks' states and quality that a key seals: each side reads the other's, and refuses what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import by_java
import pytest
from by_java import JAVA, java
from java_recommender import TypedRecommender
from loyal import loyal
from traces import traces

from pocketrec.device import Recommender
from pocketrec.device.base.errors import ConfigError, StateError
from pocketrec.device.personal.budget import Budget
from pocketrec.device.state.file import load_state, previous_of, quality_of
from pocketrec.device.state.quality import load_quality
from pocketrec.device.store.sealing import Seal

pytestmark = [pytest.mark.java, pytest.mark.skipif(not JAVA, reason="run by `make test-android`")]
globals().update(by_java.cases("device/conftest.py", {}, ()))

KEY, OTHER = bytes(range(32)), bytes(32)
KINDS = (TypedRecommender, Recommender)


def events(count: int, start: float) -> list[tuple[str, float]]:
    return [(f"item {row}", start + place) for place, row in enumerate(loyal(count))]


def test_one_users_sealed_files_in_turns(folder: Path, tmp_path: Path) -> None:
    """State, store, quality and a stopped training; without the key nothing of them can be read."""
    pytest.importorskip("cryptography")
    files = {"user": "a secret name", "state": tmp_path / "s", "store": tmp_path / "e", "key": KEY}
    known: list[Any] = []
    for turn in range(4):
        with KINDS[turn % 2](folder, **files) as one:
            assert list(one.history) == known
            budget = Budget(seconds=1e-9) if turn == 2 else None
            report = one.personalise(events(20, 1000.0 + 100 * turn), budget=budget)
            assert bool(report.paused) == (turn == 2)
            one.save()
            known, ranked = list(one.history), one.quality().ranked
        state = load_state(tmp_path / "s", None, Seal(KEY))
        assert (state.user, state.pending is not None) == ("a secret name", turn == 2)
        quality = load_quality(tmp_path / "s", Seal(KEY))
        assert quality is not None
        assert quality.ranked == ranked
        for file in (tmp_path / "s", tmp_path / "e", quality_of(tmp_path / "s")):
            content = file.read_bytes()
            assert traces(content, "secret", "decisions", "history", "item 9") == []
    assert len(known) == 80


@pytest.mark.parametrize("writer", KINDS)
def test_keys_that_do_not_fit(folder: Path, tmp_path: Path, writer: Any) -> None:
    pytest.importorskip("cryptography")
    state = tmp_path / "s"
    with writer(folder, user="u1", state=state, key=KEY) as one:
        one.personalise(events(20, 1000.0))
        one.save()
        one.save()
    with pytest.raises(StateError, match="is encrypted: give its key with --secret"):
        TypedRecommender(folder, user="u1", state=state)
    with pytest.raises(StateError, match="is damaged, or encrypted with another key: give its own key, or reset it"):
        TypedRecommender(folder, user="u1", state=state, key=OTHER)
    with pytest.raises(ConfigError, match="the key has 16 bytes and not 32"):
        TypedRecommender(folder, user="u1", state=state, key=bytes(16))
    content = bytearray(state.read_bytes())
    for place in (20, len(content) // 2, len(content) - 1):
        altered = bytearray(content)
        altered[place] ^= 1
        state.write_bytes(altered)
        with pytest.raises(StateError, match=r"or restore .*previous, which is good"):
            TypedRecommender(folder, user="u1", state=state, key=KEY)
    with pytest.raises(StateError, match="encrypted with another key"):
        java().call("state.restore", str(state), str(folder), OTHER.hex())
    assert java().call("state.restore", str(state), str(folder), KEY.hex())["generation"] == 1
    assert not previous_of(state).exists()
    with TypedRecommender(folder, user="u1", state=state, key=KEY) as one:
        assert len(one) == 20
    with TypedRecommender(folder, user="u1", state=tmp_path / "clear") as one:
        one.save()
    with pytest.raises(StateError, match="is not encrypted, and a key was given"):
        TypedRecommender(folder, user="u1", state=tmp_path / "clear", key=KEY)
    (tmp_path / "clear.quality").write_bytes(quality_of(state).read_bytes())
    with TypedRecommender(folder, user="u1", state=tmp_path / "clear") as one:
        assert one.quality().ranked == 0  # what another key has sealed is begun again
        assert set(one.wipe()) >= {tmp_path / "clear"}
    with TypedRecommender(folder, user="u1", state=state, key=KEY) as one:
        assert one.wipe()
    assert not state.exists()
