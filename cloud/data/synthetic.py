"""A seeded synthetic log with known structure: the embedded default of the demo and of the tests."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from pocketrec.cloud.data.log import Labels, Log, ReadReport
from pocketrec.device.errors import ConfigError


def generate(
    seed: int = 1,
    users: int = 300,
    items: int = 500,
    events: int = 120,
    categories: int = 25,
    eras: int = 5,
    routine: int = 5,
    routine_share: float = 0.5,
    new_users: float = 0.08,
) -> Log:
    """Draft."""
    rng = np.random.default_rng(seed)
    category = np.arange(items) % categories
    popularity = 1 / np.arange(1, items + 1) ** 0.8
    members = [np.flatnonzero(category == c) for c in range(categories)]
    weights = [popularity[m] / popularity[m].sum() for m in members]
    successor = rng.permutation(categories)
    era_length = 10 * 86400
    span = eras * era_length
    out_users, out_items, out_times = [], [], []
    for user in range(users):
        n = int(rng.integers(int(events * 0.7), int(events * 1.3) + 1))
        begin = 0 if rng.random() >= new_users else span * 4 // 5
        n = n if not begin else n // 4
        times = np.sort(rng.integers(begin, span, n))
        favourites = rng.choice(categories, 4, replace=False)
        era = -1
        current = int(rng.choice(favourites))
        step = 0
        own: np.ndarray = np.zeros(0, np.int64)
        for time in times:
            now = int(time // era_length)
            if now != era:
                era = now
                own = rng.choice(items, routine, replace=False, p=popularity / popularity.sum())
                favourites[rng.integers(len(favourites))] = rng.integers(categories)
            if rng.random() < routine_share:
                item = int(own[step % routine])
                step += 1
            else:
                draw = rng.random()
                if draw < 0.6:
                    current = int(successor[current])
                elif draw > 0.8:
                    current = int(rng.choice(favourites))
                item = int(rng.choice(members[current], p=weights[current]))
            out_users.append(user)
            out_items.append(item)
            out_times.append(int(time) + 1_700_000_000)
    order = np.argsort(np.asarray(out_times), kind="stable")
    count = len(order)
    names = np.empty(users, dtype=object)
    names[:] = [f"u{user:05d}" for user in range(users)]
    ids = np.empty(items, dtype=object)
    ids[:] = [f"i{item:05d}" for item in range(items)]
    return Log(
        Labels(names, np.asarray(out_users)[order]),
        Labels(ids, np.asarray(out_items)[order]),
        np.asarray(out_times)[order],
        None,
        ReadReport("synthetic", count, count),
    )


def generate_from(arguments: dict[str, Any]) -> Log:
    """Call `generate` with the arguments of a configuration.

    Raises:
        ConfigError: an argument is unknown or has a wrong value.
    """
    known = list(inspect.signature(generate).parameters)
    for name in arguments:
        if name not in known:
            raise ConfigError(f"unknown key data.synthetic.{name}: the keys here are {', '.join(known)}")
    return generate(**arguments)
