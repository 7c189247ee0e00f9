# SPDX-License-Identifier: Apache-2.0
"""Packed bundles: what is installed is, bit by bit, what was checked; damage is one line and loses nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pocketrec.device import Recommender, open_bundle
from pocketrec.device.base.errors import BundleError, StorageError
from pocketrec.device.contract import packed, tensorfile
from pocketrec.device.contract.names import MODEL_FILE, SKELETON_FILE, WEIGHTS_FILE
from pocketrec.device.contract.packed import Quantised, Range


@pytest.fixture
def small(made: Path, tmp_path: Path) -> Path:
    """The packed bundle, not yet installed, free to be changed."""
    source = made.with_name(made.name + ".packed")
    own = shutil.ignore_patterns(".*", MODEL_FILE)
    return Path(shutil.copytree(source, tmp_path / "packed", ignore=own))


def _scales(shape: tuple[int, ...], seed: int) -> np.ndarray:
    plain = np.random.default_rng(seed).random(shape).astype(np.float32) + np.float32(0.01)
    return (plain.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


@given(
    arrays.arrays(np.int8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12),
                  elements=st.sampled_from([0, 0, 0, 1, -1, 7, -127, 127])),
    st.integers(0, 9),
)  # fmt: skip
def test_coding_gives_back_every_bit(numbers: np.ndarray, seed: int) -> None:
    tensors = {
        "kernel": Quantised(numbers, _scales((1, numbers.shape[1]), seed)),
        "bias": Quantised(np.arange(5, dtype=np.float16) / 3, None),
        "plain": Quantised(np.arange(6, dtype=np.float32).reshape(2, 3) / 7, None),
    }
    back = packed.decode(packed.encode(tensors))
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name].values, tensor.values)
        assert back[name].numbers.dtype == tensor.numbers.dtype
    assert not back["kernel"].values[numbers == 0].any(), "a pruned zero stays a zero"


@given(st.binary(min_size=1, max_size=300), st.integers(0, 200), st.integers(0, 100))
def test_skeleton_gives_back_every_byte_outside_its_ranges(content: bytes, offset: int, length: int) -> None:
    offset = min(offset, len(content))
    part = Range(offset, min(length, len(content) - offset), "w", 0)
    blank, ranges = packed.unpack_skeleton(packed.pack_skeleton(content, [part]))
    assert ranges == [part]
    whole = bytearray(content)
    whole[part.offset : part.offset + part.length] = bytes(part.length)
    assert bytes(blank) == bytes(whole)


def test_half_zeros_take_less_than_all_values() -> None:
    rng = np.random.default_rng(1)
    numbers = rng.integers(-127, 128, (200, 300)).astype(np.int8)
    pruned = np.where(rng.random(numbers.shape) < 0.7, 0, numbers).astype(np.int8)
    sizes = [len(packed.encode({"w": Quantised(n, _scales((1, 300), 0))})) for n in (numbers, pruned)]
    assert sizes[1] < 0.45 * sizes[0]


def test_installed_file_is_the_checked_one(made: Path, small: Path) -> None:
    bundle, full = open_bundle(small), open_bundle(made)
    assert bundle.model_path.read_bytes() == full.model_path.read_bytes()
    assert bundle.manifest.model_id == full.manifest.model_id
    assert not (made / SKELETON_FILE).exists()
    assert sum(e.bytes for e in bundle.manifest.files.values()) < sum(e.bytes for e in full.manifest.files.values()) / 2


@pytest.mark.runtime
def test_an_installed_bundle_recommends_as_a_full_one(made: Path, small: Path) -> None:
    events = [(f"item {row}", 1000.0 + row) for row in (3, 7, 3, 7, 3)]
    answers = []
    for folder in (made, small):
        recommender = Recommender(folder, user="u1")
        recommender.personalise(events)
        answers.append(recommender.recommend(5))
    assert answers[0] == answers[1]


def test_a_second_opening_installs_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_bundle(small).model_path.stat().st_mtime_ns
    monkeypatch.setattr("pocketrec.device.delivery.install.fill", lambda *_: pytest.fail("filled again"))
    assert open_bundle(small).model_path.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_installed_model_is_made_again(made: Path, small: Path, damage: str) -> None:
    model = open_bundle(small).model_path
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "remove":
        model.unlink()
    else:
        model.write_bytes(content if damage == "flip" else content[:-9])
    assert open_bundle(small).model_path.read_bytes() == (made / MODEL_FILE).read_bytes()


@pytest.mark.parametrize("name", [SKELETON_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_part_is_one_line(small: Path, name: str, damage: str) -> None:
    content = bytearray((small / name).read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "remove":
        (small / name).unlink()
    else:
        (small / name).write_bytes(content if damage == "flip" else content[:-1])
    with pytest.raises(BundleError, match=r"fetch or export the bundle again$"):
        open_bundle(small)
    assert not (small / MODEL_FILE).exists()


def test_parts_of_two_models_do_not_make_a_third() -> None:
    tensor = Quantised(np.ones((4, 4), np.int8), _scales((1, 4), 0))
    skeleton = packed.pack_skeleton(bytes(100), [Range(10, 64, "other", 0)])
    with pytest.raises(BundleError, match="do not fit"):
        packed.fill(skeleton, packed.encode({"w": tensor}))
    for junk in (b"", b"junk", skeleton[:20]):
        with pytest.raises(BundleError):
            packed.fill(junk, packed.encode({"w": tensor}))
        with pytest.raises(BundleError):
            packed.fill(skeleton, junk)


def test_files_that_blow_up_are_refused_while_they_are_unpacked() -> None:
    skeleton = packed.pack_skeleton(bytes(10_000_000), [])
    assert len(skeleton) < 20_000
    assert packed.fill(skeleton, packed.encode({})) == bytes(10_000_000)
    with pytest.raises(BundleError, match="holds more than 1000000 bytes"):
        packed.fill(skeleton, packed.encode({}), limit=1_000_000)
    many = packed.encode({"w": Quantised(np.ones((1000, 1000), np.int8), _scales((1, 1000), 0))})
    with pytest.raises(BundleError, match="holds more than 100000 bytes"):
        packed.decode(many, 100_000)


def test_a_part_may_hold_twice_what_the_manifest_says_and_no_more(small: Path) -> None:
    whole = open_bundle(small).manifest.packed["bytes"]
    (small / MODEL_FILE).unlink()
    content = zlib.compress(bytes(2 * whole + (1 << 20) + 1), 9)
    (small / WEIGHTS_FILE).write_bytes(content)
    table = json.loads((small / "manifest.json").read_bytes())
    table["files"][WEIGHTS_FILE] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (small / "manifest.json").write_text(json.dumps(table, indent=1))
    with pytest.raises(BundleError, match=f"holds more than {2 * whole + (1 << 20)} bytes"):
        open_bundle(small)
    assert not (small / MODEL_FILE).exists()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ({"shape": [1 << 40], "scales": [1]}, "the mask of w is too short"),
        ({"shape": [8], "scales": [1 << 10, 1]}, "the scales of w are more than its numbers"),
    ],
)
def test_a_few_bytes_do_not_become_a_large_tensor(kind: dict[str, list[int]], told: str) -> None:
    tensors = {
        "w:scales": np.ones(int(np.prod(kind["scales"])), np.uint16),
        "w:mask": np.packbits(np.ones(8, bool)),
        "w:numbers": np.ones(8, np.int8),
    }
    content = zlib.compress(tensorfile.dump(tensors, {"tensors": json.dumps({"w": kind})}))
    with pytest.raises(BundleError, match=told):
        packed.decode(content)


def test_a_full_disk_leaves_no_part_of_a_model(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise StorageError(f"cannot write {path}: No space left on device: free some space")

    monkeypatch.setattr("pocketrec.device.delivery.install.write_atomic", full)
    with pytest.raises(StorageError, match="No space left"):
        open_bundle(small)
    assert not (small / MODEL_FILE).exists()
    monkeypatch.undo()
    assert open_bundle(small).model_path.exists()
