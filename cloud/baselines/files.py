# SPDX-License-Identifier: Apache-2.0
"""Fitted baselines in files that any number of processes map: ``FOLDER/NAME/ARRAY.npy``, and the list of names.

The arrays are plain .npy files, opened with `numpy.load(mmap_mode="r")`: the processes of an evaluation share one copy.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pocketrec.cloud.base.runs import write_json
from pocketrec.cloud.baselines.baseline import Baseline
from pocketrec.cloud.config.baselines import BASELINES
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.files import write_atomic

#: Lists the baselines of a folder, each with the names of its arrays, and which are judged; written last.
INDEX_FILE: Final = "baselines.json"


def save_baseline(folder: Path, name: str, baseline: Baseline) -> list[str]:
    """Write the arrays of one baseline; their names.

    Raises:
        StorageError: a file cannot be written.
    """
    arrays = baseline.arrays()
    for key, array in arrays.items():
        write_atomic(folder / name / f"{key}.npy", functools.partial(_write, np.ascontiguousarray(array)))
    return sorted(arrays)


def _write(array: NDArray[Any], file: BinaryIO) -> None:
    np.lib.format.write_array(file, array, allow_pickle=False)


def save_index(folder: Path, names: Mapping[str, list[str]], judged: Iterable[str] | None = None) -> None:
    """List the baselines that were saved.

    Args:
        folder: of the baselines.
        names: each with the names of its arrays, see `save_baseline`.
        judged: those that evaluations compare with; None = all.

    Raises:
        StorageError: the file cannot be written.
    """
    compared = list(names if judged is None else judged)
    write_json(folder / INDEX_FILE, {"format": 1, "judged": compared, "baselines": names})


def load_baselines(folder: Path) -> dict[str, Baseline]:
    """The baselines of a folder that are judged, by name, in the order of the table, their arrays mapped.

    Raises:
        DataError: a file is missing or damaged.
        ConfigError: a baseline is not installed here.
    """
    wanted, _ = _index(folder)
    known = [name for name in BASELINES if name in wanted]
    return {name: load_baseline(folder, name) for name in (*known, *(set(wanted) - set(known)))}


def load_baseline(folder: Path, name: str) -> Baseline:
    """One of the baselines of a folder, its arrays mapped.

    Raises:
        DataError: it is missing or damaged.
        ConfigError: it is not installed here.
    """
    keys = _index(folder)[1].get(name)
    if keys is None:
        raise DataError(f"{folder} has no baseline {name}: run `pocketrec baselines` again")
    arrays = {key: _mapped(folder / name / f"{key}.npy") for key in keys}
    try:
        return load_class(name).restore(arrays)
    except (KeyError, TypeError, IndexError) as error:
        raise _damaged(folder / name, error) from None


def load_class(name: str) -> type[Baseline]:
    """The class of a baseline, imported now.

    Raises:
        ConfigError: no system of this name exists, or it is not a `Baseline`.
    """
    found: type[Baseline] = BASELINES.load(name)
    return found


def _index(folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the baselines that are judged; and those of the arrays of each that is there."""
    try:
        content = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        arrays = {str(name): [str(key) for key in keys] for name, keys in content["baselines"].items()}
        return [name for name in content["judged"] if name in arrays], arrays
    except FileNotFoundError:
        raise DataError(f"no file {folder / INDEX_FILE}: run `pocketrec baselines` first") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder / INDEX_FILE, error) from None


def _mapped(path: Path) -> NDArray[Any]:
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
            empty = 0 in np.lib.format.read_array_header_1_0(file)[0]  # which cannot be mapped
        return np.asarray(np.load(path, mmap_mode=None if empty else "r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"cannot read {path} ({type(error).__name__}): run `pocketrec baselines --force`")
