# SPDX-License-Identifier: Apache-2.0
"""Atomic writes and the tensor file format."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pocketrec.device.base import files
from pocketrec.device.base.errors import StorageError
from pocketrec.device.contract import tensorfile


def test_write_replaces_and_keeps_the_previous_content(tmp_path: Path) -> None:
    path, previous = tmp_path / "new" / "a.bin", tmp_path / "new" / "a.bin.previous"
    files.write_atomic(path, b"one", previous=previous)
    assert path.read_bytes() == b"one"
    assert not previous.exists()
    files.write_atomic(path, lambda file: file.write(b"two"), previous=previous)
    assert (path.read_bytes(), previous.read_bytes()) == (b"two", b"one")
    assert sorted(os.listdir(path.parent)) == ["a.bin", "a.bin.previous"]


def test_failed_write_leaves_the_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    files.write_atomic(path, b"one")

    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"No space left on device: free some space") as caught:
        files.write_atomic(path, full)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_previous_is_kept_where_the_file_system_has_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*names: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    for content in (b"one", b"two", b"three"):
        files.write_atomic(tmp_path / "a", content, previous=tmp_path / "a.previous")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "a.previous").read_bytes()) == (b"three", b"two")


TENSORS = {
    "gru_2/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "step": np.array(7, dtype=np.float32),
    "none": np.zeros((0, 4), dtype=np.uint16),
    "big": np.array([1, -2], dtype=">i8"),
    "flags": np.array([True, False]),
}


def test_tensor_file_round_trip(tmp_path: Path) -> None:
    tensorfile.save(tmp_path / "t", TENSORS, {"users": '["é", "a\\nb"]'})
    read = tensorfile.load(tmp_path / "t")
    assert read.metadata == {"users": '["é", "a\\nb"]'}
    assert list(read.tensors) == list(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor)
        assert read.tensors[name].shape == tensor.shape
        assert read.tensors[name].flags.writeable
    assert tensorfile.dump(TENSORS) == tensorfile.dump(TENSORS)


def test_every_flipped_byte_and_every_cut_is_found() -> None:
    content = tensorfile.dump(TENSORS, {"a": "b"})
    for at in range(len(content)):
        with pytest.raises(tensorfile.TensorFileError):
            tensorfile.parse(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(tensorfile.TensorFileError):
            tensorfile.parse(content[:at])
    with pytest.raises(tensorfile.TensorFileError):
        tensorfile.parse(content + b"\0")


def test_names_of_the_format_and_odd_types_are_refused() -> None:
    with pytest.raises(ValueError, match="names of the format"):
        tensorfile.dump({}, {"sha256": "x"})
    with pytest.raises(ValueError, match="cannot hold"):
        tensorfile.dump({"text": np.array(["a"])})
