# SPDX-License-Identifier: Apache-2.0
"""Opening a bundle: what is checked, what is found, and that damage is one line."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pocketrec.device.base.errors import BundleError, ExportError, PocketRecError, StorageError
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.shards import shard_name, shard_of
from pocketrec.device.contract.vocabulary import Vocabulary
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.export.bundle.content import BundleContent
from pocketrec.export.bundle.write import candidate_files, write_bundle_files

NOBODY = 65534  # a user without rights


def refused(path: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        open_bundle(path)
    assert "\n" not in str(caught.value)


def test_contents(bundle: Bundle) -> None:
    assert len(bundle.vocabulary) == 60
    assert list(bundle.vocabulary.rows(["item 1", "none", "item 59", 'Ünïcode, "quoted"', "item", ""])) == [
        1, 0, 59, 60, 0, 0,
    ]  # fmt: skip
    assert bundle.vocabulary.ids([60, 1, 10]) == ['Ünïcode, "quoted"', "item 1", "item 10"]
    with pytest.raises(IndexError):
        bundle.vocabulary.ids([61])
    assert bundle.manifest.cut_off == 1000
    assert bundle.recipe.learning_rate == 0.1
    assert list(bundle.popular(3)) == [1, 2, 3]
    assert len(bundle.popular()) == 25
    assert bundle.manifest.model_id == hashlib.sha256(bundle.model_path.read_bytes()).hexdigest()


def test_candidates_come_from_the_shard_of_the_hash(bundle: Bundle) -> None:
    expected = np.random.default_rng(1)
    rows = np.stack([expected.permutation(60)[:25] + 1 for _ in range(20)])
    for place in range(20):
        found = bundle.candidates_of(f"u{place}")
        assert found is not None
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, rows[place])
    assert bundle.candidates_of("nobody") is None
    digest = hashlib.sha256(b"u7").digest()
    assert shard_of("u7", 3) == int.from_bytes(digest[:8], "big") % 3
    shard = tensorfile.load(bundle.folder / shard_name(shard_of("u7", 3)))
    assert "u7" in json.loads(shard.metadata["users"])
    assert shard.tensors["rows"].dtype == np.uint8


def test_a_flipped_byte_in_any_file_is_found(made: Path, tmp_path: Path) -> None:
    names = [path.relative_to(made) for path in made.rglob("*") if path.is_file() and path.name[0] != "."]
    assert len(names) == 8
    for name in names:
        for share in (0.0, 0.5, 0.999):
            folder = Path(shutil.copytree(made, tmp_path / "b", ignore=shutil.ignore_patterns(".verified")))
            content = bytearray((folder / name).read_bytes())
            content[int(share * len(content))] ^= 0x10
            (folder / name).write_bytes(content)
            refused(folder, r"again$|another bundle$")
            shutil.rmtree(folder)


def test_a_byte_flipped_after_the_first_opening_is_found(folder: Path) -> None:
    open_bundle(folder)
    assert (folder / ".verified").exists()
    open_bundle(folder)
    content = bytearray((folder / "model.tflite").read_bytes())
    content[5000] ^= 1
    (folder / "model.tflite").write_bytes(content)
    refused(folder, "model.tflite is altered")


def test_unchanged_files_are_not_hashed_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_bundle(folder)
    def fail(path: Path) -> None:
        pytest.fail(f"{path} was hashed again")

    monkeypatch.setattr("pocketrec.device.delivery.bundle.sha256_file", fail)
    open_bundle(folder)


@pytest.mark.parametrize("name", ["model.tflite", "items.txt", "recipe.json", "candidates/0001", "MODEL_CARD.md"])
def test_missing_and_truncated_files(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    refused(folder, "is cut short or altered, it has .* bytes and not")
    (folder / name).unlink()
    refused(folder, "is missing")


def test_manifest_damage(folder: Path) -> None:
    path = folder / "manifest.json"
    content = path.read_bytes()
    table = json.loads(content)
    path.write_bytes(content[: len(content) // 2])
    refused(folder, "manifest.json is cut short")
    path.write_bytes(b"[]")
    refused(folder, "manifest.json is cut short")
    path.write_text(json.dumps({**table, "format_version": 2}))
    refused(folder, "is of bundle format 2 and this version of pocketrec reads 1: update pocketrec")
    for change in ({"model_id": "0" * 64}, {"mask_seen": 1}, {"vocabulary": {}}, {"cut_off": "monday"}):
        path.write_text(json.dumps({**table, **change}))
        refused(folder, "manifest.json is wrong")
    del table["files"]["recipe.json"]
    path.write_text(json.dumps(table))
    refused(folder, "does not list recipe.json")
    path.unlink()
    refused(folder, "no bundle at")
    refused(folder / "nowhere", "no bundle at")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "a\\b", "c:x", "", "./a", "a//b"])
def test_names_that_point_outside_are_refused(folder: Path, name: str) -> None:
    path = folder / "manifest.json"
    table = json.loads(path.read_bytes())
    table["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    path.write_text(json.dumps(table))
    refused(folder, "is not a name inside a bundle")


def test_zip_is_unpacked_once_beside_itself_or_into_a_cache(made: Path, tmp_path: Path) -> None:
    archive = Path(shutil.copy(made.with_name(made.name + ".zip"), tmp_path / "x.zip"))
    first = open_bundle(archive)
    assert first.folder.parent == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip", first.folder.name]
    stamp = (first.folder / "model.tflite").stat().st_mtime_ns
    assert (open_bundle(archive).folder / "model.tflite").stat().st_mtime_ns == stamp
    assert open_bundle(archive, tmp_path / "cache").folder.parent == tmp_path / "cache"
    (first.folder / "model.tflite").write_bytes(b"damaged")
    assert open_bundle(archive).manifest.model_id == first.manifest.model_id  # taken from the .zip again


def test_damaged_zips(made: Path, tmp_path: Path) -> None:
    content = made.with_name(made.name + ".zip").read_bytes()
    path = tmp_path / "x.zip"
    good = hashlib.sha256((made / "model.tflite").read_bytes()).hexdigest()
    for cut in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        refused(path, "is cut short or altered")
    for place in range(0, len(content), len(content) // 50):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        with contextlib.suppress(PocketRecError):  # or a byte that carries nothing, such as a date
            assert open_bundle(path).manifest.files["model.tflite"].sha256 == good
    assert not [entry for entry in tmp_path.iterdir() if entry.name.endswith(".tmp")]
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("readme.txt", "no bundle")
    refused(path, "is cut short or altered")


@pytest.mark.skipif(os.name == "nt", reason="rights of POSIX")
def test_read_only_folder_opens(folder: Path) -> None:
    folder.chmod(0o555)
    if os.geteuid():
        open_bundle(folder)
        return
    # Root may write everywhere: another user opens a folder that everybody may read.
    with tempfile.TemporaryDirectory(dir="/tmp") as public:
        os.chmod(public, 0o755)
        copy = Path(shutil.copytree(folder, Path(public, "bundle")))
        for path in copy.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.seteuid(NOBODY)
        try:
            assert not os.access(copy, os.W_OK, effective_ids=True)
            open_bundle(copy)
        finally:
            os.seteuid(0)


def small(folder: Path, archive: Path | None = None, **changes: object) -> None:
    content = BundleContent(model_file=b"x", items=["a", "b"], recipe={})
    write_bundle_files(folder, dataclasses.replace(content, **changes), archive)  # type: ignore[arg-type]


def test_writing_replaces_a_bundle_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bundle"
    small(folder, created="2020-01-01T00:00:00Z", archive=tmp_path / "one.zip")
    small(tmp_path / "again", created="2020-01-01T00:00:00Z", archive=tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    (folder / "left over").write_text("of an older bundle")
    small(folder, items=["c"])
    assert open_bundle(folder).vocabulary.ids([1]) == ["c"]
    assert not (folder / "left over").exists()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        small(folder, items=["d"])
    monkeypatch.undo()
    assert open_bundle(folder).vocabulary.ids([1]) == ["c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "bundle", "one.zip", "two.zip"]


@pytest.mark.parametrize("items", [[], ["a", "a"], ["a\nb"]])
def test_item_ids_that_no_file_can_hold_are_refused(tmp_path: Path, items: list[str]) -> None:
    with pytest.raises(ExportError):
        small(tmp_path / "b", items=items)


def test_candidate_files() -> None:
    users = [f"user {place}" for place in range(700)]
    rows = np.tile(np.arange(3), (700, 1))
    files, per_user = candidate_files(users, rows, 300)
    assert (sorted(files), per_user) == (["candidates/0000", "candidates/0001"], 3)
    assert tensorfile.parse(files["candidates/0000"]).tensors["rows"].dtype == np.uint16
    assert candidate_files([], np.zeros((0, 3), int), 5) == (candidate_files([], np.zeros((0, 3), int), 5)[0], 3)
    for bad in (rows[:5], rows + 300, rows - 1, rows[0]):
        with pytest.raises(ExportError):
            candidate_files(users, bad, 300)


def test_vocabulary_with_odd_ids(tmp_path: Path) -> None:
    ids = ["a", " a", "a ", "\ra", "b\r", "c\u2028d", "", "日本", "a,b", '"']
    (tmp_path / "items.txt").write_bytes("".join(f"{item}\n" for item in ids).encode())
    vocabulary = Vocabulary(tmp_path / "items.txt", len(ids))
    assert list(vocabulary.rows(ids)) == list(range(1, len(ids) + 1))
    assert vocabulary.ids(range(1, len(ids) + 1)) == ids
    with pytest.raises(BundleError, match="10 lines and not 11"):
        Vocabulary(tmp_path / "items.txt", 11)


@pytest.mark.parametrize("count", [1, 2, 1023, 1024, 1025, 2048, 2049, 60_000])
def test_a_vocabulary_of_any_size_is_looked_up_in_its_file(count: int, tmp_path: Path) -> None:
    """Ids lie across chunks of the file and at both ends of the strides whose places are kept."""
    ids = [f"ïtem {row * 2_654_435_761 % 2**32:x}" for row in range(1, count + 1)]
    file = tmp_path / "items.txt"
    file.write_text("".join(f"{item}\n" for item in ids), encoding="utf-8")
    vocabulary = Vocabulary(file, count)
    rows = sorted({row for row in (1, 2, 1023, 1024, 1025, 2047, 2048, 2049, count // 2, count) if 1 <= row <= count})
    assert vocabulary.ids(rows) == [ids[row - 1] for row in rows]
    assert vocabulary.rows([*(ids[row - 1] for row in rows), "nothing", ""]).tolist() == [*rows, 0, 0]
    assert len(vocabulary) == count
    for wrong in (0, count + 1):
        with pytest.raises(IndexError):
            vocabulary.ids([wrong])
    with pytest.raises(BundleError, match=f"{count} lines and not {count + 1}"):
        Vocabulary(file, count + 1)
