# SPDX-License-Identifier: Apache-2.0
"""Where a user's personal files lie if nobody says: beside the bundle, whatever name the bundle is given by.

The folder is ``<bundle>.states``, after the bundle's real name: links, ``.`` and ``..`` are followed. So that a renamed
bundle, and a link that leads to another one since, find it again, a note in it (`NOTE`) says under which names the
bundle was used and which inode its folder has. Files made before there were notes, beside a link or by ``.``, are found
by the old names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import Any, Final

from pocketrec.device.base import documents
from pocketrec.device.base.errors import StateError, StorageError
from pocketrec.device.delivery.versions import folder_of

#: File in a folder of personal files: JSON, names and inodes of its bundle.
NOTE: Final = ".bundle"

_SUFFIX: Final = ".states"
_told: set[Path] = set()  # folders of which this process has printed a note


def personal_folder(bundle: str | Path, user: str | None) -> Path:
    """The folder of a user's personal files, whether it exists or not.

    Raises:
        StateError: the user has files in two places, or the path of the bundle has no folder.
    """
    folders = holding(bundle, user)
    if len(folders) > 1:
        raise StateError(f"this user's files lie in {folders[0]} and in {folders[1]}: move those that are not wanted, "
                         "or name the files with --state and --store")  # fmt: skip
    expected = _beside(_real(bundle))
    if not folders or folders[0] == expected:
        return expected
    if folders[0] not in _told:
        _told.add(folders[0])
        print(f"note: the user's files are those in {folders[0]}, which belong to this bundle by another name",
              file=sys.stderr)  # fmt: skip
    return folders[0]


def holding(bundle: str | Path, user: str | None) -> list[Path]:
    """The folders that hold files of a user, by any name of the bundle."""
    real, named = _real(bundle), _named(bundle)
    folders = [_beside(real), _beside(named), _beside(Path(os.path.realpath(bundle)))]  # the last: of a version
    if str(bundle) in (".", "./") and not (named.parent / "bundle").exists():
        folders.append(named.parent / f"bundle{_SUFFIX}")  # what "." once led to
    found = [folder for folder in dict.fromkeys(folders) if _holds(folder, user)]
    if not found:
        noted = (folder for parent in dict.fromkeys((real.parent, named.parent)) for folder in _noted(parent, bundle))
        found = [folder for folder in dict.fromkeys(noted) if _holds(folder, user)]
    return found


def file_name(user: str | None) -> str:
    """What the names of a user's files begin with: they do not tell the user."""
    return hashlib.sha256((user or "").encode(errors="surrogatepass")).hexdigest()[:16]


def remember(bundle: str | Path, user: str | None) -> None:
    """Note the bundle's names in the folder of the user's files; where it cannot be written, nothing is noted."""
    for folder in holding(bundle, user):
        names, inode = {str(_named(bundle)), str(_real(bundle))}, _inode(_real(bundle))
        known, inodes = _note(folder)
        if not names <= known or inodes != {inode}:  # a later bundle under the same name takes the earlier one's place
            note = {"names": sorted(names | known), "inodes": [inode]}
            with contextlib.suppress(StorageError):
                documents.note(folder / NOTE, note, mode=0o600)


def tidy(folder: Path) -> None:
    """Delete the note of a folder that holds no files of users any more."""
    with contextlib.suppress(OSError):
        if os.listdir(folder) == [NOTE]:
            (folder / NOTE).unlink()


def _noted(parent: Path, bundle: str | Path) -> list[Path]:
    """Folders of personal files whose note names the bundle, or its inode if no bundle has the noted names any more."""
    found = []
    own, inode = {str(_named(bundle)), str(_real(bundle))}, _inode(_real(bundle))
    with contextlib.suppress(OSError):
        for entry in os.scandir(parent):
            if entry.name.endswith(_SUFFIX):
                names, inodes = _note(Path(entry.path))
                renamed = inode in inodes and not any(_inode(Path(name)) not in (None, inode) for name in names)
                if own & names or renamed:
                    found.append(Path(entry.path))
    return found


def _note(folder: Path) -> tuple[set[str], set[Any]]:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        note = documents.read(folder / NOTE)
        return {str(name) for name in note["names"]}, {str(inode) for inode in note["inodes"]}
    return set(), set()


def _holds(folder: Path, user: str | None) -> bool:
    begins = file_name(user)
    try:
        return any(name.startswith(begins) for name in os.listdir(folder))
    except OSError:
        return False


def _named(bundle: str | Path) -> Path:
    """The bundle's absolute path as it was named, links not followed; of a version, its folder of versions."""
    return folder_of(Path(os.path.abspath(bundle)))


def _real(bundle: str | Path) -> Path:
    """The bundle's path, links followed; of a version, its folder of versions."""
    return folder_of(Path(os.path.realpath(bundle)))


def _beside(bundle: Path) -> Path:
    if not bundle.name:
        raise StateError(f"{bundle} is not the name of a bundle: name its folder or .zip, or files with --state and "
                         "--store")  # fmt: skip
    return bundle.with_name(bundle.name.removesuffix(".zip") + _SUFFIX)


def _inode(path: Path) -> str | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return f"{status.st_dev}:{status.st_ino}"
