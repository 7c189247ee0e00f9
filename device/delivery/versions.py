# SPDX-License-Identifier: Apache-2.0
"""The folder that bundles are pulled into: versions side by side, and one small file that says which is in use.

    current.json         the version in use, the one before it, and where they come from; replaced in one step
    current.copy.json    the same, written first: what is used where current.json is lost or damaged
    pin.json             which keys are trusted, and the largest release taken (`pocketrec.device.delivery.pins`)
    versions/NAME/       a bundle; NAME begins the SHA-256 of its manifest
    partial/             downloads that are not complete
    lock                 held while a pull is at work

A folder like this is named wherever a bundle is: `resolve` leads to the version in use. A process that opened a version
continues with it. This module opens no connection.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from pocketrec.device.base import documents
from pocketrec.device.base.errors import BundleError, FetchError
from pocketrec.device.base.fields import build_known
from pocketrec.device.base.files import storage_error, sweep
from pocketrec.device.contract.names import MANIFEST_FILE

CURRENT: Final = "current.json"
COPY: Final = "current.copy.json"
VERSIONS: Final = "versions"
PARTIAL: Final = "partial"
#: In a version: JSON list of the candidate shards that it holds, where it does not hold all.
SHARDS: Final = ".shards"

_NAME: Final = 16  # digits of the manifest's hash in a version's name


@dataclass
class Current:
    """The content of current.json."""

    current: str = ""
    """Name of the version in use; "" = none."""
    previous: str = ""
    """Name of the version before it."""
    serial: int = 0
    """Largest number of a release that was installed from `url`."""
    url: str = ""
    """Where it was pulled from."""
    etag: str = ""
    """ETag of latest.json when there was nothing left to fetch; "" = unknown."""
    key: str = ""
    """Public key that is pinned, 64 hexadecimal digits; "" = none."""
    users: list[str] = field(default_factory=list)
    """Users whose candidates are wanted; they stay in this file."""
    refused: str = ""
    """Name of a version that was rolled back from, and is not installed again."""
    tasks: list[str] = field(default_factory=list)
    """Tasks whose patches are wanted with every version."""

    def write(self, folder: Path) -> None:
        """Replace current.copy.json and then current.json, each in one step; readable by their owner only, for they
        name users.

        Raises:
            StorageError: one cannot be written; the version in use is as it was, or this one.
        """
        for name in (COPY, CURRENT):
            sweep(folder / name)
            documents.write(folder / name, asdict(self), mode=0o600)


def read_current(folder: Path) -> Current | None:
    """The content of current.json, or of its copy where it is lost or damaged; None where there is neither.

    Raises:
        BundleError: neither can be read, and one is there: it is damaged, or reading it is not allowed.
    """
    problem: BundleError | None = None
    for name in (CURRENT, COPY):
        try:
            return _parsed((folder / name).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            told = f"cannot be read ({error.strerror})"
        except ValueError as error:
            told = f"is damaged ({error})"
        advice = "pull again with the address; keys and versions are kept"
        problem = problem or BundleError(f"{folder / name} {told}: {advice}")
    if problem is not None:
        raise problem
    return None


def _parsed(content: bytes) -> Current:
    """Fields that this version does not know are left out."""
    current = build_known(Current, documents.parse_table(content))
    for name in (current.current, current.previous, current.refused):
        if name and (len(name) != _NAME or not name.isalnum()):
            raise ValueError(f"{name!r} is not the name of a version")
    return current


def resolve(path: Path) -> Path:
    """The bundle's folder that a path means: the version in use of a folder of versions, or the path itself.

    Raises:
        BundleError: current.json is damaged.
    """
    if (path / MANIFEST_FILE).exists():
        return path
    current = read_current(path)
    return path if current is None or not current.current else version_folder(path, current.current)


def folder_of(bundle: Path) -> Path:
    """The folder of versions that a bundle's folder is a version of; another folder is its own."""
    owner = bundle.parent.parent
    ours = bundle.parent.name == VERSIONS and any((owner / name).exists() for name in (CURRENT, COPY))
    return owner if ours else bundle


def version_name(manifest_sha256: str) -> str:
    """Name of the version with that manifest."""
    return manifest_sha256[:_NAME]


def version_folder(folder: Path, name: str) -> Path:
    """Where a version lies."""
    return folder / VERSIONS / name


def held_shards(bundle: Path) -> set[int] | None:
    """Candidate shards that a bundle's folder holds; None = all of its manifest.

    Raises:
        BundleError: the list is damaged.
    """
    try:
        return {int(shard) for shard in documents.read(bundle / SHARDS)}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        raise BundleError(f"{bundle / SHARDS} is damaged: pull the bundle again") from None


def forget_user(folder: Path, user: str) -> bool:
    """Take a user off the list of those whose candidates are pulled; whether there was such a user.

    Raises:
        BundleError: current.json is damaged.
        FetchError: a pull is at work, which would put the user back: call again.
        StorageError: it cannot be written.
    """
    if read_current(folder) is None:
        return False
    with locked(folder):
        current = read_current(folder)
        if current is None or user not in current.users:
            return False
        current.users.remove(user)
        current.write(folder)
        return True


def collect(folder: Path, current: Current) -> None:
    """Remove what is neither the version in use nor the one before it, and all partial downloads.

    What cannot be removed stays, and goes another time.
    """
    keep = {current.current, current.previous}
    with contextlib.suppress(OSError):
        for path in (folder / VERSIONS).iterdir():
            if path.name not in keep and len(path.name) == _NAME and path.name.isalnum():
                shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system gives it back when the process ends, however it ends.

    Raises:
        FetchError: another process holds it.
        StorageError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file: IO[Any] = open(folder / "lock", "a+b")  # noqa: SIM115
    except OSError as error:
        raise storage_error(folder, error) from None
    with file:
        try:
            import fcntl
        except ImportError:  # Windows: two pulls at once cost time there, and harm nothing that is hashed
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FetchError(f"another pull is at work in {folder}: wait for it") from None
        yield


def same_file(path: Path, size: int) -> bool:
    """Whether there is a file of that size."""
    with contextlib.suppress(OSError):
        return os.path.isfile(path) and os.stat(path).st_size == size
    return False
