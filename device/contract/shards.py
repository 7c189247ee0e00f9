# SPDX-License-Identifier: Apache-2.0
"""Candidate shards: which file of a bundle holds a user's candidates, and what its tensors are called."""

from __future__ import annotations

import hashlib
from typing import Final

from pocketrec.device.base import documents
from pocketrec.device.contract.names import CANDIDATES_FOLDER
from pocketrec.device.contract.tensorfile import TensorFile

ROWS: Final = "rows"  # tensor of a candidate shard: unsigned [U, K], 0 padded
KNOWN: Final = "known"  # optional tensor of a candidate shard: unsigned [U], events of each user that the cloud knows
USERS: Final = "users"  # metadata of a candidate shard: JSON list of U user ids

#: Least users that share a shard on average, so that asking for one does not name a person.
USERS_A_SHARD: Final = 256


def shard_of(user: str, shards: int) -> int:
    """Shard of a user: the first eight bytes of the SHA-256 of the id (UTF-8), big-endian, modulo `shards`."""
    return int.from_bytes(hashlib.sha256(user.encode(errors="surrogatepass")).digest()[:8], "big") % shards


def shard_name(shard: int) -> str:
    """Path of a candidate shard inside a bundle."""
    return f"{CANDIDATES_FOLDER}/{shard:04d}"


def shards_for(users: int) -> int:
    """Candidate files for so many users: as many as leave 256 users or more in each on average, at most 4096."""
    return max(1, min(4096, users // USERS_A_SHARD))


def check_shard(shard: TensorFile, lines: int) -> None:
    """Check a candidate shard as a whole: a row of items and, where there are any, a number of events for each user.

    Args:
        shard: the opened file.
        lines: the largest item row that it may name.

    Raises:
        ValueError, KeyError: it is not as it should be.
    """
    users, rows, known = documents.parse(shard.metadata[USERS]), shard.tensors[ROWS], shard.tensors.get(KNOWN)
    if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
        raise ValueError("its users are not a list of ids")
    if rows.ndim != 2 or len(rows) != len(users) or rows.dtype.kind not in "ui":
        raise ValueError("users and rows do not fit")
    if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) <= lines:
        raise ValueError("it names items that the bundle lacks")
    if known is not None and (known.shape != (len(users),) or known.dtype.kind not in "ui"):
        raise ValueError("users and numbers of known events do not fit")
