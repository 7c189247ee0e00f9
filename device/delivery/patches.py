# SPDX-License-Identifier: Apache-2.0
"""Patches in a bundle's folder: where they lie, and whether one may be used with the bundle's model.

A patch is no part of the bundle: it comes and changes apart from it, and the bundle's manifest does not list it. So a
patch is checked when it is opened: its checksum, its model, its tensors, and where a key is pinned its signature. This
module opens no connection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.names import PATCHES_FOLDER
from pocketrec.device.contract.patch import Patch, PatchError, is_task_name, signatures_of, statement, unpack
from pocketrec.device.delivery.pins import read_pin
from pocketrec.device.delivery.signing import is_signed_by
from pocketrec.device.delivery.versions import folder_of, read_current

if TYPE_CHECKING:
    from pocketrec.device.contract.manifest import Manifest
    from pocketrec.device.delivery.bundle import Bundle

_SUFFIX = ".tensors"
_AGAIN = "pull or publish it again"


def patch_path(folder: Path, task: str) -> Path:
    """Where the patch of a task lies in a bundle's folder.

    Raises:
        BundleError: no task has such a name.
    """
    if not is_task_name(task):
        raise BundleError(f"{task!r:.120} is not the name of a task: it is a word of letters, digits and _")
    return folder / PATCHES_FOLDER / f"{task}{_SUFFIX}"


def tasks_of(folder: Path) -> list[str]:
    """Names of the tasks whose patches lie in a bundle's folder."""
    names = [path.name.removesuffix(_SUFFIX) for path in (folder / PATCHES_FOLDER).glob(f"*{_SUFFIX}")]
    return sorted(name for name in names if is_task_name(name))


def open_patch(bundle: Bundle, task: str) -> Patch:
    """The patch of a task, checked against the bundle, and against the keys that its folder of versions has pinned.

    Raises:
        BundleError: there is none, or it is cut short, altered, of another model or task, or not signed with a pinned
            key.
        ConfigError: a key is pinned, and the extra ``secure`` is not installed.
    """
    path = patch_path(bundle.folder, task)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        here = ", ".join(tasks_of(bundle.folder)) or "none"
        raise BundleError(f"{bundle.folder} has no task {task!r} (it has {here}): run `pocketrec pull --task {task}`, "
                          "or name another") from None  # fmt: skip
    except OSError as error:
        raise BundleError(f"the patch {path} cannot be read ({error.strerror}): {_AGAIN}") from None
    owner = folder_of(bundle.folder)
    keys = read_pin(owner, read_current(owner)).keys if owner != bundle.folder else ()
    return check_patch(content, bundle.manifest, task, keys, f"the patch {path}")


def check_patch(content: bytes, manifest: Manifest, task: str, keys: Sequence[str], place: str) -> Patch:
    """A patch from its bytes.

    Args:
        content: the file.
        manifest: of the bundle that it is to be used with.
        task: what is wanted.
        keys: pinned keys; empty = none is, and any signature or none will do.
        place: for messages.

    Raises:
        BundleError: it is cut short, altered, of another model or task, or not signed with one of the keys.
        ConfigError: a key is pinned, and the extra ``secure`` is not installed.
    """
    try:
        patch = unpack(content)
        if keys:
            _check_signed(content, keys, place)
    except PatchError as error:
        raise BundleError(f"{place} cannot be used ({error}): {_AGAIN}") from None
    if patch.task != task:
        raise BundleError(f"{place} is of task {patch.task!r} and not {task!r}: {_AGAIN}")
    if patch.model != manifest.model_id:
        raise BundleError(f"{place} belongs to another model ({patch.model[:12]}, not {manifest.model_id[:12]}): pull "
                          "or take the patch that was tuned on this one")  # fmt: skip
    wanted = {spec["name"]: tuple(spec["shape"]) for spec in manifest.tensors["trainable"]}
    if {name: value.shape for name, value in patch.tensors.items()} != wanted:
        raise BundleError(f"{place} has other tensors than the model's: {_AGAIN}")
    if patch.rows.shape[1] != manifest.model["embedding"] or math.prod(patch.rows.shape) == 0:
        raise BundleError(f"{place} has rows of another size than the model's embedding: {_AGAIN}")
    return patch


def _check_signed(content: bytes, keys: Sequence[str], place: str) -> None:
    signatures = signatures_of(content)
    if not signatures:
        raise BundleError(f"{place} is not signed, and a key is pinned: ask the publisher to sign it")
    signed = statement(content)
    if not any(is_signed_by(key, signature, signed) for key in keys for signature in signatures):
        raise BundleError(f"{place} is not signed with a pinned key, or was altered: do not use it, and ask the "
                          "publisher")  # fmt: skip
