# SPDX-License-Identifier: Apache-2.0
"""What is held out and how it is ranked: item tables (F7), leave-one-out (F8), the leak (F9), both rankings (P10), logs
(F13), and that the test is read once (F14)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tastes import tastes_log

from pocketrec.cloud.base.runs import Run
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.data.log import Labels, Log
from pocketrec.cloud.data.readers import read_log
from pocketrec.cloud.federated.pfedrec import config as config_module
from pocketrec.cloud.federated.pfedrec import rounds, stages
from pocketrec.cloud.federated.pfedrec.central import fit_central
from pocketrec.cloud.federated.pfedrec.config import PFedRecConfig, PFedRecRun
from pocketrec.cloud.federated.pfedrec.data import TEST_FILE, load_split, load_test, save_split, split_log
from pocketrec.cloud.federated.pfedrec.evaluation import MEASURES, both_ranks, sampled_ranks, values
from pocketrec.cloud.federated.pfedrec.local import rank_alone, train_alone
from pocketrec.cloud.federated.pfedrec.sampling import Sampler, forbidden_items
from pocketrec.cloud.metrics.metrics import hits
from pocketrec.device.base.errors import DataError

LOG = tastes_log(users=40, items=400, events=20)
CONFIG = PFedRecConfig(latent=4, batch=32, eta=4.0, rounds=4, share=0.5)


def _trained(folder: Path) -> tuple[Any, rounds.Trace]:
    split, _ = split_log(LOG, 1)
    return split, rounds.train(CONFIG, split, Sampler(split, forbidden_items(split, "strict"), 4), folder, seed=2)


def test_f7_own_shared_and_random_users_tables_score_as_their_tables_say(tmp_path: Path) -> None:
    split, trace = _trained(tmp_path)
    state, clients = trace.state, len(split)
    heads, bias = state.heads.weights, state.heads.bias
    tables = np.stack([state.table_of(client) for client in range(clients)])  # (U, N, E)
    own = np.einsum("une,ue->un", tables, heads) + bias[:, None]
    assert np.concatenate([state.own(0, 7), state.own(7, clients)]) == pytest.approx(own, abs=1e-4)
    assert state.shared(0, clients) == pytest.approx(heads @ state.table.T + bias[:, None], abs=1e-5)
    every = np.einsum("vne,ue->uvn", tables, heads) + bias[:, None, None]
    found = state.random_user(5)(0, clients)
    used = [int(np.abs(every[user] - found[user]).max(axis=1).argmin()) for user in range(clients)]
    assert found == pytest.approx(every[np.arange(clients), used], abs=1e-4)
    sampled = np.flatnonzero(state.latest >= 0)
    assert all(np.abs(tables[used[user]] - tables[user]).max() > 0 for user in sampled), "somebody got the own table"
    assert len({used[user] for user in sampled}) > len(sampled) / 3
    heads_of_others = state.random_head(5)(0, clients)
    apart = np.abs((heads @ state.table.T)[:, None] - heads_of_others[None]).max(axis=2)  # (U, U)
    assert apart.min(axis=0).max() < 1e-5
    assert all(apart[user, user] > 1e-3 for user in sampled)


def test_f8_the_last_event_is_the_test_and_the_one_before_validation() -> None:
    split, test = split_log(LOG, 1)
    for place, user in enumerate(split.users):
        mine = LOG.users.values[LOG.users.codes] == user
        order = np.argsort(LOG.timestamps[mine])
        items = LOG.items.codes[mine][order]
        numbers = [*split.train[split.offsets[place] : split.offsets[place + 1]], split.validation[place],
                   test.targets[place]]  # fmt: skip
        assert len(numbers) == len(items)
        for number, item in zip(numbers, items, strict=True):
            assert _NAMES.setdefault(int(item), int(number)) == number
    assert len(set(_NAMES.values())) == len(_NAMES) == split.items
    counts = np.bincount(split.train, minlength=split.items)
    assert (np.diff(counts) <= 0).all(), "items are numbered by popularity in training"


_NAMES: dict[int, int] = {}


def test_f8_users_of_fewer_than_three_events_are_left_out() -> None:
    kept = np.concatenate([np.full(12, user) for user in range(30)])
    rng = np.random.default_rng(1)
    items = np.concatenate([rng.choice(400, 12, replace=False) for _ in range(30)] + [np.array([1, 2])])
    users = np.append(kept, [30, 30])
    split, _ = split_log(Log(_labels(users), _labels(items), np.arange(len(users))), 1)
    assert (len(split), split.dropped) == (30, 1)
    with pytest.raises(DataError, match=r"no user of .* has 3 events"):
        split_log(Log(_labels(np.array([1, 1, 2])), _labels(np.array([1, 2, 3])), np.arange(3)), 1)


def _labels(codes: np.ndarray) -> Labels:
    values = np.empty(int(codes.max()) + 1, dtype=object)
    values[:] = [f"x{number:04d}" for number in range(len(values))]
    return Labels(values, codes.astype(np.int32))


def test_f8_the_99_negatives_are_untouched_and_those_of_the_test_are_others() -> None:
    split, test = split_log(LOG, 1)
    touched = forbidden_items(split, "paper", test)
    assert split.negatives.shape == test.negatives.shape == (len(split), 99)
    for place in range(len(split)):
        both = np.concatenate([split.negatives[place], test.negatives[place]])
        assert len(set(both.tolist())) == 198
        assert not touched[place, both].any()
    assert np.array_equal(split_log(LOG, 1)[1].negatives, test.negatives)
    assert not np.array_equal(split_log(LOG, 2)[1].negatives, test.negatives)


def test_a_log_of_too_few_items_is_refused() -> None:
    with pytest.raises(DataError, match="198 untouched ones are needed"):
        split_log(tastes_log(users=40, items=200, events=20), 1)


def _scores(table: np.ndarray) -> Any:
    return lambda first, last: table[first:last]


def test_p10_sampled_and_full_ranks_are_those_counted_by_hand() -> None:
    scores = np.array([[5, 4, 3, 2, 1, 0], [0, 1, 1, 1, 5, 6], [1, 1, 1, 1, 1, np.nan]], np.float32)
    targets, negatives = np.array([2, 2, 0]), np.array([[0, 3], [1, 4], [1, 5]])
    seen = np.zeros((3, 6), dtype=bool)
    seen[0, 0] = seen[1, 4] = True
    sampled, full = both_ranks(_scores(scores), targets, negatives, None)
    assert sampled.tolist() == [2, 3, 3]
    assert full.tolist() == [3, 5, 6]
    assert both_ranks(_scores(scores), targets, negatives, seen)[1].tolist() == [2, 4, 6]
    seen[2, 0] = True
    assert both_ranks(_scores(scores), targets, negatives, seen)[1].tolist() == [2, 4, np.inf]
    assert sampled_ranks(_scores(scores), targets, negatives).tolist() == [2, 3, 3]


def test_p10_the_measures_name_their_ranking() -> None:
    found = values(np.array([1.0, 10, 11]), np.array([1.0, 20, np.inf]))
    assert tuple(found) == MEASURES == ("hr@10", "ndcg@10", "recall@20", "mrr@20", "ndcg@20")
    assert found["hr@10"].tolist() == [1, 1, 0]
    assert found["ndcg@10"] == pytest.approx([1, 1 / np.log2(11), 0])
    assert found["recall@20"].tolist() == [1, 1, 0]
    assert found["mrr@20"] == pytest.approx([1, 1 / 20, 0])


@pytest.fixture(scope="module")
def leak(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Test HR@10 of sampling and table, each at its best validation round."""
    split, test = split_log(tastes_log(users=300, items=320, events=30), 1)
    config = PFedRecConfig(latent=8, batch=64, rounds=25)
    found = {}
    for sampling in ("strict", "paper"):
        folder = tmp_path_factory.mktemp(sampling)
        sampler = Sampler(split, forbidden_items(split, sampling, test), 4)
        trace = rounds.train(config, split, sampler, folder, seed=1)
        for table in rounds.JUDGED:
            scores = getattr(trace.best[table], table)
            found[f"{sampling}/{table}"] = float(hits(sampled_ranks(scores, test.targets, test.negatives), 10).mean())
        alone = train_alone(config, split, sampler, folder, seed=1)
        ranks, _ = rank_alone(config, split, sampler, test, None, alone.best_round, seed=1)
        found[f"{sampling}/local"] = float(hits(ranks, 10).mean())
    return found


def test_f9_local_only_inflates_with_the_papers_negatives_and_not_with_strict_ones(leak: dict[str, float]) -> None:
    assert leak["paper/local"] >= 0.99
    assert leak["strict/local"] <= 0.13


def test_f9_own_tables_gain_with_the_papers_negatives_and_lose_with_strict_ones(leak: dict[str, float]) -> None:
    assert leak["paper/own"] > leak["paper/shared"]
    assert leak["strict/own"] < leak["strict/shared"] - 0.05
    assert leak["strict/shared"] > 0.5


SHAPES = {
    "ml-100k": ("u.data", "{user}\t{item}\t4\t{time}\n", {}),
    "ml-1m": ("ratings.dat", "{user}::{item}::4::{time}\n", {}),
    "lastfm": ("ratings.dat", "{user},{item},13883,{time}\n", {}),
    "lastfm of HetRec": ("user_taggedartists-timestamps.dat", "{user}\t{item}\t52\t{time}\n",
                         {"head": "userID\tartistID\ttagID\ttimestamp\n", "user": "userID", "item": "artistID",
                          "format": "tsv"}),
    "amazon": ("ratings_Video_Games.csv", "A{user}X,B00{item},5.0,{time}\n", {}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_f13_logs_of_every_shape_are_split_alike(tmp_path: Path, shape: str) -> None:
    name, row, options = SHAPES[shape]
    names = {key: value for key, value in options.items() if key != "head"}
    columns = zip(LOG.users.codes.tolist(), LOG.items.codes.tolist(), LOG.timestamps.tolist(), strict=True)
    rows = [row.format(user=user + 1, item=item + 1, time=1_100_000_000 + time) for user, item, time in columns]
    (tmp_path / name).write_text(options.get("head", "") + "".join(rows), encoding="utf-8")
    log = read_log(DataConfig(path=str(tmp_path / name), max_bad_share=0.0, **names))
    found, reference = split_log(log, 1)[0], split_log(LOG, 1)[0]
    assert (len(found), found.items) == (len(reference), reference.items)
    assert sorted(found.lengths.tolist()) == sorted(reference.lengths.tolist())


def test_f13_the_engine_imports_numpy_and_nothing_that_needs_a_gpu() -> None:
    imported = set()
    for path in Path(config_module.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert "numpy" in imported
    assert imported - set(sys.stdlib_module_names) == {"numpy", "pocketrec"}


def test_f14_the_round_is_that_of_the_best_validation(tmp_path: Path) -> None:
    split, trace = _trained(tmp_path)
    for place, table in enumerate(rounds.JUDGED):
        curve = trace.curve[:, place].tolist()
        number = trace.best_round(table)
        assert curve[number] == max(curve)
        assert max(curve) not in curve[number + 1 :]
        scores = getattr(trace.best[table], table)
        again = float(hits(sampled_ranks(scores, split.validation, split.negatives), 10).mean())
        assert again == curve[number]


def test_f14_training_does_not_open_the_test(tmp_path: Path) -> None:
    """With strict negatives every stage before `test` works, to the same bits, where there is no test file at all."""
    config = PFedRecRun(pfedrec=PFedRecConfig(latent=4, rounds=2, central_epochs=2, noise_sweep=[0.1], int8_too=True))
    for name in ("with", "without"):
        split, test = split_log(LOG, 1)
        save_split(tmp_path / name, split, test)
        if name == "without":
            (tmp_path / name / TEST_FILE).unlink()
        for stage in (stages.train, stages.sweep, stages.alone, stages.central):
            stage(Run(config, tmp_path / name, label=stage.__name__))
    files = [path.relative_to(tmp_path / "without") for path in (tmp_path / "without").rglob("*.npz")]
    assert len(files) > 5
    for file in files:
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes()
    with pytest.raises(DataError, match=r"test\.npz"):
        load_test(tmp_path / "without")


def test_a_split_comes_back_from_its_files(tmp_path: Path) -> None:
    split, test = split_log(LOG, 1)
    save_split(tmp_path, split, test)
    found = load_split(tmp_path)
    assert found.users.tolist() == split.users.tolist()
    for name in ("offsets", "train", "times", "validation", "negatives"):
        assert np.array_equal(getattr(found, name), getattr(split, name))
    assert (found.items, found.dropped, found.repeats) == (split.items, 0, 0)
    assert np.array_equal(load_test(tmp_path).targets, test.targets)


def test_centralised_factorisation_learns_the_tastes_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    split, test = split_log(tastes_log(users=150, items=320, events=30), 1)
    sampler = Sampler(split, forbidden_items(split, "strict"), 4)
    config = PFedRecConfig(latent=8, central_epochs=30, central_learning_rate=0.2)
    whole = fit_central(config, split, sampler, tmp_path / "whole", seed=1)
    short = PFedRecConfig(latent=8, central_epochs=5, central_learning_rate=0.2)
    fit_central(short, split, sampler, tmp_path / "parts", seed=1)
    parts = fit_central(config, split, sampler, tmp_path / "parts", seed=1)
    assert np.array_equal(whole.users, parts.users)
    assert np.array_equal(whole.curve, parts.curve)
    assert hits(sampled_ranks(whole.scores, test.targets, test.negatives), 10).mean() > 0.4
