# SPDX-License-Identifier: Apache-2.0
"""Publishing the patches that lie in a bundle's folder: numbered, signed, under their hashes, with an index a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import BundleError, ConfigError
from pocketrec.device.base.files import write_atomic
from pocketrec.device.contract.names import PATCHES_FOLDER
from pocketrec.device.contract.patch import PatchError, renumbered, statement, unpack, with_signatures
from pocketrec.device.delivery.bundle import Bundle
from pocketrec.device.delivery.patch_index import Offered, index_bytes, index_name, read_index
from pocketrec.device.delivery.patches import check_patch, patch_path, tasks_of
from pocketrec.device.delivery.release import name_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def publish_patches(
    bundle: Bundle, folder: Path, keys: Sequence[Ed25519PrivateKey], least: int
) -> dict[str, tuple[int, bool]]:
    """Publish every patch of a bundle's folder; those of other tasks of the same model stay offered.

    Args:
        bundle: opened.
        folder: the publisher's folder.
        keys: to sign with; empty = not signed.
        least: smallest number of a patch that is new or has changed.

    Returns:
        By task, the patch's number, and whether it is another than before.

    Raises:
        ConfigError: there is no patch.
        BundleError: a patch is damaged, or of another model.
        FetchError: the index that is there is none.
        StorageError: a file cannot be written; the index is as it was.
    """
    names = tasks_of(bundle.folder)
    if not names:
        raise ConfigError(f"{bundle.folder} has no patches to publish: name a run of `pocketrec transfer`")
    index = folder / index_name(bundle.manifest.model_id)
    offered = read_index(index.read_bytes(), str(index)) if index.exists() else {}
    found = {}
    for name in names:
        path = patch_path(bundle.folder, name)
        content = path.read_bytes()
        check_patch(content, bundle.manifest, name, (), f"the patch {path}")
        former = offered.get(name)
        number = 0 if former is None else _serial(folder / name_of(former.sha256))
        signed = _signed(content, max(number, 1), keys)
        new = former is None or sha256_of(signed) != former.sha256
        if new:
            number = max(number + 1, least)
            signed = _signed(content, number, keys)
        entry = Offered(sha256_of(signed), len(signed), former.sha256 if new and former else "")
        write_atomic(folder / name_of(entry.sha256), signed)
        offered[name] = entry if new or former is None else replace(entry, former=former.former)
        found[name] = (number, new)
    write_atomic(index, index_bytes(offered))
    return found


def needed_patches(folder: Path, model: str) -> set[str]:
    """Hashes of the files that the index of a model names.

    Raises:
        FetchError: it is none.
        OSError: it cannot be read.
    """
    index = folder / index_name(model)
    if not index.exists():
        return set()
    offered = read_index(index.read_bytes(), str(index)).values()
    return {digest for one in offered for digest in (one.sha256, one.former) if digest}


def remove_others(folder: Path, models: set[str]) -> None:
    """Remove the indexes of all models but these.

    Raises:
        OSError: one cannot be removed.
    """
    if (folder / PATCHES_FOLDER).is_dir():
        for path in (folder / PATCHES_FOLDER).glob("*.json"):
            if path.stem not in models:
                path.unlink()


def _signed(content: bytes, serial: int, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    numbered = renumbered(content, serial, len(keys))
    if not keys:
        return numbered
    said = statement(numbered)
    return with_signatures(numbered, [key.sign(said).hex() for key in keys])


def _serial(path: Path) -> int:
    try:
        return unpack(path.read_bytes()).serial
    except (OSError, PatchError, BundleError):
        return 0
