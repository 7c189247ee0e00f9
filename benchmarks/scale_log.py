# SPDX-License-Identifier: Apache-2.0
"""A log of the shape that Taobao's UserBehavior has as published, at any size, written as the real file is.

    python benchmarks/scale_log.py OUT.csv [--events 1000000] [--seed 1]

At 100,150,807 events: 987,994 users, 4,162,024 items, 9,439 categories, nine days, and the behaviours pv, cart, fav and
buy in their published shares; a smaller log has users, items and categories in proportion. The rows are
``user,item,category,behavior,timestamp`` without a header, grouped by user and in the order of time within one.

What is in it: lengths of users are log-normal; a category of rank r is in favour, and an item of rank r within its
category is taken, in proportion to a power of r (Zipf). A user has six favourite categories. The next event is, with
the shares `NEXT`, one of the user's last four items again; the companion of the last item (each item has one, which
a model can learn); another of the same category; or one of a favourite category. Besides, every item of the
catalogue comes once out of turn, so that the number of different items is as stated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv

EVENTS, USERS, ITEMS, CATEGORIES = 100_150_807, 987_994, 4_162_024, 9_439
BEHAVIORS = {"pv": 89_716_264, "cart": 5_530_446, "fav": 2_888_258, "buy": 2_015_839}
BEGIN, SECONDS = 1_511_539_200, 9 * 86_400  # 25 November to 3 December 2017, in China
LARGEST_USER, LARGEST_ITEM = 1.031, 1.24  # largest id, by number of ids
LONGEST = 10  # the longest user, by the mean length
FAVOURITES, BACK = 6, 4
NEXT = {"again": 0.2, "companion": 0.25, "same category": 0.25, "favourite": 0.3}
SPREAD, ZIPF_CATEGORY, ZIPF_ITEM = 0.9, 0.7, 0.9
BLOCK = 20_000  # users drawn at a time


@dataclass(frozen=True)
class Shape:
    """Sizes of a log."""

    events: int
    users: int
    items: int
    categories: int

    @staticmethod
    def of(events: int) -> Shape:
        share = events / EVENTS
        return Shape(events, max(1, round(USERS * share)), max(100, round(ITEMS * share)),
                     max(20, round(CATEGORIES * share)))  # fmt: skip


@dataclass(frozen=True)
class Catalogue:
    """Items by category, each category's in the order of popularity."""

    first: np.ndarray
    """int64 (C,): number of a category's first item."""
    size: np.ndarray
    """int64 (C,)."""
    category: np.ndarray
    """int32 (N,): category of each item."""
    item_ids: np.ndarray
    """int64 (N,): the ids in the file."""
    category_ids: np.ndarray
    """int64 (C,)."""

    @staticmethod
    def draw(rng: np.random.Generator, shape: Shape) -> Catalogue:
        weight = rng.permutation(np.arange(1, shape.categories + 1) ** -ZIPF_CATEGORY)
        size = 1 + rng.multinomial(shape.items - shape.categories, weight / weight.sum())
        category = np.repeat(np.arange(shape.categories, dtype=np.int32), size)
        return Catalogue(np.cumsum(size) - size, size, category, _ids(rng, shape.items), _ids(rng, shape.categories))

    def take(self, categories: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64 (n,): an item of each category, by popularity, for uniform numbers in [0, 1)."""
        size = self.size[categories]
        power = 1 - ZIPF_ITEM
        rank = (1 + uniform * ((size + 1.0) ** power - 1)) ** (1 / power) - 1  # inverse of a power law's distribution
        return self.first[categories] + np.minimum(rank.astype(np.int64), size - 1)

    def companion(self, items: np.ndarray) -> np.ndarray:
        """int64 (n,): the item that belongs with each: its neighbour in popularity."""
        category = self.category[items]
        place = (items - self.first[category]) ^ 1
        return self.first[category] + np.minimum(place, self.size[category] - 1)


def write_log(path: Path, events: int, seed: int = 1) -> Shape:
    """Write the log; equal arguments give equal bytes."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        shape = _write(file, events, seed)
    temporary.replace(path)
    return shape


def _write(file: BinaryIO, events: int, seed: int) -> Shape:
    rng, shape = np.random.default_rng(seed), Shape.of(events)
    catalogue = Catalogue.draw(rng, shape)
    users = np.sort(_ids(rng, shape.users, LARGEST_USER))
    names = pa.array(list(BEHAVIORS))
    shares = np.cumsum(list(BEHAVIORS.values())) / sum(BEHAVIORS.values())
    for begin, lengths, once in _blocks(rng, shape):
        number = int(lengths.sum())
        items = _histories(rng, catalogue, lengths, once)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        moments = np.sort(owner + rng.random(number)) - owner  # ascending within each user
        drawn = np.searchsorted(shares[:-1], rng.random(number), "right")
        table = pa.table({
            "user": users[begin + owner], "item": catalogue.item_ids[items],
            "category": catalogue.category_ids[catalogue.category[items]], "behavior": names.take(pa.array(drawn)),
            "timestamp": BEGIN + (moments * SECONDS).astype(np.int64),
        })  # fmt: skip
        csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none", batch_size=1 << 16))
    return shape


def _blocks(rng: np.random.Generator, shape: Shape) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For some users at a time: place of the first, lengths int64 (u,), and the items that come out of turn there."""
    lengths = _lengths(rng, shape)
    once = rng.permutation(shape.items).astype(np.int32)
    done = 0
    for begin in range(0, shape.users, BLOCK):
        part = lengths[begin : begin + BLOCK]
        upto = int(lengths[: begin + BLOCK].sum()) * shape.items // shape.events
        yield begin, part, once[done:upto]
        done = upto


def _lengths(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """int64 (users,): log-normal, from 1 to ten times the mean, with exactly the events of the shape as their sum."""
    mean = shape.events / shape.users
    drawn = np.minimum(rng.lognormal(0, SPREAD, shape.users) * mean / np.exp(SPREAD**2 / 2), LONGEST * mean)
    lengths = np.maximum(1, drawn.astype(np.int64))
    while (missing := shape.events - int(lengths.sum())) != 0:
        chosen = rng.permutation(np.flatnonzero(lengths > (1 if missing < 0 else 0)))[: abs(missing)]
        lengths[chosen] += np.sign(missing)
    return lengths


def _histories(rng: np.random.Generator, catalogue: Catalogue, lengths: np.ndarray, once: np.ndarray) -> np.ndarray:
    """int64 (n,): the items of some users one after another, drawn for all of them step by step."""
    order = np.argsort(-lengths, kind="stable")  # the longest first: those at work are always the first few
    lengths, starts = lengths[order], (np.cumsum(lengths) - lengths)[order]
    items = np.zeros(int(lengths.sum()), np.int64)
    out_of_turn = np.full(len(items), -1, np.int64)
    out_of_turn[rng.choice(len(items), len(once), replace=False)] = once
    count, power = len(catalogue.size), 1 - ZIPF_CATEGORY
    favourites = (1 + rng.random((len(lengths), FAVOURITES)) * ((count + 1.0) ** power - 1)) ** (1 / power) - 1
    favourites = np.minimum(favourites.astype(np.int64), count - 1)
    everyone = np.arange(len(lengths))
    again, companion, same, _ = np.cumsum(list(NEXT.values()))
    last = catalogue.take(favourites[:, 0], rng.random(len(lengths)))
    for step in range(int(lengths[0])):
        busy = int(np.searchsorted(-lengths, -step, "left"))  # users with more than `step` events
        places, last = starts[:busy] + step, last[:busy]
        kind, uniform = rng.random(busy, np.float32), rng.random(busy)
        favourite = favourites[everyone[:busy], rng.integers(0, FAVOURITES, busy)]
        stays = (kind < same) & (step > 0)
        chosen = catalogue.take(np.where(stays, catalogue.category[last], favourite), uniform)
        if step:
            chosen = np.where(kind < companion, catalogue.companion(last), chosen)
            back = items[places - 1 - (uniform * min(step, BACK)).astype(np.int64)]
            chosen = np.where(kind < again, back, chosen)
        forced = out_of_turn[places]
        items[places] = last = np.where(forced >= 0, forced, chosen)
    return items


def _ids(rng: np.random.Generator, count: int, largest: float = LARGEST_ITEM) -> np.ndarray:
    """int64 (count,): different whole numbers from 1, in random order."""
    return rng.choice(int(count * largest) + 1, count, replace=False) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    shape = write_log(options.out, options.events, options.seed)
    seconds = time.monotonic() - started
    print(f"{shape}, {options.out.stat().st_size / 1e6:.0f} MB, {seconds:.1f} s, {events_a_second(shape, seconds)}")


def events_a_second(shape: Shape, seconds: float) -> str:
    return f"{shape.events / max(seconds, 1e-9):,.0f} events/s"


if __name__ == "__main__":
    main()
