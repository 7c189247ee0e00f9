# SPDX-License-Identifier: Apache-2.0
"""Writing arrays as one .npz file that is whole or absent, also where the disk is full; texts as two plain arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pocketrec.device.base.files import write_atomic


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


def pack_texts(texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts in UTF-8, one after another: uint8 (bytes,), and where each begins and ends: int64 (n + 1,)."""
    encoded = [text.encode("utf-8") for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), ends


def unpack_texts(raw: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The inverse of `pack_texts`: object (n,) of `str`.

    Raises:
        ValueError: the bytes are not UTF-8.
    """
    content = raw.tobytes()
    texts = np.empty(len(offsets) - 1, dtype=object)
    texts[:] = [content[begin:end].decode("utf-8") for begin, end in pairwise(offsets.tolist())]
    return texts
