from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from pocketrec.cloud.candidates import SOURCES, AlsModel, Candidates, build, fit_als, popular_rows, recall_ceiling
from pocketrec.cloud.config.candidates import CANDIDATE_METHODS, CandidatesConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.device.base.errors import ConfigError, DataError

ITEMS = 20


def sequences_of(histories: dict[str, list[int]]) -> Sequences:
    ids = np.array(sorted(histories), dtype=object)
    codes = np.repeat(np.arange(len(ids)), [len(histories[user]) for user in ids])
    items = np.array([item for user in ids for item in histories[user]], np.int64)
    return Sequences.build(ids, codes, items, np.arange(len(items)))


def two_tastes() -> Sequences:
    """Even users take even items, odd users odd ones, each all but a few."""
    rng = np.random.default_rng(0)
    return sequences_of(
        {f"u{i:02}": (2 * rng.choice(ITEMS // 2, 6, replace=False) + 2 - i % 2).tolist() for i in range(40)}
    )


class CandidateContract:
    """What holds for every source of candidates; a subclass names one."""

    name: str

    def config(self, k: int = 5) -> CandidatesConfig:
        return CandidatesConfig(method=self.name, k=k, factors=4, regularization=0.01, alpha=5.0)

    def test_one_set_of_k_different_items_a_user(self) -> None:
        before = two_tastes()
        sets = build(self.config(), before, ITEMS)
        assert sets.users.tolist() == before.users.tolist()
        assert sets.rows.shape == (40, 5)
        assert sets.rows.dtype == np.int32
        assert all(len(set(row)) == 5 and min(row) >= 1 and max(row) <= ITEMS for row in sets.rows.tolist())

    def test_new_users_get_popular_items(self) -> None:
        assert build(self.config(), two_tastes(), ITEMS).of("nobody").tolist() == [1, 2, 3, 4, 5]

    def test_equal_seeds_give_equal_sets_on_any_number_of_threads(self) -> None:
        one, two = (build(self.config(), two_tastes(), ITEMS, seed=3, threads=threads) for threads in (1, 2))
        np.testing.assert_array_equal(one.rows, two.rows)

    def test_seen_items_are_left_out_when_asked(self) -> None:
        before = two_tastes()
        sets = build(self.config(k=ITEMS), before, ITEMS, mask_seen=True)
        for user, row in zip(before.users, sets.rows, strict=True):
            seen = set(before.of(before.find(user))[0].tolist())
            left = row[row > 0].tolist()
            assert set(left) == set(range(1, ITEMS + 1)) - seen
            assert (row[len(left) :] == 0).all()

    def test_a_catalogue_smaller_than_k_is_padded(self) -> None:
        sets = build(self.config(k=30), two_tastes(), ITEMS)
        assert sorted(sets.rows[0].tolist()) == [0] * 10 + list(range(1, ITEMS + 1))
        assert (sets.rows[0][ITEMS:] == 0).all()
        assert sets.of("nobody").tolist() == list(range(1, ITEMS + 1)) + [0] * 10

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        sets = build(self.config(), two_tastes(), ITEMS)
        sets.save(tmp_path / "sets.npz")
        again = Candidates.load(tmp_path / "sets.npz")
        assert again.users.tolist() == sets.users.tolist()
        np.testing.assert_array_equal(again.rows, sets.rows)
        np.testing.assert_array_equal(again.of("nobody"), sets.of("nobody"))


class TestAls(CandidateContract):
    name = "als"

    def test_it_finds_the_taste(self) -> None:
        before = two_tastes()
        sets = build(self.config(k=10), before, ITEMS)
        right = [(row % 2 == (2 - i % 2) % 2).mean() for i, row in enumerate(sets.rows)]
        assert np.mean(right) > 0.95

    def test_sets_are_the_best_by_score(self) -> None:
        before = two_tastes()
        model = fit_als(self.config(), before, ITEMS, seed=1)
        sets = build(self.config(), before, ITEMS, als=model)
        scores = model.user_factors @ model.item_factors.T
        scores[:, 0] = -np.inf
        np.testing.assert_array_equal(sets.rows, np.argsort(-scores, 1, kind="stable")[:, :5])

    def test_ranking_goes_on_where_it_was_interrupted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pocketrec.cloud.candidates.als._BLOCK", 8)
        model = fit_als(self.config(), two_tastes(), ITEMS, seed=1)
        whole, file = model.top(5), tmp_path / "unfinished"

        def stop(done: int, total: int, note: str = "") -> None:
            if done == 24:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            model.top(5, unfinished=file, progress=stop)
        with open(file, "ab") as half:
            half.write(b"half a block")
        ranked: list[int] = []
        again = model.top(5, unfinished=file, progress=lambda done, total, note="": ranked.append(done))
        np.testing.assert_array_equal(again, whole)
        assert ranked == [32, 40]
        np.testing.assert_array_equal(model.top(5, unfinished=file), whole)  # all of it is there

    def test_sets_come_from_the_popular_head(self) -> None:
        config = dataclasses.replace(self.config(), head=7)
        sets = build(config, two_tastes(), ITEMS, mask_seen=True)
        assert sets.rows.max() <= 7
        whole = fit_als(config, two_tastes(), ITEMS, seed=1).top(ITEMS)
        ranked = build(dataclasses.replace(config, k=7), two_tastes(), ITEMS).rows
        assert all(row.tolist() == full[full <= 7].tolist() for row, full in zip(ranked, whole, strict=True))

    def test_equal_scores_are_in_the_order_of_popularity(self) -> None:
        factors = np.array([[0, 0], [1, 0], [2, 0], [1, 0], [2, 0], [1, 0], [2, 0]], np.float32)
        model = AlsModel(np.array(["a", "b"], object), np.array([[1, 0], [0, 1]], np.float32), factors)
        assert model.top(6).tolist() == [[2, 4, 6, 1, 3, 5], [1, 2, 3, 4, 5, 6]]
        assert model.top(4)[1].tolist() == [1, 2, 3, 4]

    def test_factors_saved_and_loaded_are_the_same(self, tmp_path: Path) -> None:
        model = fit_als(self.config(), two_tastes(), ITEMS, seed=1)
        model.save(tmp_path / "als.npz")
        again = AlsModel.load(tmp_path / "als.npz")
        np.testing.assert_array_equal(again.item_factors, model.item_factors)
        np.testing.assert_array_equal(again.factor("u07"), model.user_factors[7])
        assert again.factor("nobody") is None
        assert (again.item_factors[0] == 0).all()
        assert again.item_factors.shape == (ITEMS + 1, 4)

    def test_counts_weigh(self) -> None:
        histories = {"a": [1] * 30 + [2], "b": [1] * 30 + [3], "c": [2, 3, 4], "d": [4, 2]}
        model = fit_als(self.config(), sequences_of(histories), 4, seed=1)
        scores = model.user_factors @ model.item_factors.T
        assert scores[0, 1] > scores[0, 2]


class TestPopularity(CandidateContract):
    name = "popularity"

    def test_everybody_gets_the_same(self) -> None:
        rows = build(self.config(), two_tastes(), ITEMS).rows
        assert (rows == [1, 2, 3, 4, 5]).all()


def test_every_source_has_a_contract_test() -> None:
    assert {cls.name for cls in CandidateContract.__subclasses__()} == set(SOURCES)


def test_unknown_method() -> None:
    with pytest.raises(ConfigError, match="is not one of als, popularity"):
        CandidatesConfig(method="oracle")
    assert set(SOURCES) == set(CANDIDATE_METHODS)


def test_recall_ceiling_by_hand() -> None:
    sets = Candidates(np.array(["a", "b"], dtype=object), np.array([[1, 2], [3, 4]], np.int32), popular_rows(9, 2))
    after = sequences_of({"a": [1, 5, 2, 1], "b": [5], "z": [1, 3]})
    ceiling = recall_ceiling(sets, after)
    assert ceiling == {"all": 4 / 7, "old": 3 / 5, "new": 1 / 2}
    nobody = Candidates(sets.users[:0], sets.rows[:0], sets.popular)
    assert recall_ceiling(nobody, after)["all"] == 4 / 7
    late = recall_ceiling(sets, after, np.array([2, 1, 0]))
    assert late["all"] == 3 / 4
    assert late["old"] == 1
    assert math.isnan(recall_ceiling(sets, after, np.array([2, 1, 2]))["new"])


@pytest.mark.parametrize("cls", [Candidates, AlsModel])
def test_damaged_and_missing_files(tmp_path: Path, cls: type[Candidates] | type[AlsModel]) -> None:
    path = tmp_path / "file.npz"
    with pytest.raises(DataError, match="run `pocketrec candidates` first"):
        cls.load(path)
    path.write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match="run `pocketrec candidates` again"):
        cls.load(path)
    np.savez(path, other=np.zeros(1))
    with pytest.raises(DataError, match="run `pocketrec candidates` again"):
        cls.load(path)
