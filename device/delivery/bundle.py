# SPDX-License-Identifier: Apache-2.0
"""A bundle: the folder (or .zip) that the cloud publishes and a device opens. Both sides share this definition.

Opening checks the format, the size and SHA-256 of every file; a later opening of the same untouched files skips the
hashing. A candidate shard is read only when a user of it is asked for. This module knows nothing about training.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketrec.device.base import documents, held
from pocketrec.device.base.digest import sha256_of
from pocketrec.device.base.errors import BundleError, StorageError
from pocketrec.device.base.files import sha256_file
from pocketrec.device.base.held import Mark, overwritten
from pocketrec.device.contract import tensorfile
from pocketrec.device.contract.lean import LeanVocabulary, ShardItems
from pocketrec.device.contract.manifest import Manifest
from pocketrec.device.contract.names import CANDIDATES_FOLDER, ITEMS_FILE, MANIFEST_FILE, MODEL_FILE, RECIPE_FILE
from pocketrec.device.contract.neighbours import NEIGHBOURS_FILE, Neighbours
from pocketrec.device.contract.recipe import Recipe
from pocketrec.device.contract.shards import KNOWN, ROWS, USERS, check_shard, shard_name, shard_of
from pocketrec.device.contract.titles import TITLES_FILE, Titles
from pocketrec.device.contract.vocabulary import Vocabulary
from pocketrec.device.delivery import versions
from pocketrec.device.delivery.archive import unpacked
from pocketrec.device.delivery.install import installed_model, shard_model

if TYPE_CHECKING:
    from pocketrec.device.contract.lists import Lists
    from pocketrec.device.contract.retrieval import Retrieval
    from pocketrec.device.engine.model import Model
    from pocketrec.device.engine.retrieve import ItemScan

_MARKER = ".verified"  # sizes and times of files whose hashes were found right
_AGAIN = "fetch or export the bundle again"


class Bundle:
    """An opened and verified bundle; make one with `open_bundle`."""

    def __init__(self, folder: Path, manifest: Manifest, recipe: Recipe, marks: dict[str, Mark] | None = None) -> None:
        self.folder = folder
        self.manifest = manifest
        self.recipe = recipe
        self._marks = marks or {}  # of the files as they were verified
        lines = int(manifest.vocabulary["items"])
        self.vocabulary = Vocabulary(folder / ITEMS_FILE, lines)
        if manifest.lean:
            self.vocabulary = LeanVocabulary(folder / ITEMS_FILE, lines, int(manifest.lean["head"]))
        self._model = folder / MODEL_FILE
        self._neighbours: Neighbours | None = None
        self._titles: Titles | None = None
        self._check_same(ITEMS_FILE)

    folder: Path
    """Where the files lie."""
    manifest: Manifest
    """What the bundle holds."""
    recipe: Recipe
    """How a device makes the model personal."""
    vocabulary: Vocabulary
    """Item ids and rows."""

    @property
    def model_path(self) -> Path:
        """The .tflite file."""
        return self._model

    def for_user(self, user: str | None) -> Bundle:
        """The bundle as this user's device has it: itself, or of a lean one the table with the shard's items filled in.

        Raises:
            BundleError: the shard is missing, cut short or altered.
            StorageError: the model file cannot be written.
        """
        shards = self.manifest.candidates["shards"]
        if not self.manifest.lean or not shards or user is None:
            return self
        name = shard_name(shard_of(user, shards))
        items = ShardItems.of(self._shard(name), int(self.manifest.model["embedding"]))
        own = Bundle(self.folder, self.manifest, self.recipe, self._marks)
        head, lines = int(self.manifest.lean["head"]), int(self.manifest.vocabulary["items"])
        own.vocabulary = LeanVocabulary(self.folder / ITEMS_FILE, lines, head, items.ids)
        own._model = shard_model(self.folder, self.manifest, name, lines + 1, items)
        return own

    def load_model(self, runtime: str = "auto", threads: int = 1) -> Model:
        """Open the model file; its variables are the global weights.

        Raises:
            RuntimeMissingError: no usable runtime.
            BundleError: the runtime cannot read the file.
        """
        from pocketrec.device.engine.model import Model
        from pocketrec.device.engine.runtime import choose_runtime

        if choose_runtime(runtime) == "tflite_runtime":  # LiteRT looks itself
            from pocketrec.device.engine.flatbuffer import walk_once

            walk_once(self.model_path, self.manifest.model_id if self.model_path.name == MODEL_FILE else "")
        model = Model(self.model_path, runtime, threads, len(self.vocabulary), self.manifest.ranker)
        if self.model_path.name == MODEL_FILE:
            self._check_same(MODEL_FILE)
        return model

    @functools.cached_property
    def retrieval(self) -> Retrieval | None:
        """How the model file searches the whole catalogue; None where it does not."""
        if not self.manifest.retrieval:
            return None
        from pocketrec.device.contract.retrieval import retrieval_of

        return retrieval_of(self.manifest.retrieval, len(self.vocabulary), self.manifest.model_bytes)

    def item_scan(self) -> ItemScan:
        """The item table of the model file in numpy, where `retrieval` tells its place; one for each thread.

        Raises:
            BundleError: the file is not the one that was verified.
        """
        from pocketrec.device.engine.retrieve import ItemScan

        assert self.retrieval is not None
        scan = ItemScan(self.model_path, self.retrieval.table)
        self._check_same(MODEL_FILE)
        return scan

    @functools.cached_property
    def item_lists(self) -> Lists | None:
        """Lists over the item table; None where the bundle has none, or they cannot be used (`lists_problem`)."""
        if self.retrieval is None or self.retrieval.kind != "lists":
            return None
        from pocketrec.device.contract.lists import LISTS_FILE, parse_lists

        try:
            content, _ = held.hold(self.folder / LISTS_FILE)
            lists = parse_lists(content, len(self.vocabulary), self.retrieval.table.columns)
            self._check_same(LISTS_FILE)
        except (OSError, ValueError, BundleError) as error:
            self.lists_problem = f"the whole catalogue is searched instead of its index: {error}"
            return None
        return lists

    lists_problem: str = ""
    """Why `item_lists` were left aside; "" = they were not."""

    def candidates_of(self, user: str) -> np.ndarray[Any, Any] | None:
        """Candidate rows of a user, int32 [<= K], best first; None where the bundle has none for this user.

        Raises:
            BundleError: the shard is missing, cut short or altered.
        """
        rows = self._of(user, ROWS)
        if rows is None:
            return None
        if rows.ndim != 1 or rows.dtype.kind not in "ui" or rows.max(initial=0) > len(self.vocabulary):
            raise BundleError(f"{self.folder}: candidates name items that the bundle lacks: {_AGAIN}")
        return np.asarray(rows[rows > 0].astype(np.int32))

    def known_of(self, user: str) -> int:
        """Events of a user that the cloud knows, and that the global model was trained on.

        Shipped where the log has no cut-off time, for then only their number tells the user's first events, which are
        context, from those to learn from. 0 for a user of whom the cloud knows none, and where nothing was shipped.

        Raises:
            BundleError: the shard is missing, cut short or altered.
        """
        known = self._of(user, KNOWN)
        if known is not None and (known.ndim or known.dtype.kind not in "ui"):
            raise BundleError(f"{self.folder}: the numbers of known events cannot be read: {_AGAIN}")
        return 0 if known is None else int(known)

    def neighbours(self) -> Neighbours | None:
        """The items that go with others, read when first asked for; None where the bundle brings none.

        Raises:
            BundleError: the file is missing, cut short or altered.
        """
        if NEIGHBOURS_FILE not in self.manifest.files or self.manifest.lean:
            return None
        if self._neighbours is None:
            try:
                content = (self.folder / NEIGHBOURS_FILE).read_bytes()
            except OSError as error:
                reason = f"{NEIGHBOURS_FILE} cannot be read ({error.strerror})"
                raise BundleError(f"{self.folder}: {reason}: {_AGAIN}") from None
            self._neighbours = Neighbours.from_bytes(content, len(self.vocabulary))
            self._check_same(NEIGHBOURS_FILE)
        return self._neighbours

    def titles(self, rows: Iterable[int]) -> list[str]:
        """The title of each item row; "" of an item that has none, or of all where the bundle brings no titles.

        In a lean bundle the items of the head have one, and not those that came with a shard.

        Raises:
            BundleError: the file is missing, cut short or altered.
        """
        if TITLES_FILE not in self.manifest.files:
            return ["" for _ in rows]
        if self._titles is None:
            self._titles = Titles(self.folder / TITLES_FILE, int(self.manifest.vocabulary["items"]))
            self._check_same(TITLES_FILE)
        return self._titles.of(rows)

    def check_shards(self) -> None:
        """Open every candidate shard that is here, so that a bundle with a bad one is refused before it is in use.

        Raises:
            BundleError: a shard is missing, altered, or does not fit the bundle.
        """
        here = versions.held_shards(self.folder)
        for number in range(self.manifest.candidates["shards"]) if here is None else sorted(here):
            name = shard_name(number)
            shard = self._shard(name)
            try:
                lines = len(self.vocabulary)
                if self.manifest.lean:
                    items = ShardItems.of(shard, int(self.manifest.model["embedding"]))
                    lines += len(items.ids)
                check_shard(shard, lines)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise BundleError(f"{self.folder}: {name} cannot be used ({error}): {_AGAIN}") from None

    def _of(self, user: str, tensor: str) -> np.ndarray[Any, Any] | None:
        """The user's row of a tensor of the shard; None where there is none."""
        shards = self.manifest.candidates["shards"]
        if not shards:
            return None
        name = shard_name(shard_of(user, shards))
        shard = self._shard(name)
        try:
            users = documents.parse(shard.metadata[USERS])
            if not isinstance(users, list):
                raise ValueError("its users are not a list")
            if user not in users or tensor not in shard.tensors:
                return None
            return np.asarray(shard.tensors[tensor][users.index(user)])
        except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise BundleError(f"{self.folder}: {name} cannot be read ({error}): {_AGAIN}") from None

    def _shard(self, name: str) -> tensorfile.TensorFile:
        here = versions.held_shards(self.folder)
        if here is not None and name not in map(shard_name, here):
            raise BundleError(f"{self.folder} was pulled without the candidates of this user: pull again with --user")
        try:
            shard = tensorfile.load(self.folder / name)
            self._check_same(name)
            return shard
        except OSError as error:
            raise BundleError(f"{self.folder}: {name} cannot be read ({error.strerror}): {_AGAIN}") from None
        except tensorfile.TensorFileError as error:
            raise BundleError(f"{self.folder}: {name} cannot be read ({error}): {_AGAIN}") from None

    def _check_same(self, name: str) -> None:
        """Make sure that a file which was just read is the one that was verified: rows of one version mean nothing with
        the item ids of another.

        Raises:
            BundleError: it was replaced or overwritten since.
        """
        mark = self._marks.get(name)
        try:
            if mark is None or Mark.of(self.folder / name) == mark:
                return
            entry = self.manifest.files.get(name)
            expected = self.manifest.model_id if entry is None else entry.sha256
            if sha256_file(self.folder / name) == expected:  # written again with the same content
                self._marks[name] = Mark.of(self.folder / name)
                return
        except OSError:
            pass
        raise overwritten(self.folder / name)

    def popular(self, count: int | None = None) -> np.ndarray[Any, Any]:
        """The `count` most popular rows (None: as many as a user has candidates), int32, most popular first."""
        count = count or self.manifest.candidates["per_user"] or self.manifest.model["candidates"]
        items = int(self.manifest.lean.get("head", len(self.vocabulary)))
        return np.arange(1, min(count, items) + 1, dtype=np.int32)


def open_bundle(path: str | Path, cache: str | Path | None = None) -> Bundle:
    """Open a bundle and verify it; of a packed one, the first opening makes the model file.

    Args:
        path: a folder, a .zip of one, or a folder that bundles are pulled into.
        cache: folder into which a .zip is unpacked (once for each content); None = the folder in which it lies.

    Raises:
        BundleError: missing, of another format, cut short, altered, or with names that point outside.
        StorageError: a .zip could not be unpacked, or a packed model not be written.
    """
    if Path(path).is_file():
        folder = unpacked(Path(path), cache)
        try:
            return _open(folder, path)
        except BundleError:  # the unpacked files were damaged since: take them from the .zip again
            import shutil

            shutil.rmtree(folder, ignore_errors=True)
            return _open(unpacked(Path(path), cache), path)
    return _open(versions.resolve(Path(path)), path)


def _open(folder: Path, path: str | Path) -> Bundle:
    try:
        content = (folder / MANIFEST_FILE).read_bytes()
    except OSError:
        hint = "name the folder or the .zip of a bundle"
        raise BundleError(f"no bundle at {path} ({MANIFEST_FILE} cannot be read): {hint}") from None
    manifest = Manifest.from_bytes(content, str(path))
    marks = _verify(folder, manifest, sha256_of(content))
    with contextlib.suppress(OSError):
        model = installed_model(folder, manifest)
        if MODEL_FILE not in marks:
            marks[MODEL_FILE] = Mark.of(model)
    try:
        recipe = documents.read(folder / RECIPE_FILE)
    except (OSError, ValueError):
        raise BundleError(f"{path}: {RECIPE_FILE} is not JSON: {_AGAIN}") from None
    bundle = Bundle(folder, manifest, Recipe.from_dict(recipe), marks)
    bundle._check_same(RECIPE_FILE)
    return bundle


def _verify(folder: Path, manifest: Manifest, manifest_sha256: str) -> dict[str, Mark]:
    """Check size and hash of every file, or that nothing was touched since they were found right; gives their marks."""
    seen: dict[str, Any] = {MANIFEST_FILE: manifest_sha256}
    here = versions.held_shards(folder)
    absent = set() if here is None else {name for name in manifest.files if name.startswith(f"{CANDIDATES_FOLDER}/")}
    absent -= {shard_name(shard) for shard in here or ()}
    files = {name: entry for name, entry in manifest.files.items() if name not in absent}
    for name, entry in files.items():
        try:
            status = os.stat(folder / name)
        except OSError:
            raise BundleError(f"{folder}: {name} is missing: {_AGAIN}") from None
        if status.st_size != entry.bytes:
            sizes = f"{status.st_size} bytes and not {entry.bytes}"
            raise BundleError(f"{folder}: {name} is cut short or altered, it has {sizes}: {_AGAIN}")
        seen[name] = [status.st_size, status.st_mtime_ns, status.st_ino]
    marks = {name: Mark(*seen[name]) for name in files}
    if documents.holds(folder / _MARKER, seen):
        return marks
    for name, entry in files.items():
        try:
            digest = sha256_file(folder / name)
        except OSError as error:
            raise BundleError(f"{folder}: {name} cannot be read ({error.strerror}): {_AGAIN}") from None
        if digest != entry.sha256:
            raise BundleError(f"{folder}: {name} is altered, its SHA-256 does not match: {_AGAIN}")
    with contextlib.suppress(StorageError):  # read-only media: then every opening hashes
        documents.note(folder / _MARKER, seen)
    return marks
