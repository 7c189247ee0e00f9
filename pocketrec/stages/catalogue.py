# SPDX-License-Identifier: Apache-2.0
"""Another catalogue for a trained model: rows of new items from their content, rows of old ones left out (K11)."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketrec.cloud.base.runs import Run
from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.device.base.files import storage_error
from pocketrec.stages.bundles import bundle_content, run_facts
from pocketrec.stages.parts import use_threads
from pocketrec.stages.rank import with_shipped
from pocketrec.stages.recipes import recipe_of_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pocketrec.cloud.data.item_features import ItemFeatures
    from pocketrec.cloud.data.prepared import CloudData


@dataclass(frozen=True)
class Catalogue:
    """What items a changed model has."""

    ids: list[str]
    """External ids; `ids[0]` is row 1: the old items that stay, in their order, then the new ones."""
    table: NDArray[np.float32]
    """float32 [M + 1, E]."""
    row_of: NDArray[np.int64]
    """[N + 1]: row of each old row here; 0 for those left out."""
    added: int
    removed: int
    without_content: list[str]
    """New items of whose content nothing is known."""
    strangers: int
    """Items to remove that were not there."""
    titles: dict[str, str] = field(default_factory=dict)
    """Titles of the new items, by id."""


def change_catalogue(run: Run, add: Path | None, remove: Path | None, out: Path) -> Catalogue:
    """Write ``OUT/bundle`` with other items; nothing is trained, and every other tensor keeps its bytes. Neighbours of
    items, which a run may ship, are left out: they are of the items that the log has.

    Args:
        run: a run whose model has content.
        add: a table of new items, with the columns of ``[items]``; None = none.
        remove: a table with the column of the item id; None = none.
        out: the folder of the new bundle.

    Raises:
        ConfigError: the model has no content, or nothing is to be done.
        DataError: a file cannot be read, an item is there already, or no item would be left.
        StorageError: the folder cannot be written.
    """
    use_threads(run)
    from pocketrec.cloud.backbones import load_model
    from pocketrec.cloud.backbones.new_items import over_table
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.export.build import build_tflite
    from pocketrec.export.bundle.from_export import publish
    from pocketrec.export.gate.gate import check

    if not run.config.model.content:
        raise ConfigError(f"{run.folder}: its model knows nothing of content, so a new item has no embedding: train it "
                          "with [items] and model.content = true")  # fmt: skip
    data, model = load_cloud(run.folder), load_model(run.folder / "train" / "model.keras")
    found = changed(run, data, model, add, remove)
    small, config = over_table(model, run.config.model, found.table)
    small, ranker = with_shipped(run, small)
    if ranker.transitions is not None:
        ranker = dataclasses.replace(ranker, transitions=ranker.transitions.moved(found.row_of, len(found.table)))
    recipe = recipe_of_run(run)
    try:
        exported = build_tflite(
            small, config, run.config.export, way=recipe["way"], optimizer=recipe["optimizer"],
            candidates=run.config.candidates.k, ranker=ranker,
        )  # fmt: skip
        checked = check(exported, small, run.config.seed).to_dict()
    except OSError as error:  # both work in a temporary folder
        raise storage_error(tempfile.gettempdir(), error) from None
    exported.save(out / "export", checked)
    content = bundle_content(run, recipe)
    sets = content.candidates
    if sets is not None:
        sets = sets[0], moved_sets(sets[1], found.row_of)
    titles = dict(zip(data.vocabulary.ids, content.titles, strict=True)) | found.titles if content.titles else {}
    content = dataclasses.replace(
        content, items=found.ids, candidates=sets, neighbours=b"",  # which are by row
        titles=[titles.get(item, "") for item in found.ids] if titles else (),
    )
    publish(out / "export", out / "bundle", content, run_facts(run), archive=out / "bundle.zip")
    return found


def changed(run: Run, data: CloudData, model: Any, add: Path | None, remove: Path | None) -> Catalogue:
    """The catalogue after the change; see `change_catalogue`."""
    import numpy as np

    from pocketrec.cloud.backbones import item_embeddings
    from pocketrec.cloud.backbones.new_items import content_rows
    from pocketrec.cloud.data.item_features import describe
    from pocketrec.cloud.data.item_table import read_ids, read_items

    old, gone = data.vocabulary, set(read_ids(remove, run.config.items.item)) if remove else set()
    kept = np.array([0, *(row for row, item in enumerate(old.ids, start=1) if item not in gone)])
    table = item_embeddings(model)
    row_of = np.zeros(len(table), np.int64)
    row_of[kept] = np.arange(len(kept))
    ids = [old.ids[row - 1] for row in kept[1:].tolist()]
    unknown: list[str] = []
    rows = np.zeros((0, table.shape[1]), np.float32)
    added: list[str] = []
    titles: dict[str, str] = {}
    if add:
        read = read_items(add, run.config.items)
        added, there = read.ids, [item for item in read.ids if old.row(item)]
        titles = dict(zip(read.ids, read.titles, strict=True)) if read.titles else {}
        if there:
            raise DataError(f"{add}: item {there[0]} is in the catalogue already ({len(there)} such items): leave such "
                            "items out")  # fmt: skip
        assert data.features is not None  # the model has content
        features = describe(read, data.features.space, added, data.features.values.shape[1])
        rows = content_rows(model, _narrowed(features, data.features))
        known = features.known()
        unknown = [item for item, is_known in zip(added, known, strict=True) if not is_known]
        rows[~known] = _means(run, data, table, add, unknown)
    if not ids and not added:
        raise DataError(f"{remove}: no item would be left: name fewer items")
    return Catalogue([*ids, *added], np.concatenate([table[kept], rows]), row_of, len(added),
                     len(old) - len(ids), unknown, len(gone) - (len(old) - len(ids)), titles)  # fmt: skip


def moved_sets(rows: NDArray[Any], row_of: NDArray[np.int64]) -> NDArray[Any]:
    """Candidate sets [U, K] with other rows, those of removed items left out, padded with 0 on the right."""
    import numpy as np

    moved = row_of[rows]
    order = np.argsort(moved == 0, axis=1, kind="stable")
    return np.take_along_axis(moved, order, 1).astype(rows.dtype)


def _narrowed(features: ItemFeatures, like: ItemFeatures) -> ItemFeatures:
    """Features with no more values an item than the model has room for; those beyond are left out."""
    return dataclasses.replace(features, values=features.values[:, : like.values.shape[1]])


def _means(run: Run, data: CloudData, table: Any, add: Path, items: list[str]) -> Any:
    """Embeddings for items without content: the mean of their category (`data.category`), else of all items."""
    import numpy as np

    from pocketrec.cloud.config.items import ItemsConfig
    from pocketrec.cloud.data.item_table import read_items

    whole = table[1:].mean(axis=0)
    column = run.config.data.category
    if not (items and column and data.categories is not None):
        return np.broadcast_to(whole, (len(items), table.shape[1]))
    try:
        named = read_items(add, ItemsConfig(str(add), run.config.items.item, categories=[column], separator=""))
    except DataError:  # no such column
        return np.broadcast_to(whole, (len(items), table.shape[1]))
    category_of = dict(zip(named.ids, named.categories[column], strict=True))
    number = {category: place for place, category in enumerate(data.categories.ids, start=1)}
    found = np.empty((len(items), table.shape[1]), np.float32)
    for row, item in zip(found, items, strict=True):
        alike = data.categories.of_row == number.get("".join(category_of[item]), -1)
        row[:] = table[alike].mean(axis=0) if alike.any() else whole
    return found
