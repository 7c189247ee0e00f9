# SPDX-License-Identifier: Apache-2.0
"""The synthetic log holds what its docstring says, in every shape it is written in."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.prepared import prepare
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.split import split_log
from pocketrec.cloud.data.synthetic import BEGIN, SPAN, Shape, Simulation, generate, simulate
from pocketrec.cloud.data.synthetic_files import BEHAVIORS, write_csv, write_rsc15, write_taobao
from pocketrec.device.base.errors import ConfigError

DRIFTS = (0.49, 0.7)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate()


def steps(simulation: Simulation) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """user, item, next item and era of the next, for all neighbouring events of one user."""
    log = simulation.log
    order = np.lexsort((np.arange(len(log)), log.users.codes))  # the log is in the order of time
    users, items, eras = log.users.codes[order], log.items.codes[order], simulation.era[order]
    same = users[1:] == users[:-1]
    return users[1:][same], items[:-1][same], items[1:][same], eras[1:][same]


def test_size_and_form(simulation: Simulation) -> None:
    log = simulation.log
    assert (len(log.users.values), len(log.items.values)) == (280, 400)
    assert 30_000 < len(log) < 40_000
    assert (np.diff(log.timestamps) >= 0).all()
    assert log.timestamps.min() >= BEGIN
    assert log.timestamps.max() <= BEGIN + SPAN
    assert len(np.unique(log.users.codes)) == 280


def test_seed() -> None:
    one, same, other = (simulate(Shape(seed=seed, users=20, items=50)) for seed in (1, 1, 2))
    assert np.array_equal(one.log.items.codes, same.log.items.codes)
    assert np.array_equal(one.log.timestamps, same.log.timestamps)
    assert not np.array_equal(one.log.items.codes[:200], other.log.items.codes[:200])


def test_popularity_is_uneven(simulation: Simulation) -> None:
    counts = np.sort(np.bincount(simulation.log.items.codes, minlength=400))[::-1]
    assert counts[:40].sum() > 0.35 * counts.sum()
    inside = simulate(Shape(users=200, items=20, categories=2, favourites=2, routine_share=0.0, repeat=0.0)).log
    by_rank = np.sort(np.bincount(inside.items.codes, minlength=20).reshape(-1))[::-1]
    share = by_rank[:2].sum() / by_rank.sum()  # the two first ranks: 1 / sum of r ** -1.2 for r to 10
    assert share == pytest.approx(1 / (np.arange(1, 11) ** -1.2).sum(), abs=0.03)


def test_common_habit() -> None:
    """Without routines and repeats, a category follows its successor's rule in `follow` of the steps, or by taste."""
    simulation = simulate(Shape(routine_share=0.0, repeat=0.0, follow=0.8))
    _, items, following, _ = steps(simulation)
    hit = simulation.category[following] == simulation.successor[simulation.category[items]]
    assert 0.78 < hit.mean() < 0.87
    cycle, seen = 0, set()
    for _ in range(20):
        seen.add(cycle)
        cycle = int(simulation.successor[cycle])
    assert len(seen) == 20
    assert cycle == 0


def in_routine(simulation: Simulation, shift: int = 0) -> np.ndarray:
    """Whether a step follows the user's routine of the step's era, or (`shift`) of another era."""
    users, items, following, eras = steps(simulation)
    own = simulation.routines[(eras + shift) % len(simulation.routines), users]  # (steps, routine)
    after = np.roll(own, -1, axis=1)
    return ((own == items[:, None]) & (after == following[:, None])).any(axis=1)


def test_routines_are_the_users_own_and_change_at_the_drifts(simulation: Simulation) -> None:
    assert in_routine(simulation).mean() > 0.35  # routine_share * routine_keep, about
    for shift in (1, 2):
        assert in_routine(simulation, shift).mean() < 0.02  # another era's routine is of no use
    moments = (simulation.log.timestamps - BEGIN) / SPAN
    assert np.array_equal(simulation.era, np.searchsorted(DRIFTS, moments, "right"))


def test_what_comes_after_the_cut_off_can_be_learnt_from_the_user_alone() -> None:
    """A table of each user's own steps, made of the first half of the later events, beats everyone's table on the
    second half: there is something true for personal training to learn, and a global model cannot have it."""
    log = generate()
    prepared = split_log(log, SplitConfig(quantile=0.7), DataConfig(set="synthetic"))
    common = np.zeros((len(prepared.vocabulary) + 1,) * 2, np.int32)
    for user in range(len(prepared.before)):
        items = prepared.before.of(user)[0]
        np.add.at(common, (items[:-1], items[1:]), 1)
    hits = np.zeros(2)
    total = 0
    for user, learn in enumerate(prepared.learn):
        items = prepared.after.of(user)[0].tolist()
        own = {}
        for item, following in pairwise(items[:learn]):
            own.setdefault(item, []).append(following)
        for item, following in pairwise(items[learn:]):
            guess = int(common[item].argmax())
            hits += (following == guess, following == (max(own[item], key=own[item].count) if item in own else guess))
            total += 1
    share_common, share_own = hits / total
    assert share_own > 1.5 * share_common
    assert share_own > 0.25
    assert np.median(prepared.after.lengths) > 30


def test_repeats() -> None:
    with_repeats, without = (simulate(Shape(routine_share=0.0, repeat=repeat)) for repeat in (0.5, 0.0))

    def share(simulation: Simulation) -> float:
        log = simulation.log
        sequences = Sequences.build(log.users.values, log.users.codes, log.items.codes, log.timestamps)
        recent = [item in history[max(0, place - 10):place] for user in range(len(sequences))
                  for history in [sequences.of(user)[0].tolist()] for place, item in enumerate(history)]  # fmt: skip
        return float(np.mean(recent))

    assert share(with_repeats) > share(without) + 0.3


def test_new_users(simulation: Simulation) -> None:
    log = simulation.log
    first = np.full(280, np.inf)
    np.minimum.at(first, log.users.codes, log.timestamps)
    new = (first - BEGIN) / SPAN > DRIFTS[-1]
    assert 3 <= new.sum() <= 40
    summary = split_log(log, SplitConfig(quantile=0.7), DataConfig(set="synthetic")).summary
    assert 3 <= summary["users_new"] <= new.sum() + 2


@examples(40)
@given(
    users=st.integers(1, 12), items=st.integers(4, 30), events=st.integers(1, 25), routine=st.integers(2, 4),
    share=st.floats(0, 0.6), new=st.floats(0, 0.9), drifts=st.sampled_from([(), (0.5,), (0.1, 0.2, 0.9)]),
)  # fmt: skip
def test_any_size(
    users: int, items: int, events: int, routine: int, share: float, new: float, drifts: tuple[float, ...]
) -> None:
    log = simulate(Shape(users=users, items=items, events=events, categories=4, routine=routine, routine_share=share,
                         routine_keep=0.5, new_users=new, drifts=drifts)).log  # fmt: skip
    assert set(log.users.codes) == set(range(users))
    assert (log.items.codes < items).all()
    assert log.report.events == len(log)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"user": 3}, "unknown key data.synthetic.user: the keys here are seed, users"),
     ({"users": "many"}, "data.synthetic.users must be of the form 280, not 'many'"),
     ({"users": True}, "data.synthetic.users must be"), ({"drifts": 0.5}, "data.synthetic.drifts must be"),
     ({"users": 0}, r"\[data.synthetic\] make users"), ({"items": 3}, "make items"),
     ({"follow": 2.0}, "make follow"), ({"drifts": [0.7, 0.5]}, "make drifts"),
     ({"routine_share": 0.9, "routine_keep": 0.1}, "make routine_keep larger")],
)  # fmt: skip
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(**arguments)


def test_from_a_configuration(tmp_path: Path) -> None:
    config = config_from_dict({"data": {"set": "synthetic", "synthetic": {"users": 15, "drifts": [0.5]}}})
    assert prepare(config, tmp_path).summary["users_before"] <= 15


def test_shapes_of_public_logs_read_back(tmp_path: Path) -> None:
    """D24: the same events come back from each shape."""
    simulation = simulate(Shape(users=12, items=40, events=30, categories=5))
    log = simulation.log
    numbers = sorted(zip((log.users.codes + 1).astype(str), (log.items.codes + 1).astype(str), log.timestamps,
                         strict=True))  # fmt: skip

    def rows(path: Path, **options: str) -> list[tuple[str, str, int]]:
        found = read_log(DataConfig(path=str(path), **options))  # type: ignore[arg-type]
        assert found.report.bad == 0
        return sorted(zip(found.users.values[found.users.codes], found.items.values[found.items.codes],
                          found.timestamps, strict=True))  # fmt: skip

    for name in ("UserBehavior.csv", "UserBehavior.csv.gz"):
        write_taobao(simulation, tmp_path / name)
        assert rows(tmp_path / name) == numbers
    first = (tmp_path / "UserBehavior.csv").read_text().splitlines()[0].split(",")
    assert len(first) == 5
    assert first[3] in BEHAVIORS
    categories = {category for _, category, _ in rows(tmp_path / "UserBehavior.csv", item="category")}
    assert categories <= {str(category) for category in range(5)}

    write_rsc15(simulation, tmp_path / "yoochoose-clicks.dat")
    sessions = rows(tmp_path / "yoochoose-clicks.dat")
    assert sorted(row[1:] for row in sessions) == sorted(row[1:] for row in numbers)
    assert len({row[0] for row in sessions}) > 12
    assert len(sessions) / len({row[0] for row in sessions}) > 2  # sessions have several events

    write_csv(simulation, tmp_path / "log.csv")
    config = RunConfig(data=DataConfig(path=str(tmp_path / "log.csv")))
    assert prepare(config, tmp_path / "run").before.events < len(log)
