# SPDX-License-Identifier: Apache-2.0
"""A bundle that comes as a .zip, unpacked once."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from pocketrec.device.base.errors import BundleError
from pocketrec.device.base.files import sha256_file, storage_error
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.names import MANIFEST_FILE

_LIMIT: Final = 1 << 24  # bytes of a manifest
_AGAIN: Final = "fetch or export the bundle again"


def unpacked(archive: Path, cache: str | Path | None) -> Path:
    """Unpack a .zip beside itself or into `cache`, in one step; only what its manifest lists, of the listed sizes.

    Raises:
        BundleError: it is no .zip of a bundle, cut short or altered.
        StorageError: the disk is full, or the folder cannot be written.
    """
    import shutil
    import zipfile  # only here: most devices open folders
    import zlib

    try:
        folder = Path(cache or archive.parent) / f"{archive.name}.{sha256_file(archive)[:16]}"
        if (folder / MANIFEST_FILE).is_file():
            return folder
        temporary = folder.with_name(f".{folder.name}.{os.urandom(8).hex()}.tmp")
        try:
            with zipfile.ZipFile(archive) as opened:
                if opened.getinfo(MANIFEST_FILE).file_size > _LIMIT:
                    raise BundleError(f"{archive}: its manifest is larger than {_LIMIT} bytes: {_AGAIN}")
                content = opened.read(MANIFEST_FILE)
                manifest = Manifest.from_bytes(content, str(archive))
                folder.parent.mkdir(parents=True, exist_ok=True)
                total = sum(entry.bytes for entry in manifest.files.values())
                if total > shutil.disk_usage(folder.parent).free:
                    raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}, {total} bytes are needed")
                for name, entry in manifest.files.items():
                    if opened.getinfo(name).file_size != entry.bytes:
                        raise BundleError(f"{archive}: {name} is not of the size in its manifest: {_AGAIN}")
                    target = temporary / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(name) as source, open(target, "wb") as file:
                        shutil.copyfileobj(source, file)
            (temporary / MANIFEST_FILE).write_bytes(content)
            try:
                os.rename(temporary, folder)
            except OSError:
                if not (folder / MANIFEST_FILE).is_file():  # else another one was faster
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, zlib.error) as error:
        raise BundleError(f"{archive} is cut short or altered ({str(error)[:100]}): {_AGAIN}") from None
    except OSError as error:
        raise storage_error(archive.parent if cache is None else cache, error) from None
    return folder
