"""Writing a bundle to a folder that any static file server or CDN can serve; `pocketrec.device.delivery.pull` fetches
it.

Nothing that a device may be fetching is changed or removed: contents are added under their hashes, `latest.json` is
replaced last, and what only old releases need goes when enough newer ones are there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base.errors import BundleError, FetchError, StorageError
from pocketrec.device.base.files import sha256_file, storage_error, sweep, write_atomic
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.names import MANIFEST_FILE
from pocketrec.device.delivery.bundle import open_bundle
from pocketrec.device.delivery.release import FILES, LATEST, RELEASES, Release, name_of
from pocketrec.device.delivery.signing import public_digits, read_private

if TYPE_CHECKING:
    from typing import BinaryIO


@dataclass(frozen=True)
class Published:
    """What `publish` did."""

    release: Release
    """What latest.json says now."""
    new: bool
    """Whether it is another release than before."""
    files: int
    """Files of the bundle, the manifest included."""
    written: int
    """Bytes of these that the folder did not have."""
    removed: int
    """Files of old releases that went."""
    key: str
    """Public key to pin, 64 hexadecimal digits; "" where nothing was signed."""


def publish(bundle: str | Path, folder: str | Path, *, sign: str | Path | None = None, keep: int = 3) -> Published:
    """Publish a bundle.

    Args:
        bundle: folder or .zip of a bundle, or a run directory with one in it.
        folder: what the server serves; made where it is missing.
        sign: file of the private key; None = without a signature.
        keep: releases whose files stay, at least 1. Devices that are fetching an older one have to begin again.

    Raises:
        BundleError: the bundle is missing or damaged.
        ConfigError: the key cannot be read, or the extra ``secure`` is not installed.
        FetchError: the folder's latest.json is not one.
        StorageError: a file cannot be written; devices still get the former release.
        ValueError: `keep` is below 1.
    """
    if keep < 1:
        raise ValueError(f"at least one release has to be kept, not {keep}")
    key = None if sign is None else read_private(sign)
    source, folder = Path(bundle), Path(folder)
    if not (source / MANIFEST_FILE).exists() and (source / "bundle" / MANIFEST_FILE).exists():
        source = source / "bundle"
    opened = open_bundle(source)
    manifest = opened.folder / MANIFEST_FILE
    digest = sha256_file(manifest)
    contents = {entry.sha256: opened.folder / name for name, entry in opened.manifest.files.items()}
    contents[digest] = manifest
    written = sum(_added(file, sha256, folder / name_of(sha256)) for sha256, file in contents.items())

    before = latest_of(folder)
    serial = 1 if before is None else before.serial + 1
    release = Release(serial, digest, manifest.stat().st_size)
    same = before is not None and before.manifest == digest
    if same and before is not None:
        release = replace(release, serial=before.serial)
    if key is not None:
        release = replace(release, signature=key.sign(release.statement()).hex())
    new = release != before
    if new:
        write_atomic(folder / RELEASES / f"{release.serial}.json", release.to_bytes())
        sweep(folder / LATEST)
        write_atomic(folder / LATEST, release.to_bytes())
    removed = _removed(folder, keep)
    return Published(release, new, len(contents), written, removed, "" if key is None else public_digits(key))


def latest_of(folder: Path) -> Release | None:
    """What a publisher's folder says is the latest release; None where nothing was published there.

    Raises:
        FetchError: latest.json is not one.
        StorageError: the folder holds something else, or cannot be read.
    """
    try:
        return Release.from_bytes((folder / LATEST).read_bytes(), str(folder / LATEST))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise storage_error(folder / LATEST, error) from None
    ours = {FILES, RELEASES}
    with contextlib.suppress(FileNotFoundError):
        others = [name for name in os.listdir(folder) if name not in ours and not name.startswith(".")]
        if others:
            raise StorageError(f"{folder} holds other files ({sorted(others)[0]}): name an empty folder with --to")
    return None


def _added(source: Path, sha256: str, target: Path) -> int:
    """Copy a file under its hash, unless it is there; gives the bytes written."""
    size = source.stat().st_size
    with contextlib.suppress(OSError):
        if target.stat().st_size == size and sha256_file(target) == sha256:
            return 0

    def copy(file: BinaryIO) -> None:
        with open(source, "rb") as content:
            shutil.copyfileobj(content, file)

    sweep(target)
    write_atomic(target, copy)
    if sha256_file(target) != sha256:
        raise BundleError(f"{source} was changed while it was published: publish again")
    return size


def _removed(folder: Path, keep: int) -> int:
    """Remove what none of the latest `keep` releases needs; gives the number of files under files/."""
    stems = [path.stem for path in (folder / RELEASES).glob("*.json")]
    serials = sorted((int(stem) for stem in stems if stem.isdecimal()), reverse=True)
    needed: set[str] = set()
    try:
        for serial in serials[:keep]:
            path = folder / RELEASES / f"{serial}.json"
            release = Release.from_bytes(path.read_bytes(), str(path))
            content = (folder / name_of(release.manifest)).read_bytes()
            manifest = Manifest.from_bytes(content, str(path))
            needed |= {release.manifest, *(entry.sha256 for entry in manifest.files.values())}
    except (OSError, FetchError, BundleError):  # what cannot be told to be unneeded stays
        return 0
    removed = 0
    try:
        for path in (folder / FILES).iterdir():
            if len(path.name) == 64 and path.name not in needed:
                path.unlink()
                removed += 1
        for serial in serials[keep:]:
            (folder / RELEASES / f"{serial}.json").unlink()
    except OSError as error:
        raise storage_error(folder, error) from None
    return removed
