# SPDX-License-Identifier: Apache-2.0
"""Installing a packed bundle: the model file made from its skeleton and weights, once, and checked.

The file is written beside its place, flushed and renamed, so a full disk or a switched-off device leaves no part of a
model; one that is there already is used if it is whole. This module knows nothing about what a model computes.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pocketrec.device.base import documents
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import BundleError, StorageError
from pocketrec.device.base.files import sha256_file, write_atomic
from pocketrec.device.base.locks import locked
from pocketrec.device.contract.lean import ShardItems
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.names import MODEL_FILE, SKELETON_FILE, WEIGHTS_FILE
from pocketrec.device.contract.packed import fill

_SLACK = 1 << 20  # bytes for the names in a small model's files
_MARKER = ".installed"  # size, time and inode of a model file whose hash was found right
_TABLE = "item_embedding"  # name of the item table among the packed tensors
_AGAIN = "fetch or export the bundle again"


def installed_model(folder: Path, manifest: Manifest) -> Path:
    """The model file of a bundle; of a packed one it is made where it is not there.

    Args:
        folder: the bundle's, its files already verified.
        manifest: what it holds.

    Raises:
        BundleError: skeleton and weights do not make the model that the manifest names.
        StorageError: the disk is full, or the folder cannot be written.
    """
    model = folder / MODEL_FILE
    if not manifest.packed or _is_whole(model, manifest):
        return model
    with locked(model, needed=False):  # of several that open it at once, one makes the file and the others wait for it
        return model if _is_whole(model, manifest) else _filled(folder, model, manifest)


def _filled(folder: Path, model: Path, manifest: Manifest) -> Path:
    try:
        parts = (folder / SKELETON_FILE).read_bytes(), (folder / WEIGHTS_FILE).read_bytes()
        content = fill(*parts, limit=_limit(manifest))
    except OSError as error:
        raise BundleError(f"{folder}: {error.filename} cannot be read ({error.strerror}): {_AGAIN}") from None
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from None
    if sha256_of(content) != manifest.model_id:
        raise BundleError(f"{folder}: skeleton and weights make another model than the manifest names: {_AGAIN}")
    write_atomic(model, content)
    _mark(model, manifest)
    return model


def shard_model(folder: Path, manifest: Manifest, shard: str, first: int, items: ShardItems) -> Path:
    """The model file of a lean bundle with a shard's items in its reserved rows, made where it is not there.

    Args:
        folder, manifest: the bundle's.
        shard: the shard's name, whose hash the manifest lists.
        first: row of the first item.
        items: their rows.

    Raises:
        BundleError: the items do not fit.
        StorageError: the disk is full, or the folder cannot be written.
    """
    model = folder / f"model.{shard.rsplit('/', 1)[-1]}.tflite"
    parts: list[object] = [manifest.model_id, manifest.files[shard].sha256]
    if _is_noted(model, parts):
        return model
    with locked(model, needed=False):
        return model if _is_noted(model, parts) else _with_items(folder, model, manifest, parts, first, items)


def _is_noted(model: Path, parts: list[object]) -> bool:
    """Whether the model file is the one that was made of these parts."""
    with contextlib.suppress(OSError):
        status = os.stat(model)
        noted = [*parts, status.st_size, status.st_mtime_ns, status.st_ino]
        return documents.holds(model.with_name(f".{model.name}"), noted)
    return False


def _with_items(
    folder: Path, model: Path, manifest: Manifest, parts: list[object], first: int, items: ShardItems
) -> Path:
    try:
        skeleton, weights = (folder / SKELETON_FILE).read_bytes(), (folder / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder}: {error.filename} cannot be read ({error.strerror}): {_AGAIN}") from None
    rows = (_TABLE, first, items.numbers, items.scales)
    write_atomic(model, fill(skeleton, weights, rows, _limit(manifest)))
    status = os.stat(model)
    note = model.with_name(f".{model.name}")
    documents.note(note, [*parts, status.st_size, status.st_mtime_ns, status.st_ino])
    return model


def _limit(manifest: Manifest) -> int:
    """Bytes that skeleton or weights may unpack to: against files that blow up."""
    return 2 * int(manifest.packed["bytes"]) + _SLACK


def _is_whole(model: Path, manifest: Manifest) -> bool:
    try:
        status = os.stat(model)
    except OSError:
        return False
    if status.st_size != manifest.packed["bytes"]:
        return False
    if documents.holds(model.with_name(_MARKER), _note(status, manifest)):
        return True
    if sha256_file(model) != manifest.model_id:
        return False
    _mark(model, manifest)
    return True


def _mark(model: Path, manifest: Manifest) -> None:
    with contextlib.suppress(StorageError, OSError):  # read-only media: then every opening hashes
        documents.note(model.with_name(_MARKER), _note(os.stat(model), manifest))


def _note(status: os.stat_result, manifest: Manifest) -> list[object]:
    return [manifest.model_id, status.st_size, status.st_mtime_ns, status.st_ino]
