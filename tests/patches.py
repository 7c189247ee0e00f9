# SPDX-License-Identifier: Apache-2.0
"""Patches for tests: random ones that fit a bundle, written where a device looks for them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from pocketrec.device.contract.patch import ITEMS_KIND, Patch, PatchError, head_of, pack, signatures_of, with_signatures
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.delivery.bundle import Bundle
from pocketrec.device.delivery.patches import patch_path


def make_patch(bundle: Bundle, task: str, kind: str = ITEMS_KIND, seed: int = 1, items: int = 12) -> Patch:
    """A random patch: of items with `items` of the bundle's first 2 * items and two of its own, else three classes."""
    rng = np.random.default_rng(seed)
    tensors = {spec["name"]: rng.normal(0, 0.3, spec["shape"]).astype(np.float32)
               for spec in bundle.manifest.tensors["trainable"]}  # fmt: skip
    known = rng.permutation([f"item {row}" for row in range(1, 2 * items)])[:items].tolist()
    ids = (*known, "new 1", "new 2") if kind == ITEMS_KIND else ("young", "old", "älter")
    size = int(bundle.manifest.model["embedding"])
    rows = rng.normal(0, 1, (len(ids) + 1, size)).astype(np.float32)
    rows[0] = 0.0
    biases = np.zeros(len(rows), np.float32)
    if kind != ITEMS_KIND:
        biases[1:] = rng.normal(0, 1, len(ids))
    return Patch(task, kind, str(bundle.manifest.model["way"]), bundle.manifest.model_id, ids, tensors,
                 *head_of(rows, kind), biases, Recipe(), {"seed": seed})  # fmt: skip


def put(folder: Path, patch: Patch) -> Path:
    """Write a patch, not signed, into a bundle's folder; gives the file."""
    path = patch_path(folder, patch.task)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pack(patch))
    return path


def altered(content: bytes, drawn: random.Random, number: int) -> bytes:
    """A patch that is cut, longer, or has other bytes: with the checksum left wrong, or made right again."""
    kind = number % 5
    if kind == 0:
        return content[: drawn.randrange(len(content))]
    if kind == 1:
        return content + drawn.randbytes(drawn.randrange(1, 50))
    made = bytearray(content)
    end = len(made) if kind == 2 else min(len(made), 3000)  # mostly the header
    for _ in range(drawn.randrange(1, 4)):
        made[drawn.randrange(0 if kind == 2 else 8, end)] = drawn.randrange(256)
    if kind == 2:
        return bytes(made)
    try:  # the checksum fits again
        return with_signatures(bytes(made), [_digits(bytes(made))])
    except (PatchError, UnicodeDecodeError):
        return bytes(made)


def _digits(content: bytes) -> str:
    return "".join(signatures_of(content)) or "0" * 128
