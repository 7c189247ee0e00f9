# SPDX-License-Identifier: Apache-2.0
"""What a device fetches, form by form, and what each form costs in Recall@20.

    python benchmarks/bytes_ledger.py RUN [--pruned RUN] [--bits 8 5 4] [--item-bits 5] [--users 200] [--beside RUN]

RUN is a run directory whose model is trained (`pocketrec run` or `pocketrec train`); --pruned names another of the
same log and configuration, trained with pruning; --beside names runs of the same log whose models have other shapes,
such as an item table in blocks or layers that share their tensors (CpRec, feature P15). The denominator is the dense
float32 model: all item embeddings, GRU and FC tensors of RUN, four bytes each; item ids are left out of every row, for
each form needs them.

Forms: the model file as it is and zipped; packed (`pocketrec.device.contract.packed`) with kernels and item rows of so
many bits, first install (skeleton and weights) and update (weights alone: the skeleton is the same for every model of
one configuration); and, on logs with personal devices, the rows alone that a device needs (DeepRec's sparse embeddings,
feature D9): its user's candidates, the items of the user's own past, and the most popular, the mean over users; and
lean bundles (`pocketrec.device.contract.lean`), where an event of an item without a row counts as its category's.

Recall@20 is the model's, nothing trained on the device, on the run's own test part: `full` (and MRR@20) ranks the whole
catalogue; `offered` ranks what a device offers (candidates, the popular, own items up to then), where a target outside
is a miss. Where only some rows are there, an event of another item is not in the context, and another target is a miss.
Prints a table, and one JSON document as the last line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketrec.cloud.config.load import stored_config
from pocketrec.cloud.config.run import RunConfig
from pocketrec.device.contract.packed import Quantised, encode
from pocketrec.export.tables.quantise import quantise, quantise_weights

Array = np.ndarray[Any, Any]

_TOP = 20


@dataclasses.dataclass(frozen=True)
class Tests:
    """Test events of the run, by user or session."""

    items: list[Array]
    """int32, all known events of each, oldest first."""
    first: list[int]
    """Place of the first test event in `items`."""
    own: list[Array]
    """int32: candidates of each user; empty on a log without devices."""
    past: list[Array]
    """int32: items of each user before the cut-off."""
    users: list[str]
    """Ids of the users; empty on a log without devices."""
    personal: bool
    """Whether there are devices; else every event of a session but the first is a test."""


def load_tests(run: Path, config: RunConfig, limit: int) -> Tests:
    """The test part, or of a log with devices a seeded sample of `limit` users (0 = all)."""
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud, load_devices
    from pocketrec.cloud.fleet.fleet import device_users

    data, devices = load_cloud(run), load_devices(run)
    if not data.personal:
        items = [part[part > 0] for part in (devices.after.of(place)[0] for place in range(len(devices.after)))]
        items = [part for part in items if len(part) > 1]
        none = [np.zeros(0, np.int32)] * len(items)
        return Tests(items, [1] * len(items), none, none, [], personal=False)
    sets = Candidates.load(run / "candidates" / "candidates.npz")
    users, _ = device_users(data.before, devices.after, devices.learn, sets, limit=limit, seed=config.seed)
    known = [np.concatenate([user.before, user.learn, user.test]) for user in users]
    first = [int((np.concatenate([user.before, user.learn]) > 0).sum()) for user in users]
    return Tests([part[part > 0] for part in known], first, [user.candidates for user in users],
                 [user.before for user in users], [user.user for user in users], personal=True)  # fmt: skip


def recalls(
    model: Any, table: Array, weights: Mapping[str, Array], tests: Tests, window: int, head: int,
    held: Sequence[Array] | None = None, stand_in: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Recall@20 and MRR@20 over the whole catalogue, and Recall@20 within what a device offers.

    Args:
        model: the Keras model.
        table: float32 [N + 1, E], item embeddings to use.
        weights: GRU and FC tensors to use.
        tests: the test part.
        window: T.
        head: popular items that every device offers and holds, beside its own.
        held: bool [N + 1] for each user, the rows that the device has; None = all.
        stand_in: the other rows of `table` stand for something too (a bucket) and stay in the contexts.
    """
    from pocketrec.cloud.data.sequences import Sequences, offsets_of
    from pocketrec.cloud.evaluation.scoring import embed_positions, positions
    from pocketrec.export.gate.reference import Reference

    keras_model = Reference(model, table, weights=weights).model
    drop = held is not None and not stand_in
    kept = [held[user][part] if held is not None and drop else part > 0 for user, part in enumerate(tests.items)]
    items = [part[mask] for part, mask in zip(tests.items, kept, strict=True)]
    first = np.array([int(mask[:at].sum()) for mask, at in zip(kept, tests.first, strict=True)])
    names = np.array([str(number) for number in range(len(items))], object)
    flat = np.concatenate(items).astype(np.int32)
    sequences = Sequences(names, offsets_of(np.array([len(part) for part in items])), flat, np.arange(len(flat)))
    where = positions(sequences, window, first)
    embedded = embed_positions(keras_model, where)
    full, offered, reciprocal = ([np.zeros(0)] * len(items) for _ in range(3))
    for user in range(len(items)):
        at = np.flatnonzero(where.user == user)
        targets = where.targets[at]
        scores = embedded[at] @ table.T  # (p, N + 1)
        scores[:, 0] = -np.inf
        if held is not None:
            scores[:, ~held[user]] = -np.inf
        own = scores[np.arange(len(at)), targets][:, None]
        ranks = (scores >= own).sum(1)
        full[user] = ranks <= _TOP
        reciprocal[user] = full[user] / ranks
        inside = np.zeros(scores.shape, bool)
        inside[:, 1 : head + 1] = True
        inside[:, tests.own[user]] = True
        for row, place in zip(inside, where.place[at], strict=True):
            row[items[user][:place]] = True
        reached = inside[np.arange(len(at)), targets]
        offered[user] = ((scores >= own) & inside).sum(1) <= _TOP
        offered[user] &= reached
    counts = [len(part) - at for part, at in zip(tests.items, tests.first, strict=True)]
    measured = {"full": full, "mrr": reciprocal, "offered": offered}
    return {kind: _mean(hits, counts, tests.personal) for kind, hits in measured.items()}


def _mean(hits: list[Array], counts: list[int], by_user: bool) -> float:
    """Hits over all test events (those that could not be ranked are misses): mean of users, or of events."""
    sums = np.array([part.sum() for part in hits])
    return float(np.mean(sums / counts)) if by_user else float(sums.sum() / sum(counts))


def ledger(run: Path, pruned: Path | None, bits: Sequence[int], item_bits: int, head: int, limit: int,
           lean: Sequence[int] = (), prune: Sequence[float] = (),
           beside: Sequence[Path] = ()) -> list[Any]:  # fmt: skip
    """The rows of the table."""
    from pocketrec.cloud.backbones import item_embeddings, load_model
    from pocketrec.export.build import build_tflite
    from pocketrec.export.graph.weights import weights_of

    config = stored_config(json.loads((run / "config.json").read_text(encoding="utf-8")))
    recipe = json.loads((run / "export" / "facts.json").read_text()) if (run / "export" / "facts.json").exists() else {}
    way = recipe.get("model", {}).get("way", config.personalise.way)
    tests = load_tests(run, config, limit)
    window = config.model.window
    dense_model = load_model(run / "train" / "model.keras")
    weights, table = weights_of(dense_model), item_embeddings(dense_model)
    dense = 4 * (table[1:].size + sum(value.size for value in weights.values()))
    base = recalls(dense_model, table, weights, tests, window, head)
    rows: list[dict[str, Any]] = []

    def add(form: str, size: float, recall: Mapping[str, float], **more: Any) -> None:
        change = {f"{kind}_change": recall[kind] / base[kind] - 1 for kind in recall if base.get(kind)}
        rows.append({"form": form, "bytes": round(size), "ratio": dense / size, **recall, **change, **more})
        print(_line(rows[-1], tests.personal), flush=True)

    more = "  offered   change" if tests.personal else ""
    print(f"{'form':<52}{'bytes':>11}{'ratio':>8}{'full':>9}{'change':>9}{'MRR@20':>9}{'change':>9}{more}")
    add("dense float32", dense, base)
    models = [("", dense_model)] + ([("pruned, ", load_model(pruned / "train" / "model.keras"))] if pruned else [])
    models += [(f"cut to {1 - share:.0%}, ", cut(dense_model, share)) for share in prune]
    for name, model in models:
        weights, table = weights_of(model), item_embeddings(model)
        zeros = np.mean(np.concatenate([v.ravel() for k, v in weights.items() if "gru" in k and "kernel" in k]) == 0)
        for number, (weight_bits, row_bits) in enumerate([(8, 8), *((b, item_bits) for b in bits if b < 8)]):
            export = dataclasses.replace(config.export, weight_bits=weight_bits, item_bits=row_bits, item_table="int8")
            made = build_tflite(model, config.model, export, way=way, optimizer=config.personalise.optimizer,
                                candidates=config.candidates.k)  # fmt: skip
            recall = recalls(model, made.item_embeddings, made.weights, tests, window, head)
            label = f"{name}kernels {weight_bits} bits, rows {row_bits}"
            if not number and not name:
                add("model.tflite", len(made.content), recall)
                add("model.tflite, zipped", len(zlib.compress(made.content, 9)), recall)
            add(f"{label}: first install", len(made.skeleton) + len(made.coded), recall, zeros=float(zeros))
            add(f"{label}: update", len(made.coded), recall, zeros=float(zeros))
            if tests.personal:
                quantised = quantise_weights(weights, weight_bits)
                size, held, count = own_rows(quantised, quantise(_padded(table), row_bits, axis=1), tests, head)
                recall = recalls(model, made.item_embeddings, made.weights, tests, window, head, held)
                add(f"{label}, own rows: first install", size + len(made.skeleton), recall, rows=count)
                add(f"{label}, own rows: update", size, recall, rows=count)
    for head_rows in lean:
        lean_rows(run, config, dense_model, item_embeddings(dense_model), tests, head_rows, add)
    for other in beside:
        other_rows(other, way, tests, head, add)
    return rows


def other_rows(run: Path, way: str, tests: Tests, head: int, add: Callable[..., None]) -> None:
    """A model of another shape: its float32 numbers, and its file and transport form in 8 bits."""
    from pocketrec.cloud.backbones import item_embeddings, load_model
    from pocketrec.export.build import build_tflite
    from pocketrec.export.graph.weights import weights_of

    config = stored_config(json.loads((run / "config.json").read_text(encoding="utf-8")))
    model, window = load_model(run / "train" / "model.keras"), config.model.window
    numbers = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) - padding_numbers(model)
    add(f"{run.name}: dense float32", 4 * numbers,
        recalls(model, item_embeddings(model), weights_of(model), tests, window, head), parameters=numbers)  # fmt: skip
    made = build_tflite(model, config.model, config.export, way=way, optimizer=config.personalise.optimizer,
                        candidates=config.candidates.k)  # fmt: skip
    recall = recalls(model, made.item_embeddings, made.weights, tests, window, head)
    add(f"{run.name}: model.tflite", len(made.content), recall)
    add(f"{run.name}: first install", len(made.skeleton) + len(made.coded), recall)
    add(f"{run.name}: update", len(made.coded), recall)


def padding_numbers(model: Any) -> int:
    """Numbers of the row of padding."""
    from pocketrec.cloud.backbones import item_table

    return int(item_table(model).tables[0].shape[1])


def lean_rows(
    run: Path, config: RunConfig, model: Any, embeddings: Array, tests: Tests, head: int, add: Callable[..., None]
) -> None:
    """A lean bundle of a head of so many items, in 8 bits: mean bytes of a device, and Recall@20."""
    from pocketrec.cloud.candidates import Candidates
    from pocketrec.cloud.data.prepared import load_cloud
    from pocketrec.device.contract.shards import shard_of, shards_for
    from pocketrec.export.graph.weights import weights_of
    from pocketrec.export.tables.lean import ShardSizes, lean_shards, lean_table

    data, sets = load_cloud(run), Candidates.load(run / "candidates" / "candidates.npz")
    categories = None if data.categories is None else (list(data.categories.ids), data.categories.of_row)
    table = lean_table(embeddings, data.counts, head, categories)
    shards, users = shards_for(len(sets.users)), list(sets.users)
    latest = [data.before.of(place)[0][-config.model.window :] for place in data.before.find_all(users)]
    most, ids = config.lean.shard_items, data.vocabulary.ids
    own, _ = lean_shards(users, sets.rows, latest, table, embeddings, ids, ShardSizes(shards, most))
    weights = quantise_weights(weights_of(model), 8)
    small = quantise(table.embeddings, 8, axis=1)
    fixed = len(encode({**weights, "rows": small}))
    exact = quantise(_padded(embeddings), 8, axis=1).values
    rows = {item: row for row, item in enumerate(data.vocabulary.ids, start=1)}
    sizes, parts = [], []
    for shard, items in enumerate(own):
        mine = [place for place, user in enumerate(tests.users) if shard_of(user, shards) == shard]
        held = np.arange(len(embeddings)) <= table.head
        held[[rows[item] for item in items.ids]] = True
        held[0] = False
        effective = np.where(held[:, None], exact, small.values[table.row_of])
        effective[0] = 0.0
        some = Tests(*([column[place] for place in mine] for column in (tests.items, tests.first, tests.own, tests.past,
                                                                        tests.users)), personal=True)  # fmt: skip
        found = recalls(model, effective, {name: w.values for name, w in weights.items()}, some, config.model.window,
                        min(100, head), [held] * len(mine), stand_in=True)  # fmt: skip
        parts.append((len(mine), found))
        sizes.append((len(mine), len(zlib.compress(b"".join(t.tobytes() for t in items.tensors().values()), 9))))
    total = sum(count for count, _ in parts)
    recall = {kind: sum(count * found[kind] for count, found in parts) / total for kind in ("full", "mrr", "offered")}
    size = fixed + sum(count * size for count, size in sizes) / total
    add(f"lean, head {head}, {len(table.labels)} buckets, 8 bits: update", size, recall, rows=table.rows,
        shard_items=[len(items.ids) for items in own])  # fmt: skip


def cut(model: Any, share: float) -> Any:
    """A copy of the model in which the smallest entries of each GRU kernel are zero, nothing trained after it."""
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if layer.name.startswith("gru_"):
            *kernels, bias = layer.get_weights()
            layer.set_weights([*(np.where(np.abs(k) < np.quantile(np.abs(k), share), 0, k) for k in kernels), bias])
    return copy


def own_rows(
    weights: dict[str, Quantised], table: Quantised, tests: Tests, head: int
) -> tuple[float, list[Array], float]:
    """Mean bytes of weights with the rows of one device, the rows of each, and their mean number."""
    assert table.scales is not None
    held, sizes = [], []
    popular = np.arange(1, head + 1)
    for candidates, past in zip(tests.own, tests.past, strict=True):
        mask = np.zeros(len(table.numbers), bool)
        for rows in (popular, candidates, past):
            mask[rows] = True
        mask[0] = False
        held.append(mask)
        sizes.append(len(encode({**weights, "rows": Quantised(table.numbers[mask], table.scales[mask])})))
    return float(np.mean(sizes)), held, float(np.mean([mask.sum() for mask in held]))


def _padded(table: Array) -> Array:
    table = table.copy()
    table[0] = 0.0
    return table


def _line(row: Mapping[str, Any], personal: bool) -> str:
    text = f"{row['form']:<52}{row['bytes']:>11,}{row['ratio']:>7.1f}x"
    text += "".join(f"{row[kind]:>9.4f}{row[f'{kind}_change']:>+9.2%}" for kind in ("full", "mrr"))
    return text + (f"{row['offered']:>9.4f}{row['offered_change']:>+9.2%}" if personal else "")


def main() -> None:
    """Print the ledger of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--pruned", type=Path, metavar="RUN")
    parser.add_argument("--bits", type=int, nargs="*", default=[5, 4], help="bits of a kernel's entry, besides 8")
    parser.add_argument("--item-bits", type=int, default=5, help="bits of an item row's entry where kernels have fewer")
    parser.add_argument("--head", type=int, default=100, help="popular items that every device holds and offers")
    parser.add_argument("--users", type=int, default=200, help="devices in the sample; 0 = all")
    parser.add_argument("--prune", type=float, nargs="*", default=[], metavar="SHARE",
                        help="share of the GRU kernels' smallest entries set to zero, without training after it")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], metavar="RUN",
                        help="runs of the same log with models of other shapes")
    parser.add_argument("--lean", type=int, nargs="*", default=[], metavar="HEAD", help="lean bundles with such heads")
    args = parser.parse_args()
    rows = ledger(args.run, args.pruned, args.bits, args.item_bits, args.head, args.users, args.lean, args.prune,
                  args.beside)  # fmt: skip
    print(json.dumps({"run": str(args.run), "head": args.head, "rows": rows}))


if __name__ == "__main__":
    main()
