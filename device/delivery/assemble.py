# SPDX-License-Identifier: Apache-2.0
"""Making a version complete in its place: what is here is used, and the rest fetched; then all of it is opened.

A version that is there and sound stays usable at every moment. This module does not know which version is in use, and
trusts the manifest that latest.json names.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import FetchError, StorageError
from pocketrec.device.base.files import sha256_file, storage_error, sync_folder, write_atomic
from pocketrec.device.contract.manifest import FileEntry, Manifest
from pocketrec.device.contract.names import CANDIDATES_FOLDER, MANIFEST_FILE
from pocketrec.device.contract.shards import shard_name, shard_of
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.release import Release, name_of
from pocketrec.device.delivery.versions import (
    PARTIAL,
    SHARDS,
    VERSIONS,
    held_shards,
    same_file,
    version_folder,
    version_name,
)

if TYPE_CHECKING:
    from pocketrec.device.delivery.fetch import Fetcher

_SPARE: Final = 1 << 20  # bytes that a disk should have left


@dataclass(frozen=True)
class Limits:
    """What a manifest may ask of the device; more is refused before anything of it is fetched."""

    latest: int = 1 << 14
    """Bytes of latest.json."""
    manifest: int = 1 << 24
    """Bytes of manifest.json."""
    files: int = 10_000
    """Files that a manifest lists."""
    total: int = 1 << 32
    """Bytes of all files that are wanted."""
    model: int = 1 << 29
    """Bytes of the model file that is made of a packed bundle; several times as many are in memory meanwhile."""


@dataclass(frozen=True)
class Work:
    """What versions are made from."""

    folder: Path
    """The folder of versions."""
    base: str
    """Address of the publisher's folder, with / at its end."""
    fetcher: Fetcher
    """Fetches what is not here."""
    limits: Limits
    """What is refused."""
    sources: list[str]
    """Names of versions whose files are copied where they are equal."""


def shards_of(manifest: Manifest, users: Iterable[str]) -> set[int]:
    """Candidate shards of some users."""
    count = manifest.candidates["shards"]
    return {shard_of(user, count) for user in users} if count else set()


def complete(work: Work, release: Release, users: Iterable[str], before: Callable[[], object]) -> None:
    """Have the version of a release whole in its place, with the candidate shards of some users.

    Args:
        work: where, and from what.
        release: names the manifest.
        users: whose candidates are wanted, besides those that the version has.
        before: called when the manifest was found right, before anything is put among the versions.

    Raises:
        FetchError: a file cannot be fetched, or the manifest asks for too much.
        BundleError: it is not a bundle that this version reads.
        StorageError: the disk is full, or the folder cannot be written.
    """
    folder, base, name = work.folder, work.base, version_name(release.manifest)
    partial, target = folder / PARTIAL, version_folder(folder, name)
    if release.size > work.limits.manifest:
        raise FetchError(f"{base} has a manifest of {release.size} bytes, over {work.limits.manifest}: ask the "
                         "publisher")  # fmt: skip
    with _writing(folder):
        partial.mkdir(parents=True, exist_ok=True)
    known = target / MANIFEST_FILE
    with _writing(known):
        if not (same_file(known, release.size) and sha256_file(known) == release.manifest):
            known = partial / release.manifest
            work.fetcher.file(base + name_of(release.manifest), known, release.size, release.manifest)
        content = known.read_bytes()
    manifest = Manifest.from_bytes(content, base)
    shards = shards_of(manifest, users)
    entries = _entries(manifest, shards, base, work.limits)
    staging = target if target.exists() else folder / VERSIONS / f".{name}.new"
    _check_space(folder, staging, entries, _made(manifest))
    before()
    with _writing(folder):
        (folder / VERSIONS).mkdir(exist_ok=True)
    for path, entry in entries.items():
        _placed(work, staging / path, path, entry)
    with _writing(staging):
        held = held_shards(target) if staging == target else set()
        if held is not None:
            write_atomic(staging / SHARDS, str(sorted(shards | held)).encode())
        write_atomic(staging / MANIFEST_FILE, content)
        open_bundle(staging).check_shards()
        if staging != target:
            os.rename(staging, target)
            sync_folder(target.parent)


def _entries(manifest: Manifest, shards: set[int], base: str, limits: Limits) -> dict[str, FileEntry]:
    """The files of the manifest that are wanted: all but the candidate shards of others.

    Raises:
        FetchError: too many, too large, or a name that a bundle's file cannot have.
    """
    wanted = {shard_name(shard) for shard in shards}
    own = f"{CANDIDATES_FOLDER}/"
    if len(manifest.files) > limits.files:
        raise FetchError(f"{base} lists {len(manifest.files)} files, more than {limits.files}: ask the publisher")
    entries = {name: entry for name, entry in manifest.files.items() if not name.startswith(own) or name in wanted}
    for shard in sorted(wanted - set(entries)):
        raise FetchError(f"{base} lists no {shard}, which its manifest promises: ask the publisher")
    model = int(manifest.packed.get("bytes", 0))
    if model > limits.model:
        raise FetchError(f"{base} has a packed model of {model} bytes, over {limits.model}: ask the publisher, or "
                         "raise --max-model-bytes")  # fmt: skip
    total = sum(entry.bytes for entry in entries.values()) + _made(manifest)
    if total > limits.total:
        raise FetchError(f"{base} asks for {total} bytes, over {limits.total}: ask the publisher, or raise --max-bytes")
    return entries


def _made(manifest: Manifest) -> int:
    """Bytes of what the device makes of a packed bundle, and of a lean one for a user."""
    return int(manifest.packed.get("bytes", 0)) * (2 if manifest.lean else 1)


def _check_space(folder: Path, staging: Path, entries: dict[str, FileEntry], made: int) -> None:
    here = [staging / name for name in entries] + [folder / PARTIAL / entry.sha256 for entry in entries.values()]
    have = sum(path.stat().st_size for path in here if path.is_file())
    needed = sum(entry.bytes for entry in entries.values()) + made - have
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise StorageError(f"cannot write {folder}: {needed} bytes are needed and {free} are free: free some space, or "
                           "name a folder on another disk with --to")  # fmt: skip


def _placed(work: Work, target: Path, name: str, entry: FileEntry) -> None:
    """Have the file in its place: it is there, or in another version, or it is fetched."""
    with _writing(target):
        if same_file(target, entry.bytes) and sha256_file(target) == entry.sha256:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = work.folder / PARTIAL / entry.sha256
        sources = [version_folder(work.folder, other) / name for other in work.sources]
        if not any(_copied(source, entry, part) for source in sources):
            work.fetcher.file(work.base + name_of(entry.sha256), part, entry.bytes, entry.sha256)
        os.replace(part, target)


def _copied(source: Path, entry: FileEntry, part: Path) -> bool:
    """Copy a file of another version, if it is the wanted one. A link would share its damage."""
    with contextlib.suppress(OSError):
        if same_file(source, entry.bytes) and sha256_file(source) == entry.sha256:
            shutil.copyfile(source, part)
            with open(part, "r+b") as file:
                os.fsync(file.fileno())
            return sha256_file(part) == entry.sha256
    return False


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from None
