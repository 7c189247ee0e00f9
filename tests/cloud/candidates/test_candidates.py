# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.candidates import AlsModel, Candidates, Past, build, fit_als, popular_rows, recall_ceiling
from pocketrec.cloud.config.candidates import CANDIDATES, AlsOptions, CandidatesConfig, FileOptions, MixOptions
from pocketrec.cloud.config.export import ExportConfig, LeanConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.vocabulary import Vocabulary
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
    options: Any = None
    """Small ones; None where the source has none."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def config(self, k: int = 5) -> CandidatesConfig:
        tables = {} if self.options is None else {self.name: self.options}
        return CandidatesConfig(method=self.name, k=k, tables=tables)

    def past(self, before: Sequences, **more: Any) -> Past:
        return Past(before, ITEMS, Vocabulary([f"i{row}" for row in range(1, ITEMS + 1)]), **more)

    def sets(self, before: Sequences, k: int = 5, **more: Any) -> Candidates:
        return build(self.config(k), self.past(before, **more))

    def test_one_set_of_k_different_items_a_user(self) -> None:
        before = two_tastes()
        sets = self.sets(before)
        assert sets.users.tolist() == before.users.tolist()
        assert sets.rows.shape == (40, 5)
        assert sets.rows.dtype == np.int32
        assert all(len(set(row)) == 5 and min(row) >= 1 and max(row) <= ITEMS for row in sets.rows.tolist())

    def test_new_users_get_popular_items(self) -> None:
        assert self.sets(two_tastes()).of("nobody").tolist() == [1, 2, 3, 4, 5]

    def test_equal_seeds_give_equal_sets_on_any_number_of_threads(self) -> None:
        one, two = (self.sets(two_tastes(), seed=3, threads=threads) for threads in (1, 2))
        np.testing.assert_array_equal(one.rows, two.rows)

    def test_seen_items_are_left_out_when_asked(self) -> None:
        before = two_tastes()
        sets = self.sets(before, ITEMS, mask_seen=True)
        for user, row in zip(before.users, sets.rows, strict=True):
            seen = set(before.of(before.find(user))[0].tolist())
            left = row[row > 0].tolist()
            assert set(left) == set(range(1, ITEMS + 1)) - seen
            assert (row[len(left) :] == 0).all()

    def test_a_catalogue_smaller_than_k_is_padded(self) -> None:
        sets = self.sets(two_tastes(), 30)
        assert sorted(sets.rows[0].tolist()) == [0] * 10 + list(range(1, ITEMS + 1))
        assert (sets.rows[0][ITEMS:] == 0).all()
        assert sets.of("nobody").tolist() == list(range(1, ITEMS + 1)) + [0] * 10

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        sets = self.sets(two_tastes())
        sets.save(tmp_path / "sets.npz")
        again = Candidates.load(tmp_path / "sets.npz")
        assert again.users.tolist() == sets.users.tolist()
        np.testing.assert_array_equal(again.rows, sets.rows)
        np.testing.assert_array_equal(again.of("nobody"), sets.of("nobody"))


class TestAls(CandidateContract):
    name = "als"
    options = AlsOptions(factors=4, regularization=0.01, alpha=5.0)

    @pytest.mark.feature("D10")
    def test_it_finds_the_taste(self) -> None:
        before = two_tastes()
        sets = self.sets(before, 10)
        right = [(row % 2 == (2 - i % 2) % 2).mean() for i, row in enumerate(sets.rows)]
        assert np.mean(right) > 0.95

    def test_sets_are_the_best_by_score(self) -> None:
        before = two_tastes()
        model = fit_als(self.options, before, ITEMS, seed=1)
        sets = self.sets(before, als=model)
        scores = model.user_factors @ model.item_factors.T
        scores[:, 0] = -np.inf
        np.testing.assert_array_equal(sets.rows, np.argsort(-scores, 1, kind="stable")[:, :5])

    def test_ranking_goes_on_where_it_was_interrupted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pocketrec.cloud.candidates.als._BLOCK", 8)
        model = fit_als(self.options, two_tastes(), ITEMS, seed=1)
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
        self.options = dataclasses.replace(self.options, head=7)
        assert self.sets(two_tastes(), mask_seen=True).rows.max() <= 7
        whole = fit_als(self.options, two_tastes(), ITEMS, seed=1).top(ITEMS)
        ranked = self.sets(two_tastes(), 7).rows
        assert all(row.tolist() == full[full <= 7].tolist() for row, full in zip(ranked, whole, strict=True))

    def test_equal_scores_are_in_the_order_of_popularity(self) -> None:
        factors = np.array([[0, 0], [1, 0], [2, 0], [1, 0], [2, 0], [1, 0], [2, 0]], np.float32)
        model = AlsModel(np.array(["a", "b"], object), np.array([[1, 0], [0, 1]], np.float32), factors)
        assert model.top(6).tolist() == [[2, 4, 6, 1, 3, 5], [1, 2, 3, 4, 5, 6]]
        assert model.top(4)[1].tolist() == [1, 2, 3, 4]

    def test_factors_saved_and_loaded_are_the_same(self, tmp_path: Path) -> None:
        model = fit_als(self.options, two_tastes(), ITEMS, seed=1)
        model.save(tmp_path / "als.npz")
        again = AlsModel.load(tmp_path / "als.npz")
        np.testing.assert_array_equal(again.item_factors, model.item_factors)
        np.testing.assert_array_equal(again.factor("u07"), model.user_factors[7])
        assert again.factor("nobody") is None
        assert (again.item_factors[0] == 0).all()
        assert again.item_factors.shape == (ITEMS + 1, 4)

    def test_counts_weigh(self) -> None:
        histories = {"a": [1] * 30 + [2], "b": [1] * 30 + [3], "c": [2, 3, 4], "d": [4, 2]}
        model = fit_als(self.options, sequences_of(histories), 4, seed=1)
        scores = model.user_factors @ model.item_factors.T
        assert scores[0, 1] > scores[0, 2]


class TestPopularity(CandidateContract):
    name = "popularity"

    def test_everybody_gets_the_same(self) -> None:
        assert (self.sets(two_tastes()).rows == [1, 2, 3, 4, 5]).all()


class TestEmbedding(CandidateContract):
    """By a model that nothing has trained: what counts is that its order is kept."""

    name = "embedding"

    @pytest.fixture(autouse=True)
    def _model(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        from pocketrec.cloud.backbones import build_model, save_model
        from pocketrec.cloud.config.model import GruOptions, ModelConfig

        config = ModelConfig(embedding=4, window=6, tables={"gru": GruOptions(hidden=4, layers=1)})
        self.model = build_model(config, ITEMS, 1)
        self.saved = tmp_path_factory.mktemp("model") / "model.keras"
        save_model(self.model, self.saved)

    def past(self, before: Sequences, **more: Any) -> Past:
        return super().past(before, model=self.saved, window=6, **more)

    def test_sets_are_the_best_by_inner_product(self) -> None:
        from pocketrec.cloud.backbones import item_embeddings

        before = two_tastes()
        sets = self.sets(before)
        for user in range(0, len(before), 3):
            window = before.of(user)[0][-6:][None].astype(np.int32)
            scores = item_embeddings(self.model) @ np.asarray(self.model(window))[0, -1]
            scores[0] = -np.inf
            assert sets.rows[user].tolist() == np.argsort(-scores, kind="stable")[:5].tolist()

    def test_without_a_model_it_says_what_is_missing(self) -> None:
        with pytest.raises(ConfigError, match="want the trained model"):
            build(self.config(), CandidateContract.past(self, two_tastes()))


class TestMix(TestEmbedding, CandidateContract):
    name = "mix"
    options = MixOptions(shares={"embedding": 0.5, "popularity": 0.5})

    def test_sets_are_the_best_by_inner_product(self) -> None:
        """Each source's best in turn, what one has brought left out of the other."""
        before = two_tastes()
        own = build(CandidatesConfig(method="embedding", k=5), self.past(before)).rows
        for row, first in zip(self.sets(before).rows.tolist(), own.tolist(), strict=True):
            turns = [item for pair in zip(first, [1, 2, 3, 4, 5], strict=True) for item in pair]
            assert row == list(dict.fromkeys(turns))[:5]


class TestFile(CandidateContract):
    name = "file"

    def config(self, k: int = 5) -> CandidatesConfig:
        """Of every user, a score for every item: better the nearer to the user's number."""
        rows = [f"u{user:02},i{item},{-abs(item - user % ITEMS - 1) / 7}" for user in range(40)
                for item in range(1, ITEMS + 1)]  # fmt: skip
        return self.of(["user,item,score", *rows], k)

    def of(self, lines: list[str], k: int = 5, name: str = "sets.csv") -> CandidatesConfig:
        (self.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        options = FileOptions(path=str(self.folder / name))
        return CandidatesConfig(method="file", k=k, tables={"file": options})

    def test_the_k_of_highest_score_are_taken_best_first(self) -> None:
        assert self.sets(two_tastes(), 3).rows[9].tolist() == [10, 9, 11], "of equal scores the more popular one first"

    def test_unknown_ids_are_counted_and_users_without_a_row_get_popular_items(self) -> None:
        lines = ["u00,i3,1e-3", "u00,i5,2", "u00,i5,.5", "u00,new,9", "who,i1,1", "who,i2,1", "u01,,4"]
        told: list[str] = []
        sets = build(self.of(["user,item,score", *lines], 3), self.past(two_tastes(), say=told.append))
        assert sets.rows[0].tolist() == [5, 3, 0], "a pair that stands there twice counts once"
        assert sets.rows[1].tolist() == [1, 2, 3]
        assert [line.partition(": ")[2] for line in told] == [
            "rows left out: 1 that cannot be read",
            "rows left out: 2 of users that the log does not have before the cut-off (number of users: 1)",
            "rows left out: 1 of items that the log does not have before the cut-off (number of items: 1)",
            "39 of 40 users have no row and get popular items",
        ]

    @pytest.mark.parametrize("name", ["sets.tsv", "sets.parquet", "sets.csv.gz"])
    def test_other_formats_give_the_same(self, name: str) -> None:
        pandas = pytest.importorskip("pandas")
        config = self.config()
        table = pandas.read_csv(self.folder / "sets.csv")
        if name.endswith("parquet"):
            pytest.importorskip("pyarrow")
            table.to_parquet(self.folder / name)
        else:
            table.to_csv(self.folder / name, sep="\t" if "tsv" in name else ",", index=False)
        other = config.with_options("file", path=str(self.folder / name))
        past = self.past(two_tastes())
        np.testing.assert_array_equal(build(other, past).rows, build(config, past).rows)

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["user,item", "u00,i1"], r"has no column 'score' \(it has user, item\): set candidates.file.score"),
            (["who,item,score", "u00,i1,3"], r"has no column 'user' .*: set candidates.file.user to"),
            (["user,item,score"], "no row with a user, an item and a score: name another file"),
            (["user,item,score", "x,y,1"], "none of its 1 rows names a user and an item that the log has"),
            ([""], "is empty"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_one_line(self, lines: list[str], message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            build(self.of(lines), self.past(two_tastes()))
        assert "\n" not in str(caught.value)
        assert "data." not in str(caught.value)

    def test_a_missing_file_or_column_is_told_early_and_another_file_is_another_key(self) -> None:
        config = self.config()
        before = config.outside()
        self.of(["user,item,score", "u00,i1,3"])
        assert config.outside() != before
        with pytest.raises(DataError, match=r"no file .*: correct candidates\.file\.path"):
            config.with_options("file", path=str(self.folder / "none.csv")).outside()
        with pytest.raises(DataError, match=r"set candidates\.file\.score"):
            config.with_options("file", score="weight").outside()
        with pytest.raises(ConfigError, match="method file needs `path`"):
            CandidatesConfig(method="file")


def test_every_source_has_a_contract_test() -> None:
    assert {cls.name for cls in CandidateContract.__subclasses__()} | {"none"} == set(CANDIDATES)


def test_method_none_has_a_set_for_nobody() -> None:
    before = two_tastes()
    sets = build(CandidatesConfig(method="none", k=5), Past(before, ITEMS))
    assert (len(sets.users), sets.rows.shape, sets.popular.tolist()) == (0, (0, 5), [1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("tables", "message"),
    [({}, "set export.retrieve, such as 200"), ({"export": {"retrieve": 20}, "lean": {"enabled": True}}, "lean")],
)
def test_method_none_needs_devices_that_search_and_no_lean_bundle(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(
            candidates=CandidatesConfig(method="none"), export=ExportConfig(**tables.get("export", {})),
            lean=LeanConfig(**tables.get("lean", {})),
        )  # fmt: skip
    RunConfig(candidates=CandidatesConfig(method="none"), export=ExportConfig(retrieve=20))


def test_unknown_method() -> None:
    with pytest.raises(ConfigError, match="is not one of als, popularity, embedding, mix, file, none"):
        CandidatesConfig(method="oracle")


@pytest.mark.feature("D10")
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
