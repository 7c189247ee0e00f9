"""Fetching a published bundle into a folder of versions, and switching to it in one step.

latest.json first, checked against the pinned key; then the manifest that it names; then every file of the manifest
that is not here already, and of the candidates only the users' own shards: the server learns the number of a shard,
which 256 users or more share on average, and never a user. Each file is checked against its SHA-256, the whole bundle
is opened, and only then does current.json name the new version. Nothing here is called by personal training or
recommending.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import BundleError, ConfigError, FetchError, StorageError
from pocketrec.device.base.files import sha256_file, storage_error, sync_folder, write_atomic
from pocketrec.device.contract.manifest import FileEntry, Manifest
from pocketrec.device.contract.names import CANDIDATES_FOLDER, MANIFEST_FILE
from pocketrec.device.contract.shards import shard_name, shard_of
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.delivery.release import LATEST, Release, name_of
from pocketrec.device.delivery.signing import need_cryptography, read_public, verify
from pocketrec.device.delivery.versions import (
    CURRENT,
    PARTIAL,
    SHARDS,
    VERSIONS,
    Current,
    collect,
    held_shards,
    locked,
    read_current,
    same_file,
    version_folder,
    version_name,
)

if TYPE_CHECKING:
    from pocketrec.device.delivery.fetch import Fetcher, Patience

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
class Pulled:
    """What `pull` did."""

    folder: Path
    """The bundle in use."""
    serial: int
    """Number of the release that the server offers."""
    new: bool
    """Whether the device switched to another version."""
    received: int
    """Bytes of the answers' bodies."""
    reason: str
    """In a few words."""


def pull(
    url: str,
    folder: str | Path,
    *,
    users: Iterable[str] = (),
    key: str | Path | None = None,
    limits: Limits | None = None,
    patience: Patience | None = None,
    older: bool = False,
) -> Pulled:
    """Bring the latest published bundle into a folder of versions. Name that folder wherever a bundle is named.

    Args:
        url: address of the folder that `publish` wrote, http or https; "" = the one that was pulled from before.
        folder: the folder of versions; made where it is missing.
        users: whose candidates are wanted, besides those named before.
        key: public key to pin, from now on too; None = the one that was pinned before, if any.
        limits: what a manifest may ask for.
        patience: how long the server is waited for.
        older: take a release with a smaller number than one that was installed before.

    Raises:
        FetchError: the server cannot be reached, or what it offers is not to be trusted, or too large.
        BundleError: what was fetched is not a bundle that this version reads.
        StorageError: the disk is full, or the folder cannot be written.
        ConfigError: the address or the key is wrong, or the extra ``secure`` is not installed.
    Whatever is raised, the version in use is as it was.
    """
    from pocketrec.device.delivery.fetch import Fetcher

    folder, limits = Path(folder), limits or Limits()
    if (folder / MANIFEST_FILE).exists():
        raise ConfigError(f"{folder} is a bundle itself: name another folder with --to")
    with locked(folder):
        try:
            known = read_current(folder) or Current()
        except BundleError:
            if not url:
                raise
            known = Current()
        wanted = _settled(known, url, users, key)
        fetcher = Fetcher(patience)
        base = wanted.url.rstrip("/") + "/"
        bundle = _usable(folder, wanted.current)
        complete = bundle is not None and not _missing(bundle, wanted.users)
        content, etag = fetcher.small(base + LATEST, limits.latest, wanted.etag if complete and not older else "")
        if content is None and bundle is not None:
            return _unchanged(folder, known, wanted, fetcher, "nothing new")
        release = Release.from_bytes(content or b"", base + LATEST)
        if wanted.key:
            verify(wanted.key, release.signature, release.statement(), base + LATEST)
        if release.serial < wanted.serial and not older:
            raise FetchError(f"{base} offers release {release.serial}, and {wanted.serial} was here before: ask the "
                             "publisher, or pass --allow-older")  # fmt: skip
        name = version_name(release.manifest)
        wanted.etag = etag
        if name == wanted.refused and not older:
            return _unchanged(folder, known, wanted, fetcher, "the latest release was rolled back from")
        if name == wanted.current and complete:
            wanted.serial = release.serial
            return _unchanged(folder, known, wanted, fetcher, "nothing new")
        _install(folder, base, release, name, wanted, fetcher, limits)
        new = name != known.current
        wanted.serial = release.serial
        if new:
            wanted.current, wanted.previous = name, known.current if bundle is not None else known.previous
            wanted.previous = "" if wanted.previous == name else wanted.previous
            wanted.refused = ""
        wanted.write(folder)
        collect(folder, wanted)
        reason = "a new version is in use" if new else "what was missing is here"
        return Pulled(version_folder(folder, name), release.serial, new, fetcher.received, reason)


def rollback(folder: str | Path) -> Path:
    """Go back to the version before the one in use, which is then not installed again; gives the folder of the bundle.

    Raises:
        BundleError: there is none, or it is damaged.
        StorageError: current.json cannot be written.
    """
    folder = Path(folder)
    if not (folder / CURRENT).exists():
        raise BundleError(f"no bundle was pulled into {folder}: name the folder of --to")
    with locked(folder):
        current = read_current(folder) or Current()
        if not current.previous:
            raise BundleError(f"{folder} holds no version before the one in use: pull another release")
        bundle = open_bundle(version_folder(folder, current.previous))
        swapped = replace(current, current=current.previous, previous=current.current, etag="")
        swapped.refused = "" if current.refused == current.previous else current.current
        swapped.write(folder)
        return bundle.folder


def _settled(known: Current, url: str, users: Iterable[str], key: str | Path | None) -> Current:
    """What was known and what is asked for now, together."""
    from pocketrec.device.delivery.fetch import is_address

    wanted = replace(known, users=list(dict.fromkeys([*known.users, *users])))
    url = url.strip() or known.url
    if not url:
        raise ConfigError("nothing was pulled into this folder before: name the address")
    if not is_address(url) or {"?", "#"} & set(url):
        raise ConfigError(f"{url} is not an address: name one such as https://example.org/bundle")
    if url.rstrip("/") != known.url.rstrip("/"):
        wanted.url, wanted.etag, wanted.serial = url, "", 0
    if key is not None:
        pinned = read_public(key)
        if pinned != known.key:
            wanted.key, wanted.etag, wanted.serial = pinned, "", 0
    if wanted.key:
        need_cryptography()
    return wanted


def _usable(folder: Path, name: str) -> Bundle | None:
    """The version, where it is whole."""
    if not name:
        return None
    with contextlib.suppress(BundleError):
        return open_bundle(version_folder(folder, name))
    return None


def _missing(bundle: Bundle, users: Iterable[str]) -> bool:
    """Whether a shard of one of the users is not here."""
    held = held_shards(bundle.folder)
    return held is not None and not _shards(bundle.manifest, users) <= held


def _shards(manifest: Manifest, users: Iterable[str]) -> set[int]:
    count = manifest.candidates["shards"]
    return {shard_of(user, count) for user in users} if count else set()


def _unchanged(folder: Path, known: Current, wanted: Current, fetcher: Fetcher, reason: str) -> Pulled:
    if wanted != known:
        wanted.write(folder)
    return Pulled(version_folder(folder, wanted.current), wanted.serial, False, fetcher.received, reason)


def _install(
    folder: Path, base: str, release: Release, name: str, wanted: Current, fetcher: Fetcher, limits: Limits
) -> None:
    """Make the version complete in its place; a version that is there and sound stays usable at every moment."""
    partial, target = folder / PARTIAL, version_folder(folder, name)
    if release.size > limits.manifest:
        raise FetchError(f"{base} has a manifest of {release.size} bytes, over {limits.manifest}: ask the publisher")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        (folder / VERSIONS).mkdir(exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from None
    listed = partial / release.manifest
    known = target / MANIFEST_FILE
    if not (same_file(known, release.size) and sha256_file(known) == release.manifest):
        fetcher.file(base + name_of(release.manifest), listed, release.size, release.manifest)
        known = listed
    content = known.read_bytes()
    manifest = Manifest.from_bytes(content, base)
    shards = _shards(manifest, wanted.users)
    entries = _entries(manifest, shards, base, limits)
    staging = target if target.exists() else folder / VERSIONS / f".{name}.new"
    sources = [version_folder(folder, other) for other in (wanted.current, wanted.previous) if other not in ("", name)]
    _check_space(folder, staging, partial, entries, _made(manifest))
    for path, entry in entries.items():
        _placed(staging / path, path, entry, sources, partial, base, fetcher)
    with _writing(staging):
        held = held_shards(target) if staging == target else set()
        if held is not None:
            write_atomic(staging / SHARDS, str(sorted(shards | held)).encode())
        write_atomic(staging / MANIFEST_FILE, content)
        if staging != target:
            open_bundle(staging)
            os.rename(staging, target)
            sync_folder(target.parent)
        else:
            open_bundle(target)


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


def _check_space(folder: Path, staging: Path, partial: Path, entries: dict[str, FileEntry], made: int) -> None:
    here = [staging / name for name in entries] + [partial / entry.sha256 for entry in entries.values()]
    have = sum(path.stat().st_size for path in here if path.is_file())
    needed = sum(entry.bytes for entry in entries.values()) + made - have
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise StorageError(f"cannot write {folder}: {needed} bytes are needed and {free} are free: free some space, or "
                           "name a folder on another disk with --to")  # fmt: skip


def _placed(
    target: Path, name: str, entry: FileEntry, sources: list[Path], partial: Path, base: str, fetcher: Fetcher
) -> None:
    """Have the file in its place: it is there, or in another version, or it is fetched."""
    with _writing(target):
        if same_file(target, entry.bytes) and sha256_file(target) == entry.sha256:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = partial / entry.sha256
        if not any(_copied(source / name, entry, part) for source in sources):
            fetcher.file(base + name_of(entry.sha256), part, entry.bytes, entry.sha256)
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
