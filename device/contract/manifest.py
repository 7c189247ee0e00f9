"""manifest.json: what a bundle holds, with the hash of every file. The exporter writes it, every device reads it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from pocketrec.device.base.errors import BundleError
from pocketrec.device.base.fields import check_plain, whole
from pocketrec.device.contract.layers import LAYERS_KEY, LayerSpec, specs_of
from pocketrec.device.contract.names import (
    FORMAT_VERSION,
    ITEMS_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    RECIPE_FILE,
    SKELETON_FILE,
    WEIGHTS_FILE,
)

_REQUIRED: Final = (ITEMS_FILE, RECIPE_FILE)


@dataclass(frozen=True)
class FileEntry:
    """One file of a bundle."""

    bytes: int
    """Its size."""
    sha256: str
    """SHA-256 of its content, 64 lower-case hexadecimal digits."""


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    model_id: str
    """SHA-256 of model.tflite; a personal state is bound to it."""
    created: str
    """When the bundle was made, ISO 8601, UTC."""
    files: dict[str, FileEntry]
    """Every other file, by its path inside the bundle (with /)."""
    vocabulary: dict[str, Any]
    """``items``: number N of items; ``sha256`` of items.txt."""
    model: dict[str, Any]
    """backbone, way, optimizer, window, batch, embedding, candidates, item_table, loss, negatives, flop (work of train,
    embed and infer)."""
    tensors: dict[str, Any]
    """``trainable``, ``slots`` and ``frozen``: lists of name, shape and dtype; and ``layers``: what the model is made
    of (`pocketrec.device.contract.layers`), which bundles from before 28 November 2026 do not have."""
    cut_off: float | int | None = None
    """Time of the log's cut-off: events at or after it are for the device to learn from. None = all are."""
    candidates: dict[str, int] = field(default_factory=lambda: {"shards": 0, "per_user": 0})
    """``shards``: number of files under candidates/; ``per_user``: rows K of one user."""
    mask_seen: bool = False
    """Whether items that the user has had are left out of recommendations."""
    packed: dict[str, int] = field(default_factory=dict)
    """Where the bundle has skeleton and weights in place of model.tflite: ``bytes``, its size. Else empty."""
    lean: dict[str, Any] = field(default_factory=dict)
    """Where the item table is lean (`pocketrec.device.contract.lean`): ``head``, ``buckets`` and ``reserved`` rows, and
    ``category``, the log's column that tells an event's bucket. Else empty."""
    versions: dict[str, Any] = field(default_factory=dict)
    """Versions of the tools that made the bundle."""
    gate: dict[str, Any] = field(default_factory=dict)
    """What the export gate measured."""
    format_version: int = FORMAT_VERSION
    """Format of the bundle."""

    @property
    def specs_sha256(self) -> str:
        """SHA-256 of the trainable tensors' and slots' names, shapes and dtypes; a personal state is bound to it."""
        specs = {kind: self.tensors.get(kind, []) for kind in ("trainable", "slots")}
        return hashlib.sha256(json.dumps(specs, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """What the model is made of; empty where the bundle does not say."""
        return specs_of(self.model, self.tensors)

    def to_bytes(self) -> bytes:
        """The file's content; equal manifests give equal bytes."""
        table = asdict(self)
        for name in ("packed", "lean"):  # as before there were such bundles, for readers of that time
            if not table[name]:
                del table[name]
        return (json.dumps(table, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, place: str) -> Manifest:
        """Read and check the content of manifest.json.

        Args:
            content: the bytes.
            place: the bundle, for messages.

        Raises:
            BundleError: not JSON, of another format, a key is missing, or a file's name points outside the bundle.
        """
        again = "fetch or export the bundle again"
        try:
            table: dict[str, Any] = json.loads(content)
            version = table.get("format_version")
        except (ValueError, AttributeError, RecursionError):
            raise BundleError(f"{place}: {MANIFEST_FILE} is cut short or altered: {again}") from None
        if version != FORMAT_VERSION:
            raise BundleError(f"{place} is of bundle format {version} and this version of pocketrec reads "
                              f"{FORMAT_VERSION}: update pocketrec, or use another bundle")  # fmt: skip
        try:
            files = {name: FileEntry(whole(e["bytes"]), str(e["sha256"])) for name, e in table.pop("files").items()}
            manifest = cls(**table, files=files)
            _check(manifest)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"{place}: {MANIFEST_FILE} is wrong ({error}): {again}") from None
        return manifest


def _check(manifest: Manifest) -> None:
    check_plain(manifest)
    tables = ("vocabulary", "model", "tensors", "candidates", "packed", "lean", "versions", "gate")
    if wrong := [name for name in tables if not isinstance(getattr(manifest, name), dict)]:
        raise ValueError(f"{wrong[0]} is no table")
    if LAYERS_KEY in manifest.tensors:
        specs_of(manifest.model, manifest.tensors)
    for name in {"embedding", "candidates"} & manifest.model.keys():
        whole(manifest.model[name], 1)
    for name, entry in manifest.files.items():
        check_name(name)
        if not 0 <= entry.bytes < 1 << 53 or not re.fullmatch("[0-9a-f]{64}", entry.sha256):
            raise ValueError(f"size or hash of {name} is none")
    for name in (*_REQUIRED, *((SKELETON_FILE, WEIGHTS_FILE) if manifest.packed else (MODEL_FILE,))):
        if name not in manifest.files:
            raise ValueError(f"it does not list {name}")
    if manifest.lean:
        counts = [whole(manifest.lean[name]) for name in ("head", "buckets", "reserved")]
        if counts[0] + counts[1] != manifest.vocabulary["items"] or not manifest.packed:
            raise ValueError("the counts of the lean table do not fit")
    if manifest.packed:
        whole(manifest.packed["bytes"], 1, 1 << 31)
    if not manifest.packed and manifest.files[MODEL_FILE].sha256 != manifest.model_id:
        raise ValueError(f"the model id is not the hash of {MODEL_FILE}")
    told = (manifest.vocabulary["items"], manifest.candidates["shards"], manifest.candidates["per_user"])
    if any(type(count) is not int or count < least for count, least in zip(told, (1, 0, 0), strict=True)):
        raise ValueError("a count is out of range")
    cut_off: object = manifest.cut_off
    if not (cut_off is None or (isinstance(cut_off, int | float) and abs(cut_off) < math.inf)):
        raise ValueError("cut_off is not a number")


def check_name(name: str) -> None:
    """Refuse a file name that is absolute, points outside the bundle, or is hidden, as our own notes in it are.

    Raises:
        ValueError: it is, or it does.
    """
    parts = PurePosixPath(name).parts
    odd = any(letter in "\\:" or ord(letter) < 32 for letter in name)
    if not parts or name != "/".join(parts) or odd or any(part.startswith(".") for part in parts) or len(name) > 200:
        raise ValueError(f"{name!r} is not a name inside a bundle")


def entry_of(content: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Size and hash of each content, by name."""
    return {name: FileEntry(len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items()}
