# SPDX-License-Identifier: Apache-2.0
"""Writing a bundle: the other half of `pocketrec.device.delivery.bundle`, used by the exporter and by tests."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.base.array import Array
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import ExportError
from pocketrec.device.base.files import storage_error, sync_folder, write_atomic
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.lean import ITEM_IDS, ShardItems
from pocketrec.device.contract.lists import LISTS_FILE
from pocketrec.device.contract.manifest import Manifest, check_name, entry_of
from pocketrec.device.contract.names import (
    CARD_FILE,
    ITEMS_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    RECIPE_FILE,
    SKELETON_FILE,
    WEIGHTS_FILE,
)
from pocketrec.device.contract.neighbours import NEIGHBOURS_FILE
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.shards import KNOWN, ROWS, USERS, shard_name, shard_of, shards_for
from pocketrec.device.contract.titles import TITLES_FILE, titles_file
from pocketrec.export.bundle.content import BundleContent


def write_bundle_files(folder: str | Path, content: BundleContent, archive: str | Path | None = None) -> Manifest:
    """Write a whole bundle, in one step: a bundle that was in `folder` stays until the new one is complete.

    Args:
        folder: the bundle's folder.
        content: what its files hold.
        archive: a .zip of the same files, if wanted.

    Returns:
        The manifest as written.

    Raises:
        ExportError: an item id holds a line feed or occurs twice, or the candidates do not fit.
        BundleError: the recipe is wrong.
        StorageError: the disk is full, or the folder cannot be written.
    """
    items, recipe = content.items, content.recipe
    if len(set(items)) != len(items) or not items or any("\n" in item for item in items):
        raise ExportError("item ids must be there, differ, and hold no line feed: change them in the log")
    checked = recipe if isinstance(recipe, Recipe) else Recipe.from_dict(recipe)
    model_parts = {MODEL_FILE: content.model_file}
    if content.packed is not None:
        model_parts = dict(zip((SKELETON_FILE, WEIGHTS_FILE), content.packed, strict=True))
    files = {
        **model_parts,
        ITEMS_FILE: "".join(f"{item}\n" for item in items).encode(),
        RECIPE_FILE: documents.document(checked.to_dict()),
        CARD_FILE: content.card.encode(),
    }
    if content.neighbours:
        files[NEIGHBOURS_FILE] = content.neighbours
    if content.titles:
        if len(content.titles) != len(items):
            raise ExportError(f"{len(content.titles)} titles for {len(items)} items: give one for each, empty or not")
        files[TITLES_FILE] = titles_file(content.titles)
    shards: dict[str, bytes] = {}
    per_user = 0
    if content.candidates is not None:
        known = content.known if content.cut_off is None else None
        shards, per_user = candidate_files(
            *content.candidates, content.rows, content.shards, known, content.shard_items
        )
    files.update(shards)
    if content.index:
        files[LISTS_FILE] = content.index
    entries = entry_of(files)
    manifest = Manifest(
        model_id=sha256_of(content.model_file),
        created=content.created or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        files=entries,
        vocabulary={"items": len(items), "sha256": entries[ITEMS_FILE].sha256},
        model=dict(content.model),
        tensors=dict(content.tensors),
        cut_off=content.cut_off,
        candidates={"shards": len(shards), "per_user": per_user},
        mask_seen=content.mask_seen,
        lean=dict(content.lean),
        packed={} if content.packed is None else {"bytes": len(content.model_file)},
        versions=dict(content.versions),
        gate=dict(content.gate),
        ranker=content.ranker,
        measured=dict(content.measured),
        parent=content.parent,
        retrieval=dict(content.retrieval),
    )
    files[MANIFEST_FILE] = manifest.to_bytes()
    _write(Path(folder), files)
    if archive is not None:
        _zip(Path(archive), files)
    return manifest


def candidate_files(
    users: Sequence[str], rows: Array, items: int, shards: int | None = None, known: Array | None = None,
    shard_items: Sequence[ShardItems] | None = None,
) -> tuple[dict[str, bytes], int]:
    """Candidate shards by their path inside the bundle, and the number K of rows of a user.

    Args:
        users: U user ids, all different.
        rows: integers [U, K] in 0..items, 0 = padding.
        items: number N of items.
        shards: number of files; None = as many as leave 256 users or more in each on average, at most 4096.
        known: integers [U], events of each user that the cloud knows; None = not written.
        shard_items: for each shard, the items that it brings to a lean table.

    Raises:
        ExportError: the shapes or numbers do not fit.
    """
    rows = np.asarray(rows)
    if rows.ndim != 2 or len(rows) != len(users) or len(set(users)) != len(users):
        raise ExportError("candidates must be one row of items for each user: build them again")
    if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) <= items:
        raise ExportError("candidates name rows that the vocabulary lacks: build them again for this vocabulary")
    tensors = {ROWS: rows.astype(np.min_scalar_type(items))}
    if known is not None:
        known = np.asarray(known)
        if known.shape != (len(users),) or (known.size and int(known.min()) < 0):
            raise ExportError("the numbers of known events must be one for each user: build the candidates again")
        tensors[KNOWN] = known.astype(np.min_scalar_type(int(known.max(initial=0))))
    shards = shards_for(len(users)) if shards is None else shards
    members: list[list[int]] = [[] for _ in range(shards)]
    for place, user in enumerate(users):
        members[shard_of(user, shards)].append(place)
    own = list(shard_items or [])
    files = {
        shard_name(shard): tensorfile.dump(
            {name: tensor[places] for name, tensor in tensors.items()} | (own[shard].tensors() if own else {}),
            {USERS: documents.line([users[place] for place in places])}
            | ({ITEM_IDS: documents.line(own[shard].ids)} if own else {}),
        )
        for shard, places in enumerate(members)
    }
    return files, int(rows.shape[1])


def _write(folder: Path, content: Mapping[str, bytes]) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        for name, data in content.items():
            check_name(name)
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            os.rename(folder, old)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        raise storage_error(folder, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)


def _zip(archive: Path, content: Mapping[str, bytes]) -> None:
    import zipfile

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
            for name in sorted(content):
                opened.writestr(zipfile.ZipInfo(name), content[name], zipfile.ZIP_DEFLATED)

    write_atomic(archive, write)
