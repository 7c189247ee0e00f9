# SPDX-License-Identifier: Apache-2.0
"""Fetching the patches of tasks for a version of a bundle: each checked as when it is opened, and put in place whole.

A patch may be newer than the one that is here, never older: its number is signed with it. The server learns the names
of the tasks that a device uses, by the hashes that it asks for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base.errors import BundleError, ConfigError, FetchError
from pocketrec.device.base.files import sha256_file, storage_error, sync_folder
from pocketrec.device.contract.patch import PatchError, unpack
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.delivery.patch_index import INDEX_LIMIT, index_name, read_index
from pocketrec.device.delivery.patches import check_patch, patch_path
from pocketrec.device.delivery.pins import read_pin
from pocketrec.device.delivery.release import name_of
from pocketrec.device.delivery.urls import split_login
from pocketrec.device.delivery.versions import PARTIAL, locked, read_current, same_file, version_folder

if TYPE_CHECKING:
    from pocketrec.device.delivery.fetch import Fetcher, Patience, Source


@dataclass(frozen=True)
class Shop:
    """Where patches come from."""

    folder: Path
    """The folder of versions."""
    base: str
    """Address of the publisher's folder, with / at its end."""
    fetcher: Fetcher
    """Fetches them."""
    keys: tuple[str, ...]
    """Pinned keys; empty = none is."""
    older: bool = False
    """Whether a smaller number than that of the patch that is here will do."""


def pull_tasks(
    folder: str | Path, tasks: Iterable[str] = (), *, patience: Patience | None = None, older: bool = False,
    source: Source | None = None,
) -> list[str]:  # fmt: skip
    """Bring the latest patches of some tasks, and of those asked for before, for the version in use.

    From then on `pull` brings them with every new version.

    Args:
        folder: the folder of versions that `pull` has written.
        tasks: names of tasks.
        patience, source: as for `pull`.
        older: take a patch with a smaller number than the one that is here.

    Returns:
        Names of the tasks whose patch is another now.

    Raises:
        FetchError: the server cannot be reached, or does not offer a patch for the model in use, or an older one.
        BundleError: a patch is damaged, of another model or task, or not signed with a pinned key; or nothing was
            pulled.
        StorageError: the disk is full, or the folder cannot be written.
        ConfigError: a key is pinned, and the extra ``secure`` is not installed.
    Whatever is raised, each patch that was here is as it was.
    """
    from pocketrec.device.delivery.fetch import Fetcher

    folder = Path(folder)
    with locked(folder):
        current = read_current(folder)
        if current is None or not current.current:
            raise BundleError(f"no bundle was pulled into {folder}: pull one first")
        names = list(dict.fromkeys([*current.tasks, *tasks]))
        if not names:
            raise ConfigError("no task was named: give names of tasks with --task")
        address, login = split_login(current.url)
        fetcher = Fetcher(patience, source=source, login=login)
        shop = Shop(folder, address.rstrip("/") + "/", fetcher, read_pin(folder, current).keys, older)
        changed, missing = fetch_patches(shop, open_bundle(version_folder(folder, current.current)), names)
        if missing:
            raise FetchError(missing[0])
        if names != current.tasks:
            current.tasks = names
            current.write(folder)
        return changed


def fetch_patches(shop: Shop, bundle: Bundle, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Have the offered patches of some tasks in a bundle's folder.

    Returns:
        Names of those that are other ones now; and a line for each that is not offered, of which the one that is here
        stays.

    Raises:
        FetchError, BundleError, StorageError, ConfigError: see `pull_tasks`.
    """
    from pocketrec.device.delivery.fetch import AbsentError

    place = shop.base + index_name(bundle.manifest.model_id)
    offered = {}
    with contextlib.suppress(AbsentError):
        offered = read_index(shop.fetcher.small(place, INDEX_LIMIT)[0] or b"", place)
    changed, missing = [], []
    for name in names:
        target = patch_path(bundle.folder, name)
        if name not in offered:
            there = ", ".join(sorted(offered)) or "none"
            missing.append(f"{shop.base} offers no patch of task {name!r} for the model in use (it offers {there}): "
                           "name another, or ask the publisher")  # fmt: skip
            continue
        entry = offered[name]
        if same_file(target, entry.size) and sha256_file(target) == entry.sha256:
            check_patch(target.read_bytes(), bundle.manifest, name, shop.keys, f"the patch {target}")
            continue
        _place(shop, bundle, name, target, (entry.sha256, entry.size))
        changed.append(name)
    return changed, missing


def _place(shop: Shop, bundle: Bundle, name: str, target: Path, entry: tuple[str, int]) -> None:
    """Fetch one patch, check it, and put it in place in one step."""
    sha256, size = entry
    url, part = shop.base + name_of(sha256), shop.folder / PARTIAL / sha256
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        shop.fetcher.file(url, part, size, sha256)
        try:
            patch = check_patch(part.read_bytes(), bundle.manifest, name, shop.keys, f"the patch {url}")
            here = _serial(target)
            if patch.serial < here and not shop.older:
                raise FetchError(f"{shop.base} offers number {patch.serial} of the patch of task {name!r}, and {here} "
                                 "was here before: ask the publisher, or pass --allow-older")  # fmt: skip
        except (BundleError, FetchError):
            part.unlink(missing_ok=True)
            raise
        target.parent.mkdir(exist_ok=True)
        os.replace(part, target)
        sync_folder(target.parent)
    except OSError as error:
        raise storage_error(target, error) from None


def _serial(path: Path) -> int:
    """Number of the patch that is here; 0 where there is none that can be read."""
    try:
        return unpack(path.read_bytes()).serial
    except (OSError, PatchError, BundleError):
        return 0
