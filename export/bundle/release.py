# SPDX-License-Identifier: Apache-2.0
"""Writing a bundle to a folder that any static file server or CDN can serve; `pocketrec.device.delivery.pull` fetches
it.

Nothing that a device may be fetching is changed or removed: contents are added under their hashes, `latest.json` is
replaced last, and what only old releases need goes when enough newer ones are there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pocketrec.device.base.errors import BundleError, FetchError, StorageError
from pocketrec.device.base.files import sha256_file, storage_error, sweep, write_atomic
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.names import MANIFEST_FILE, PATCHES_FOLDER
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.delivery.release import (
    CHANGELOG,
    FILES,
    LATEST,
    RELEASES,
    ROTATIONS,
    Release,
    name_of,
    rotation_of,
)
from pocketrec.device.delivery.signing import public_digits, read_private
from pocketrec.export.bundle.changelog import add_line
from pocketrec.export.bundle.patches import needed_patches, publish_patches, remove_others
from pocketrec.export.bundle.terms import Terms, check_serial, check_signers, signed, staged

if TYPE_CHECKING:
    from typing import BinaryIO

#: Folder of a run directory that holds what was trained again on the whole log.
REFIT: Final = "refit"


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
    """Public key of the first signature, 64 hexadecimal digits; "" where nothing was signed."""
    source: Path
    """The bundle that was published."""
    patches: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """By task, the number of its patch and whether it is another than before; empty where none were to be published."""


def publish(
    bundle: str | Path,
    folder: str | Path,
    *,
    sign: str | Path | Sequence[str | Path] | None = None,
    keep: int = 3,
    terms: Terms | None = None,
    patches: bool = False,
) -> Published:
    """Publish a bundle.

    Args:
        bundle: folder or .zip of a bundle; or a run directory, of which the packed form is sent where there is one.
        folder: what the server serves; made where it is missing.
        sign: file of the private key, or of several; None = without a signature.
        keep: releases whose files stay, at least 1. Devices that are fetching an older one have to begin again.
        terms: number, expiry, keys and share of the release; None = the next number, and nothing else.
        patches: publish the patches of tasks that lie in the bundle's folder too, before the release.

    Raises:
        BundleError: the bundle is missing or damaged.
        ConfigError: a key cannot be read, the extra ``secure`` is not installed, or devices would refuse a release
            with these terms.
        FetchError: the folder's latest.json is not one.
        StorageError: a file cannot be written; devices still get the former release.
        ValueError: `keep` is below 1.
    """
    if keep < 1:
        raise ValueError(f"at least one release has to be kept, not {keep}")
    terms = terms or Terms()
    files = [sign] if isinstance(sign, str | Path) else list(sign or ())
    keys = [read_private(file) for file in files]
    folder = Path(folder)
    opened = open_bundle(_form(Path(bundle), terms.plain))
    before = latest_of(folder)
    release = _next(opened, before, terms)
    signers = [public_digits(key) for key in keys]
    check_signers(release, before, signers)

    manifest = opened.folder / MANIFEST_FILE
    contents = {entry.sha256: opened.folder / name for name, entry in opened.manifest.files.items()}
    contents[release.manifest] = manifest
    written = sum(_added(file, sha256, folder / name_of(sha256)) for sha256, file in contents.items())
    offered = publish_patches(opened, folder, keys, release.serial) if patches else {}

    release = signed(release, keys)
    new = release != before
    if new:
        write_atomic(folder / RELEASES / f"{release.serial}.json", release.to_bytes())
        if release.keys and (before is None or before.keys != release.keys):
            for signer in signers:
                write_atomic(folder / rotation_of(signer), release.to_bytes())
        add_line(folder / CHANGELOG, release, signers, opened.manifest.model_id, terms.note)
        sweep(folder / LATEST)
        write_atomic(folder / LATEST, release.to_bytes())
    removed = _removed(folder, keep)
    return Published(release, new, len(contents), written, removed, signers[0] if signers else "", opened.folder,
                     offered)  # fmt: skip


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
    ours = {FILES, RELEASES, ROTATIONS, CHANGELOG, PATCHES_FOLDER}
    with contextlib.suppress(FileNotFoundError):
        others = [name for name in os.listdir(folder) if name not in ours and not name.startswith(".")]
        if others:
            raise StorageError(f"{folder} holds other files ({sorted(others)[0]}): name an empty folder with --to")
    return None


def _form(source: Path, plain: bool) -> Path:
    """The bundle that is meant: of a run directory the packed one, if there is one and the plain one is not wanted; the
    one of the whole log, where the run has trained on it after its evaluation."""
    if (source / REFIT / "bundle" / MANIFEST_FILE).exists():
        source = source / REFIT
    if source.is_file() or (source / MANIFEST_FILE).exists():
        return source
    for name in ("bundle",) if plain else ("packed", "bundle"):
        if (source / name / MANIFEST_FILE).exists():
            return source / name
    return source


def _next(opened: Bundle, before: Release | None, terms: Terms) -> Release:
    """The release, not yet signed; the one before where nothing has changed."""
    manifest = opened.folder / MANIFEST_FILE
    former = before.serial if before is not None else 0
    release = Release(
        former + 1,
        sha256_file(manifest),
        manifest.stat().st_size,
        expires=terms.expires,
        keys=terms.keys or (before.keys if before is not None else ()),
        staged=None if terms.share is None else staged(before, opened.manifest.candidates["shards"], terms.share),
    )
    if before is not None and terms.serial is None:
        unsigned = replace(before, signature="", signatures=())
        if replace(release, serial=former, published=before.published) == unsigned:
            return unsigned
    if terms.serial is not None:
        release = replace(release, serial=check_serial(terms.serial, former))
    told = release.expires or release.keys or release.staged
    return replace(release, published=int(time.time())) if told else release


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
    needed, models = set[str](), set[str]()
    try:
        for serial in serials[:keep]:
            path = folder / RELEASES / f"{serial}.json"
            release = Release.from_bytes(path.read_bytes(), str(path))
            for digest in (release.manifest, *([release.staged.manifest] if release.staged else [])):
                manifest = Manifest.from_bytes((folder / name_of(digest)).read_bytes(), str(path))
                needed |= {digest, *(entry.sha256 for entry in manifest.files.values())}
                needed |= needed_patches(folder, manifest.model_id)
                models.add(manifest.model_id)
    except (OSError, FetchError, BundleError):  # what may still be needed stays
        return 0
    removed = 0
    try:
        for path in (folder / FILES).iterdir():
            if len(path.name) == 64 and path.name not in needed:
                path.unlink()
                removed += 1
        remove_others(folder, models)
        for serial in serials[keep:]:
            (folder / RELEASES / f"{serial}.json").unlink()
    except OSError as error:
        raise storage_error(folder, error) from None
    return removed
