"""Writing arrays as one .npz file that is whole or absent, also where the disk is full."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pocketrec.device.files import write_atomic


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write an uncompressed .npz without pickled objects, atomically; equal arrays give equal bytes.

    `numpy.savez` would do, but leaves an archive behind when a write fails, which complains when it is collected.

    Raises:
        StorageError: the disk is full or the folder cannot be written; what was there before still is.
    """

    def write(file: BinaryIO) -> None:
        archive = zipfile.ZipFile(file, "w")
        try:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            archive.close()
        finally:
            archive.fp = None  # closed, or never to be touched again

    write_atomic(path, write)
