# SPDX-License-Identifier: Apache-2.0
"""A patch: one tensor file with what a task puts beside a frozen backbone, and the task's own items or classes.

It names the model that it belongs to by that model's id, so another one refuses it. Kernels and item rows are int8 with
a scale each (for every output, for every row), vectors and class rows float32. The first entry of its metadata is a
field for signatures, of a fixed length: who signs or verifies takes the SHA-256 of the file with the digits of checksum
and signatures as zeros (`statement`). This module opens no file and verifies no signature.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from pocketrec.device.base import documents
from pocketrec.device.base.array import Array
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.contract.names import PATCH_FORMAT
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.tensorfile import MARK, TensorFile, TensorFileError, dump, parse

#: What a task tells: which item comes next in it, or which class a user has.
ITEMS_KIND: Final = "items"
PROFILE_KIND: Final = "profile"
#: The task's item or class rows, (M + 1, E), row 0 unused; of classes also their biases, (M + 1,).
HEAD_ROWS: Final = "head_rows"
HEAD_BIASES: Final = "head_biases"
#: Signatures that a patch can carry, by as many keys.
SIGNATURES: Final = 8

_SCALES: Final = "/scales"
_TEXT, _ENDS = "ids/text", "ids/ends"
_DOMAIN: Final = b"pocketrec patch\n"  # what is signed here is never taken for something else
_DIGITS: Final = 128
_FIELD: Final = b'","signature":"'
_FIELD_AT: Final = 8 + len(MARK) + 64
_SIGNATURES_AT: Final = _FIELD_AT + len(_FIELD)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_HEX: Final = re.compile(rf"([0-9a-f]{{{_DIGITS}}}){{1,{SIGNATURES}}}")
_SERIAL: Final = re.compile(r"0|[1-9][0-9]{0,14}")


class PatchError(ValueError):
    """The bytes are no patch that this version reads. The message says in what way, and not what to do."""


@dataclass(frozen=True, eq=False)
class Patch:
    """What a patch file holds."""

    task: str
    """Name of the task."""
    kind: str
    """`ITEMS_KIND` or `PROFILE_KIND`."""
    way: str
    """The way to personalise whose tensors it has, such as ``patch``."""
    model: str
    """Model id, 64 hexadecimal digits."""
    ids: tuple[str, ...]
    """M items or classes, by row of the head from 1."""
    tensors: dict[str, Array]
    """float32, the model's trainable tensors by name, and nothing else."""
    rows: Array
    """int8 or float32 (M + 1, E): the head."""
    scales: Array | None
    """float32 (M + 1, 1) of int8 rows: row = rows * scales; None where the rows are float32."""
    biases: Array
    """float32 (M + 1,): of classes; zeros of items."""
    recipe: Recipe
    """How a device makes the patch personal, and the bonus for repeats."""
    settings: Mapping[str, Any]
    """How it was tuned, for people."""
    serial: int = 0
    """Its number among the published ones of this task and model; 0 = not published."""
    sha256: str = ""
    """Of the content that was signed: files that differ in their signatures alone have the same; "" = not yet known."""

    def head(self, chosen: Array | slice = slice(None)) -> Array:
        """Rows of the head, float32 [n, E]; all of them, or those at int places [n]."""
        rows = self.rows[chosen].astype(np.float32)
        return rows if self.scales is None else rows * self.scales[chosen]


def pack(patch: Patch, signatures: int = 1) -> bytes:
    """The bytes of a patch file, unsigned, with room for so many signatures. Equal patches give equal bytes."""
    tensors: dict[str, Array] = {}
    for name, value in patch.tensors.items():
        if value.ndim < 2 or name.endswith("bias"):
            tensors[name] = value.astype(np.float32)
        else:
            tensors[name], tensors[name + _SCALES] = _as_int8(value, 0)
    tensors[HEAD_ROWS] = patch.rows
    if patch.scales is not None:
        tensors[HEAD_ROWS + _SCALES] = patch.scales
    if patch.kind == PROFILE_KIND:
        tensors[HEAD_BIASES] = patch.biases
    encoded = [name.encode() for name in patch.ids]
    tensors[_TEXT] = np.frombuffer(b"".join(encoded), np.uint8)
    tensors[_ENDS] = np.cumsum([0, *map(len, encoded)]).astype(np.uint32)
    return dump(tensors, {
        "signature": "0" * (_DIGITS * signatures), "format": PATCH_FORMAT, "task": patch.task, "kind": patch.kind,
        "way": patch.way, "model": patch.model, "serial": str(patch.serial),
        "recipe": documents.line(patch.recipe.to_dict()), "settings": documents.line(dict(patch.settings)),
    })  # fmt: skip


def head_of(rows: Array, kind: str) -> tuple[Array, Array | None]:
    """Rows float32 (M + 1, E) as a patch holds them: of items int8 and scales, of classes as they are."""
    return _as_int8(rows, 1) if kind == ITEMS_KIND else (rows.astype(np.float32), None)


def renumbered(content: bytes, serial: int, signatures: int) -> bytes:
    """The same patch with another number, unsigned, with room for so many signatures.

    Raises:
        PatchError: it is none.
    """
    found = _parsed(content)
    room = "0" * (_DIGITS * max(1, signatures))
    return dump(found.tensors, {**found.metadata, "signature": room, "serial": str(serial)})


def unpack(content: bytes) -> Patch:
    """The inverse of `pack`; every field and shape is checked.

    Raises:
        PatchError: the bytes are cut short, altered, no patch, or one of another version.
        BundleError: its recipe is of another version.
    """
    found = _parsed(content)
    try:
        return _patch(found.tensors, found.metadata, sha256_of(statement(content)))
    except KeyError as error:
        raise PatchError(f"it lacks {error}") from None
    except (TypeError, RecursionError) as error:
        raise PatchError(f"it cannot be read ({error})") from None


def statement(content: bytes) -> bytes:
    """What is signed: the file with the digits of its checksum and signatures as zeros, by its SHA-256.

    Raises:
        PatchError: there is no field for signatures.
    """
    end = _end(content)
    digest = hashlib.sha256(content[: 8 + len(MARK)])
    digest.update(b"0" * 64)
    digest.update(_FIELD + b"0" * (end - _SIGNATURES_AT))
    digest.update(memoryview(content)[end:])
    return _DOMAIN + digest.hexdigest().encode()


def signatures_of(content: bytes) -> tuple[str, ...]:
    """The signatures of a patch file, 128 hexadecimal digits each; none where it is not signed.

    Raises:
        PatchError: there is no field for signatures.
    """
    digits = content[_SIGNATURES_AT : _end(content)].decode("ascii", "replace")
    every = [digits[place : place + _DIGITS] for place in range(0, len(digits), _DIGITS)]
    return tuple(one for one in every if one != "0" * _DIGITS)


def with_signatures(content: bytes, signatures: Sequence[str]) -> bytes:
    """The file with these signatures in the room that it has for them, and its checksum.

    Raises:
        PatchError: there is room for another number of them.
    """
    end = _end(content)
    digits = "".join(signatures).encode()
    if len(digits) != end - _SIGNATURES_AT:
        raise PatchError("it has room for another number of signatures")
    open_ = content[: 8 + len(MARK)] + b"0" * 64 + _FIELD + digits + content[end:]
    at = 8 + len(MARK)
    return open_[:at] + sha256_of(open_).encode() + open_[at + 64 :]


def is_task_name(name: str) -> bool:
    """Whether a task may have this name, which is also a file's: a word of letters, digits and _."""
    return name.isidentifier() and name.isascii() and len(name) <= 100


def _end(content: bytes) -> int:
    """Where the field for signatures ends."""
    end = content.find(b'"', _SIGNATURES_AT, _SIGNATURES_AT + _DIGITS * SIGNATURES + 1)
    if content[_FIELD_AT:_SIGNATURES_AT] != _FIELD or end < 0 or not _HEX.fullmatch(
        content[_SIGNATURES_AT:end].decode("ascii", "replace")
    ):  # fmt: skip
        raise PatchError("it is no patch: it has no field for signatures")
    return end


def _parsed(content: bytes) -> TensorFile:
    try:
        found = parse(content)
    except TensorFileError as error:
        raise PatchError(str(error)) from None
    version = found.metadata.get("format")
    if version != PATCH_FORMAT:
        raise PatchError(f"its format is {str(version)[:40]!r} and this version of pocketrec reads {PATCH_FORMAT!r}")
    _end(content)
    return found


def _patch(tensors: dict[str, Array], about: Mapping[str, str], sha256: str) -> Patch:
    task, kind, model, serial = (about[name] for name in ("task", "kind", "model", "serial"))
    if not is_task_name(task) or kind not in (ITEMS_KIND, PROFILE_KIND):
        raise PatchError("its task or kind is none")
    if not _SHA256.fullmatch(model) or not _SERIAL.fullmatch(serial):
        raise PatchError("its model id or number is malformed")
    ids = _ids(tensors.pop(_TEXT), tensors.pop(_ENDS))
    rows, scales = tensors.pop(HEAD_ROWS), tensors.pop(HEAD_ROWS + _SCALES, None)
    biases = tensors.pop(HEAD_BIASES, None) if kind == PROFILE_KIND else np.zeros(len(ids) + 1, np.float32)
    if biases is None or rows.ndim != 2 or len(rows) != len(ids) + 1 or biases.shape != (len(ids) + 1,):
        raise PatchError("its head does not fit its ids")
    _check(HEAD_ROWS, rows, scales, (len(rows), 1))
    _check(HEAD_BIASES, biases, None, ())
    found: dict[str, Array] = {}
    for name in [name for name in tensors if not name.endswith(_SCALES)]:
        value, scale = tensors[name], tensors.get(name + _SCALES)
        _check(name, value, scale, (1, *value.shape[1:]))
        found[name] = value.astype(np.float32) if scale is None else value.astype(np.float32) * scale
    if {name.removesuffix(_SCALES) for name in tensors} != found.keys():
        raise PatchError("it has scales of a tensor that it lacks")
    try:
        recipe, settings = (documents.parse_table(about[name].encode()) for name in ("recipe", "settings"))
    except (documents.DocumentError, UnicodeError):
        raise PatchError("its recipe or settings are no JSON") from None
    return Patch(task, kind, about["way"], model, ids, found, rows, scales, biases, Recipe.from_dict(recipe), settings,
                 int(serial), sha256)  # fmt: skip


def _ids(text: Array, ends: Array) -> tuple[str, ...]:
    places = ends.tolist()
    if text.dtype != np.uint8 or text.ndim != 1 or ends.dtype != np.uint32 or ends.ndim != 1 or len(places) < 3:
        raise PatchError("its ids are malformed, or fewer than two")
    if places[0] != 0 or places[-1] != len(text) or any(begin >= end for begin, end in pairwise(places)):
        raise PatchError("its ids are malformed")
    content = text.tobytes()
    try:
        ids = tuple(content[begin:end].decode() for begin, end in pairwise(places))
    except UnicodeDecodeError:
        raise PatchError("an id of its is not UTF-8") from None
    if len(set(ids)) != len(ids):
        raise PatchError("two of its ids are the same")
    return ids


def _check(name: str, value: Array, scales: Array | None, shape: tuple[int, ...]) -> None:
    """Refuse a tensor of another type, whose scales do not fit, or whose numbers are not finite."""
    if scales is None:
        good = value.dtype == np.float32 and bool(np.isfinite(value).all())
    else:
        good = value.dtype == np.int8 and value.ndim >= 2 and scales.dtype == np.float32 and scales.shape == shape
        good = good and bool(np.isfinite(scales).all() and (scales > 0).all())
        good = good and math.isfinite(float(scales.max(initial=0.0)) * 128)
    if not good:
        raise PatchError(f"its tensor {name[:100]} is malformed, or not all of it is finite")


def _as_int8(values: Array, axis: int) -> tuple[Array, Array]:
    """Numbers of -127..127 and a float32 scale for each output (axis 0) or row (axis 1)."""
    peak = np.abs(values).max(axis=axis, keepdims=True).astype(np.float32)
    scales = np.where(peak > 0, peak / np.float32(127), np.float32(1)).astype(np.float32)
    return np.round(values / scales).astype(np.int8), scales
