# SPDX-License-Identifier: Apache-2.0
"""manifest.json: what a bundle holds, with the hash of every file. The exporter writes it, every device reads it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final

from pocketrec.device.base import documents
from pocketrec.device.base.digest import digest, sha256_of
from pocketrec.device.base.errors import BundleError
from pocketrec.device.base.fields import AtLeast, AtMost, Finite, Matches, build_known, take
from pocketrec.device.contract.layers import LAYERS_KEY, LayerSpec, specs_of
from pocketrec.device.contract.names import (
    FORMAT_VERSION,
    INNER_PRODUCT,
    ITEMS_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    RECIPE_FILE,
    SKELETON_FILE,
    WEIGHTS_FILE,
)

_REQUIRED: Final = (ITEMS_FILE, RECIPE_FILE)
#: Keys that are left out where they say nothing, as before there were such bundles, for readers of that time.
_LATER: Final[dict[str, object]] = {
    "packed": {}, "lean": {}, "ranker": INNER_PRODUCT, "parent": "", "retrieval": {}, "measured": {},
}  # fmt: skip

_Count = Annotated[int, AtLeast(0)]
_Positive = Annotated[int, AtLeast(1)]
_LATEST: Final = 1 << 63  # a cut-off is smaller, in any unit of time that fits 64 bits


@dataclass(frozen=True)
class FileEntry:
    """One file of a bundle."""

    bytes: Annotated[int, AtLeast(0)]
    """Its size."""
    sha256: Annotated[str, Matches("[0-9a-f]{64}", "64 hexadecimal digits")]
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
    cut_off: Annotated[float | int | None, Finite()] = None
    """Time of the log's cut-off: events at or after it are for the device to learn from. None = all are."""
    candidates: dict[str, int] = field(default_factory=lambda: {"shards": 0, "per_user": 0})
    """``shards``: number of files under candidates/; ``per_user``: rows K of one user."""
    mask_seen: bool = False
    """Whether items that the user has had are left out of recommendations."""
    packed: dict[str, int] = field(default_factory=dict)
    """Where the bundle has skeleton and weights in place of model.tflite: ``bytes``, its size. Else empty."""
    lean: dict[str, Any] = field(default_factory=dict)
    """Where the item table is lean (`pocketrec.device.contract.lean`): ``head``, ``buckets`` and ``reserved`` rows, and
    ``category``, the log's column that gives an event's bucket. Else empty."""
    versions: dict[str, Any] = field(default_factory=dict)
    """Versions of the tools that made the bundle."""
    gate: dict[str, Any] = field(default_factory=dict)
    """What the export gate measured."""
    measured: dict[str, Any] = field(default_factory=dict)
    """Where the model was trained again, on the whole log, after its evaluation: ``model_id`` and ``cut_off`` of the
    bundle whose figures the card has, ``events`` and ``events_evaluated``, which both were trained on. Else empty."""
    ranker: str = INNER_PRODUCT
    """How an embedding meets item rows, a name in `pocketrec.device.contract.rankers.RANKERS`."""
    parent: Annotated[str, Matches("([0-9a-f]{64})?", "64 hexadecimal digits")] = ""
    """Id of the model that this one was made of by federated training; "" = none."""
    retrieval: dict[str, Any] = field(default_factory=dict)
    """Where the file finds items of the whole catalogue: a `pocketrec.device.contract.retrieval.Retrieval`. Else
    empty."""
    format_version: int = FORMAT_VERSION
    """Format of the bundle."""

    @property
    def model_bytes(self) -> int:
        """Size of model.tflite."""
        return int(self.packed["bytes"]) if self.packed else self.files[MODEL_FILE].bytes

    @property
    def specs_sha256(self) -> str:
        """SHA-256 of the trainable tensors' and slots' names, shapes and dtypes; a personal state is bound to it."""
        specs = {kind: self.tensors.get(kind, []) for kind in ("trainable", "slots")}
        return digest(specs)

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """What the model is made of; empty where the bundle does not say."""
        return specs_of(self.model, self.tensors)

    def to_bytes(self) -> bytes:
        """The file's content; equal manifests give equal bytes."""
        table = asdict(self)
        for name, default in _LATER.items():
            if table[name] == default:
                del table[name]
        return documents.document(table, ordered=True)

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
            table = documents.parse_table(content)
        except documents.DocumentError:
            raise BundleError(f"{place}: {MANIFEST_FILE} is cut short or altered: {again}") from None
        if (version := table.get("format_version")) != FORMAT_VERSION:
            raise BundleError(f"{place} is of bundle format {version!r:.40} and this version of pocketrec reads "
                              f"{FORMAT_VERSION}: update pocketrec, or use another bundle")  # fmt: skip
        try:
            documents.line(table, ascii_only=False).encode()  # a lone surrogate can neither be written nor be shown
            manifest = build_known(cls, table)
            _check(manifest)
        except KeyError as error:
            raise BundleError(f"{place}: {MANIFEST_FILE} is wrong ({error} is missing): {again}") from None
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{place}: {MANIFEST_FILE} is wrong ({error}): {again}") from None
        _check_ranker(manifest.ranker, place)
        return manifest


def _check(manifest: Manifest) -> None:
    if LAYERS_KEY in manifest.tensors:
        specs_of(manifest.model, manifest.tensors)
    for name in ("embedding", "candidates"):
        if name in manifest.model:
            take(_Positive, manifest.model[name], f"model.{name}")
    if len({unicodedata.normalize("NFC", name).casefold() for name in manifest.files}) < len(manifest.files):
        raise ValueError("names of files differ in case alone")  # on some disks they are one file
    for name in manifest.files:
        check_name(name)
    for name in (*_REQUIRED, *((SKELETON_FILE, WEIGHTS_FILE) if manifest.packed else (MODEL_FILE,))):
        if name not in manifest.files:
            raise ValueError(f"it does not list {name}")
    if manifest.lean:
        counts = [take(_Count, manifest.lean[name], f"lean.{name}") for name in ("head", "buckets", "reserved")]
        if counts[0] + counts[1] != manifest.vocabulary["items"] or not manifest.packed:
            raise ValueError("the counts of the lean table do not fit")
    if manifest.packed:
        take(Annotated[int, AtLeast(1), AtMost(1 << 31)], manifest.packed["bytes"], "packed.bytes")
    if not manifest.packed and manifest.files[MODEL_FILE].sha256 != manifest.model_id:
        raise ValueError(f"the model id is not the hash of {MODEL_FILE}")
    take(_Positive, manifest.vocabulary["items"], "vocabulary.items")
    if manifest.retrieval:
        from pocketrec.device.contract.retrieval import retrieval_of  # only here: few bundles have it

        retrieval_of(manifest.retrieval, manifest.vocabulary["items"], manifest.model_bytes)
    for name in ("shards", "per_user"):
        take(_Count, manifest.candidates[name], f"candidates.{name}")
    if manifest.cut_off is not None and not -_LATEST < manifest.cut_off < _LATEST:
        raise ValueError("cut_off is out of range")


def _check_ranker(name: str, place: str) -> None:
    """Refuse the bundle at `place` where its ranker is not known here."""
    if name != INNER_PRODUCT:
        from pocketrec.device.contract.rankers import RANKERS  # only here: few bundles name another

        if name not in RANKERS:
            raise BundleError(f"{place}: its ranker {name!r:.100} is not known here (known: {', '.join(RANKERS)}): "
                              "install the package that adds it, or update pocketrec")  # fmt: skip


def check_name(name: str) -> None:
    """Refuse a file name that is absolute, points outside the bundle, or is hidden, as our own notes in it are.

    Raises:
        ValueError: it is, or it does.
    """
    odd = "\\" in name or ":" in name or min(name, default="") < " " or len(name) > 200
    if odd or any(not part or part.startswith(".") for part in name.split("/")):
        raise ValueError(f"{name!r} is not a name inside a bundle")


def entry_of(content: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Size and hash of each content, by name."""
    return {name: FileEntry(len(data), sha256_of(data)) for name, data in content.items()}
