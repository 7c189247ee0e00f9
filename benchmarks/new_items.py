# SPDX-License-Identifier: Apache-2.0
"""Items that nobody had before the cut-off, known by their category alone: what `pocketrec items --add` is worth (K11).

    python benchmarks/new_items.py [--share 0.1] [--seed 1] [--folder DIR]

A tenth of the items of taobao-userbehavior-sample is hidden: their events before the cut-off are taken out of the log
that a model with content (the category) is trained on. Then they get their rows from content. Every later event of a
user who had events before is a question, of which the user's own earlier events are known.

Among hidden items alone: hits in the first 20 by the model, and by the events of an item's category before the cut-off
(what is known of a new item without a model). Among all items: hits of the other items before and after the hidden ones
are added. Intervals over users. Prints a table and, as its last line, one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from pocketrec.cloud.backbones import item_embeddings, load_model
from pocketrec.cloud.backbones.new_items import content_rows
from pocketrec.cloud.base.runs import Pipeline, Run
from pocketrec.cloud.candidates.embedding import embed_windows
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.data.item_features import describe
from pocketrec.cloud.data.item_table import read_items
from pocketrec.cloud.data.location import find_log
from pocketrec.cloud.data.prepared import load_cloud
from pocketrec.cloud.metrics.metrics import paired
from pocketrec.stages import STAGES

SET, TOP, WINDOW = "taobao-userbehavior-sample", 20, 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where log and run are kept; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(options.folder or Path(temporary), options.share, options.seed)
    for name, value in figures.items():
        print(f"{name:<28} {value}")
    print(json.dumps(figures))


def measure(folder: Path, share: float, seed: int) -> dict[str, object]:
    """All figures, from log to hits."""
    folder.mkdir(parents=True, exist_ok=True)
    log = pd.read_csv(find_log(DataConfig(set=SET)), usecols=["user", "item", "timestamp", "category"], dtype=str)
    log["timestamp"] = log.timestamp.astype(np.int64)
    log = log.sort_values("timestamp", kind="stable")
    cut = int(np.sort(log.timestamp.to_numpy())[int(len(log) * 0.8)])
    items = log.drop_duplicates("item")[["item", "category"]]
    drawn = np.random.default_rng(seed).random(len(items)) < share
    hidden = set(items.item[drawn])
    log["hidden"] = log.item.isin(hidden)
    log[~log.hidden].to_csv(folder / "log.csv", index=False, columns=["user", "item", "timestamp"])
    items[~drawn].to_csv(folder / "items.csv", index=False)
    items[drawn].to_csv(folder / "new.csv", index=False)
    model, ids, table, new = trained(folder, cut, seed)
    questions = ask(log, cut, ids)
    users = embed_windows(model, questions.pop("windows"))
    return judge(users, questions, ids, (table, new), log[log.timestamp < cut].category.value_counts(), items)


def trained(folder: Path, cut: int, seed: int):
    """The model, the ids by row, its item embeddings, and those of the hidden items."""
    config = config_from_dict({
        "seed": seed,
        "data": {"path": str(folder / "log.csv")}, "split": {"kind": "time", "time": str(cut)},
        "items": {"path": str(folder / "items.csv"), "categories": ["category"], "separator": ""},
        "model": {"backbone": "towers", "embedding": 64, "window": WINDOW, "dropout": 0.3, "content": True,
                  "id_dropout": 0.3},
        "train": {"epochs": 6, "loss": "sampled_softmax", "learning_rate": 0.003, "decay": "cosine",
                  "validation": 0.0},
    })  # fmt: skip
    Pipeline(STAGES, Run(config, folder / "run", lambda line: print(line, file=sys.stderr))).execute(["train"])
    data, model = load_cloud(folder / "run"), load_model(folder / "run" / "train" / "model.keras")
    assert data.features is not None
    read = read_items(folder / "new.csv", config.items)
    features = describe(read, data.features.space, read.ids, data.features.values.shape[1])
    rows = content_rows(model, features)
    rows[~features.known()] = item_embeddings(model)[1:].mean(axis=0)
    return model, [*data.vocabulary.ids, *read.ids], item_embeddings(model)[1:], rows


def ask(log: pd.DataFrame, cut: int, ids: list[str]) -> dict[str, np.ndarray]:
    """Every later event of an Old user whose item has a row: user, row, and the window of known items before it."""
    row_of = {item: row for row, item in enumerate(ids, start=1)}
    found: dict[str, list] = {"user": [], "row": [], "windows": []}
    for user, events in log.groupby("user", sort=True):
        rows = [row_of.get(item, 0) for item in events.item]
        known = [0 if is_hidden else row for row, is_hidden in zip(rows, events.hidden, strict=True)]
        if events.timestamp.iloc[0] >= cut:
            continue
        for place in np.flatnonzero(events.timestamp.to_numpy() >= cut).tolist():
            past = [row for row in known[:place] if row][-WINDOW:]
            if rows[place] and past:
                window = np.zeros(WINDOW, np.int32)
                window[: len(past)] = past
                for name, value in (("user", user), ("row", rows[place]), ("windows", window)):
                    found[name].append(value)
    return {"user": np.array(found["user"]), "row": np.array(found["row"]), "windows": np.stack(found["windows"])}


def judge(users, questions, ids, tables, popularity, items) -> dict[str, object]:
    """Hits by system, and paired differences over users."""
    table, new = tables
    count = len(table)
    category = items.set_index("item").category
    by_category = np.array([popularity.get(category[item], 0) for item in ids[count:]], np.float64)
    is_new = questions["row"] > count
    place = questions["row"][is_new] - count - 1
    scores = users[is_new] @ new.T
    model_hits = hits(scores, place)
    plain = hits(np.tile(by_category, (len(place), 1)), place)
    old = questions["row"][~is_new] - 1
    before = hits(users[~is_new] @ table.T, old)
    after = hits(users[~is_new] @ np.concatenate([table, new]).T, old)
    who = questions["user"]
    return {
        "hidden_items": len(new), "questions_hidden": int(is_new.sum()), "questions_others": int((~is_new).sum()),
        "hits_hidden_model": int(model_hits.sum()), "hits_hidden_by_category": int(plain.sum()),
        "hidden_difference": per_user(model_hits, plain, who[is_new]),
        "hits_others_before": int(before.sum()), "hits_others_after": int(after.sum()),
        "others_difference": per_user(after, before, who[~is_new]),
    }  # fmt: skip


def hits(scores: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Whether each target is among the first `TOP`; ties count against it."""
    own = scores[np.arange(len(place)), place]
    return ((scores >= own[:, None]).sum(axis=1) <= TOP).astype(np.float64)


def per_user(one: np.ndarray, other: np.ndarray, who: np.ndarray) -> dict[str, float]:
    """Mean difference of a question's hit, users drawn, each with as many questions as it has."""
    _, number = np.unique(who, return_inverse=True)
    count = np.bincount(number)
    sums = [np.bincount(number, values) / count for values in (one, other)]
    return paired(*sums, weights=count.astype(np.float64)).difference.to_dict()


if __name__ == "__main__":
    main()
