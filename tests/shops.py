# SPDX-License-Identifier: Apache-2.0
"""Logs of two made-up shops, on which a run without a config has to do well: nothing in the product knows of them.

    python tests/shops.py staples OUT.csv [--seed 1] [--users 3000] [--products 2000] [--events 60000]

``staples``: a grocer; 45 % of the events are things that the same customer buys again and again, each at a rhythm;
the rest is bought on top of them, from aisles that go together. ``fashion``: nobody buys a thing twice, things come and
go with the season, and customers keep to a few styles. Columns: ``customer``, ``product``, ``when`` (ISO 8601) and
``category``.
"""

from __future__ import annotations

import argparse
import csv
import datetime
from pathlib import Path

import numpy as np

_DAY = 86_400.0
_DAYS = 180
_BEGIN = datetime.datetime(2025, 1, 6, tzinfo=datetime.UTC)

Row = tuple[str, str, float, str]


def staples(seed: int = 1, *, users: int = 3000, products: int = 2000, events: int = 60_000,
            share: float = 0.45) -> list[Row]:
    """A grocer's log: `share` of the events are a customer's staples."""
    generator = np.random.default_rng([seed, 1])
    aisle = generator.permutation(np.arange(products) % 60)  # none is empty
    popular = _zipf(products, 0.9, generator)
    beside = generator.permutation(60)  # the aisle that is visited after an aisle
    rows: list[Row] = []
    for user, count in enumerate(_counts(users, events, generator)):
        own = _draw(popular, 3 + generator.integers(0, 6), generator)
        rhythm = generator.gamma(2.0, 6.0, len(own)) + 2  # days
        due = generator.random(len(own)) * rhythm
        aisles = generator.choice(60, 5, replace=False)
        visits = np.sort(generator.random(max(1, count // 4))) * _DAYS
        left = count
        for place, day in enumerate(visits):
            basket = left if place == len(visits) - 1 else min(left, 1 + generator.poisson(3))
            at, where = day * _DAY, int(generator.choice(aisles))
            for _ in range(basket):
                if generator.random() < share:
                    chosen = int(np.argmax((day - due) / rhythm))
                    due[chosen] = day
                    item = int(own[chosen])
                else:
                    where = int(beside[where]) if generator.random() < 0.5 else int(generator.choice(aisles))
                    shelf = np.flatnonzero(aisle == where)
                    item = int(_draw(popular[shelf], 1, generator)[0])
                    item = int(shelf[item])
                rows.append((f"c{user}", f"p{item}", at, f"aisle {aisle[item]}"))
                at += 20 + 100 * generator.random()
            left -= basket
    return sorted(rows, key=lambda row: row[2])


def fashion(seed: int = 1, *, users: int = 3000, products: int = 2000, events: int = 60_000) -> list[Row]:
    """A fashion shop's log: nobody has a thing twice."""
    generator = np.random.default_rng([seed, 2])
    style = generator.integers(0, 40, products)
    popular = _zipf(products, 0.8, generator)
    comes = np.where(generator.random(products) < 0.4, 0, generator.random(products) * _DAYS * 0.9)
    stays = 30 + generator.exponential(60, products)
    rows: list[Row] = []
    for user, count in enumerate(_counts(users, events, generator)):
        tastes = generator.dirichlet(np.full(4, 0.7))
        styles = generator.choice(40, 4, replace=False)
        had: set[int] = set()
        days = np.sort(_visits(count, generator))
        at = style_now = -1.0
        for day in days:
            if day * _DAY > at + 3600 or generator.random() < 0.2:
                style_now = int(generator.choice(styles, p=tastes))
            at = max(at + 5, day * _DAY)
            weight = popular * (comes <= day) * (day < comes + stays) * np.exp(-(day - comes) / 40)
            weight = weight * np.where(style == style_now, 1.0, 0.004)
            weight[list(had)] = 0
            if not weight.sum():
                continue
            item = int(_draw(weight, 1, generator)[0])
            had.add(item)
            rows.append((f"c{user}", f"p{item}", at, f"style {style[item]}"))
    return sorted(rows, key=lambda row: row[2])


def write(path: Path, rows: list[Row]) -> None:
    """Write a log as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("customer", "product", "when", "category"))
        for customer, product, at, category in rows:
            when = (_BEGIN + datetime.timedelta(seconds=int(at))).isoformat().replace("+00:00", "Z")
            writer.writerow((customer, product, when, category))


def _zipf(count: int, exponent: float, generator: np.random.Generator) -> np.ndarray:
    weights = (1.0 + np.arange(count)) ** -exponent
    return generator.permutation(weights / weights.sum())


def _counts(users: int, events: int, generator: np.random.Generator) -> np.ndarray:
    """Events of each customer, log-normal, which sum to `events`."""
    weights = np.exp(generator.normal(0, 0.8, users))
    counts = np.maximum(1, (weights / weights.sum() * events).astype(int))
    for _ in range(events - int(counts.sum())):
        counts[generator.integers(0, users)] += 1
    return counts


def _visits(count: int, generator: np.random.Generator) -> np.ndarray:
    """Days of `count` events, a few in each visit."""
    begins = generator.random(max(1, count // 4)) * _DAYS
    return generator.choice(begins, count) + generator.random(count) * 0.02


def _draw(weights: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Different places, with these odds."""
    return generator.choice(len(weights), int(count), replace=False, p=weights / weights.sum())


SHOPS = {"staples": staples, "fashion": fashion}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop", choices=tuple(SHOPS))
    parser.add_argument("out", type=Path)
    for name, value in (("seed", 1), ("users", 3000), ("products", 2000), ("events", 60_000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in ("users", "products", "events")}
    write(options.out, SHOPS[options.shop](options.seed, **sizes))


if __name__ == "__main__":
    main()
