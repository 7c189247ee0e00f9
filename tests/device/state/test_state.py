# SPDX-License-Identifier: Apache-2.0
"""Personal state: round trip, generations, damage, foreign files, a full disk."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from pocketrec.device.base.errors import StateError, StorageError
from pocketrec.device.contract import tensorfile
from pocketrec.device.delivery.bundle import Bundle
from pocketrec.device.state.file import load_state, previous_of, reset_state, restore_state, save_state
from pocketrec.device.state.personal_state import PersonalState, joined

STATE = PersonalState(
    user="u1",
    rows=np.array([3, 1, 3], np.int32),
    times=np.array([1.0, 2.5, 2**53], np.float64),
    weights={"fc_bias": np.arange(8, dtype=np.float32), "step": np.array(4.0, np.float32)},
    trained=2,
    steps=7,
    report={"choice": "personal", "losses": [1.5]},
    generation=3,
)


def same(first: PersonalState, second: PersonalState) -> None:
    first = dataclasses.replace(first, vocabulary=second.vocabulary)  # the file names the bundle's
    for field in dataclasses.fields(first):
        np.testing.assert_equal(getattr(first, field.name), getattr(second, field.name))


def test_round_trip_and_generations(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, STATE, bundle.manifest)
    same(load_state(path, bundle.manifest), STATE)
    later = dataclasses.replace(STATE, generation=4)
    save_state(path, later, bundle.manifest)
    same(load_state(path, bundle.manifest), later)
    same(load_state(previous_of(path), bundle.manifest), STATE)
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    same(restore_state(path, bundle.manifest), STATE)
    same(load_state(path), STATE)
    with pytest.raises(StateError, match="no previous generation"):
        restore_state(path)
    save_state(path, later, bundle.manifest)
    assert reset_state(path) == [path, previous_of(path)]
    assert reset_state(path) == []


def test_damage_names_the_way_out_and_is_never_used(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, STATE, bundle.manifest)
    content = path.read_bytes()
    path.write_bytes(content[:100])
    with pytest.raises(StateError, match=r"is damaged .*: run `pocketrec state reset`"):
        load_state(path, bundle.manifest)
    path.write_bytes(content)
    save_state(path, dataclasses.replace(STATE, generation=4), bundle.manifest)
    path.write_bytes(path.read_bytes()[:-3] + b"abc")
    with pytest.raises(StateError, match=r"is damaged .*: run `pocketrec state restore` to go .*previous") as caught:
        load_state(path, bundle.manifest)
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(StateError, match=r"no state file .*: run `pocketrec state restore`"):
        load_state(path, bundle.manifest)
    same(restore_state(path, bundle.manifest), STATE)
    previous_of(path).write_bytes(b"damaged")
    with pytest.raises(StateError, match="is not a personal state"):
        restore_state(path)
    same(load_state(path), STATE)


def test_reset_deletes_personal_states_only(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, STATE, bundle.manifest)
    content = path.read_bytes()
    altered = content[:-9] + b"123456789"
    for begun in (content[:-1], content[:130], content[:100], content[:60], content[:8], altered, b""):
        path.write_bytes(begun)
        assert reset_state(path) == [path]
    shard = (bundle.folder / "candidates" / "0000").read_bytes()
    for other in (b"user,item,timestamp\nu1,item 1,5\n", b"a", content[1:], shard, b"\0" * 200):
        path.write_bytes(other)
        save_state(tmp_path / "t", STATE, bundle.manifest)
        with pytest.raises(StateError, match="is not a personal state: name another file with --state, or remove"):
            load_state(path)
        with pytest.raises(StateError, match="is not a personal state and was not deleted"):
            reset_state(path)
        assert path.read_bytes() == other
    save_state(path, STATE, bundle.manifest)  # what was no state is the previous generation now
    with pytest.raises(StateError, match=r"s\.previous is not a personal state"):
        reset_state(path)
    assert path.read_bytes() == content
    assert reset_state(path, ours=True) == [path, previous_of(path)]
    with pytest.raises(StateError, match="cannot read"):
        reset_state(tmp_path)
    for nameless in (".", "/", ""):
        with pytest.raises(StateError, match="is not the name of a state file"):
            reset_state(nameless)


def test_state_of_another_model_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    path, manifest = tmp_path / "s", bundle.manifest
    save_state(path, STATE, manifest)
    for change, name in (
        ({"model_id": "0" * 64}, "the model id differs"),
        ({"vocabulary": {"items": 60, "sha256": "0" * 64}}, "the vocabulary differs"),
        ({"tensors": {"trainable": []}}, "the tensor specs differ"),
    ):
        with pytest.raises(StateError, match="belongs to another model") as caught:
            load_state(path, dataclasses.replace(manifest, **change))
        assert name[:-1].split(" differ")[0] in str(caught.value)
    tensorfile.save(path, {}, {})
    with pytest.raises(StateError, match="is not a personal state"):
        load_state(path)
    tensorfile.save(path, {}, {"kind": "pocketrec personal state", "format": "9"})
    with pytest.raises(StateError, match="of state format 9 and this version reads 1"):
        load_state(path)


def test_full_disk_leaves_both_generations_good(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    for generation in (1, 2):
        save_state(path, dataclasses.replace(STATE, generation=generation), bundle.manifest)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device: free some space"):
        save_state(path, dataclasses.replace(STATE, generation=3), bundle.manifest)
    assert load_state(path, bundle.manifest).generation == 2
    assert load_state(previous_of(path), bundle.manifest).generation == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bundle", "s", "s.previous"]


def test_joined_histories_are_stable_and_know_what_was_trained() -> None:
    rows, times = np.array([1, 2, 3], np.int32), np.array([10.0, 20.0, 20.0])
    new = {"rows": np.array([7, 8, 9], np.int32), "times": np.array([20.0, 5.0, 30.0])}
    merged, merged_times, trained = joined(rows, times, 3, new)
    assert list(merged) == [8, 1, 2, 3, 7, 9]
    assert list(merged_times) == [5, 10, 20, 20, 20, 30]
    assert trained == 4
    assert joined(rows, times, 0, new)[2] == 0
    assert merged.dtype == np.int32
