# SPDX-License-Identifier: Apache-2.0
"""What holds for every baseline, and what each of ours is."""

from __future__ import annotations

import dataclasses
import multiprocessing
import tomllib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pocketrec.cloud.baselines.als import Als
from pocketrec.cloud.baselines.baseline import Baseline, Past, popularity_scores
from pocketrec.cloud.baselines.files import load_baseline, load_baselines, load_class, save_baseline, save_index
from pocketrec.cloud.baselines.fitting import fit, fit_all, judged, options_of
from pocketrec.cloud.config.baselines import BASELINES, BaselinesConfig, label_of
from pocketrec.cloud.config.candidates import AlsOptions, CandidatesConfig
from pocketrec.cloud.config.knn import KnnConfig
from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.toml import to_toml
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.metrics import metrics
from pocketrec.device.base.errors import ConfigError, DataError

ITEMS = 20
CONFIG = RunConfig(candidates=CandidatesConfig(tables={"als": AlsOptions(factors=4)}))


def log_of(histories: dict[str, list[int]]) -> Sequences:
    ids = np.array(sorted(histories), dtype=object)
    codes = np.repeat(np.arange(len(ids)), [len(histories[user]) for user in ids])
    items = np.array([item for user in ids for item in histories[user]], np.int64)
    return Sequences.build(ids, codes, items, np.arange(len(items)))


def past() -> Past:
    rng = np.random.default_rng(0)
    return Past(log_of({f"ü{i:02}": rng.integers(0, ITEMS + 1, 8).tolist() for i in range(30)}), ITEMS, seed=3)


def order(scores: np.ndarray) -> list[int]:
    return [int(row) for row in np.argsort(-scores[1:], kind="stable") + 1]


def _scores_elsewhere(folder: Path, history: np.ndarray, user: str, queue: Any) -> None:
    queue.put({name: one.scores(history, user) for name, one in load_baselines(folder).items()})


class BaselineContract:
    """What holds for every baseline; a subclass names one."""

    name: ClassVar[str]
    histories: ClassVar[list[list[int]]] = [[], [0, 0], [3], [7, 3, 7, 0, 12], [20] * 9]

    def fitted(self) -> Baseline:
        found = fit(CONFIG, self.name, past())
        assert found is not None
        return found

    def test_one_finite_score_for_every_row(self) -> None:
        baseline = self.fitted()
        for history in self.histories:
            for user in ("ü07", "nobody"):
                scores = baseline.scores(np.array(history, np.int32), user)
                assert scores.shape == (ITEMS + 1,)
                assert scores.dtype == np.float32
                assert np.isfinite(scores[1:]).all()

    def test_equal_seeds_give_equal_arrays_on_any_number_of_threads(self) -> None:
        again = fit(CONFIG, self.name, dataclasses.replace(past(), threads=2))
        assert again is not None
        for key, array in self.fitted().arrays().items():
            np.testing.assert_array_equal(again.arrays()[key], array)

    def test_arrays_are_plain_and_restored_it_scores_alike(self, tmp_path: Path) -> None:
        baseline = self.fitted()
        assert all(array.dtype != object for array in baseline.arrays().values())
        save_index(tmp_path, {self.name: save_baseline(tmp_path, self.name, baseline)})
        mapped = load_baseline(tmp_path, self.name)
        for array in mapped.arrays().values():
            assert isinstance(array, np.ndarray)
        for history in self.histories:
            for user in ("ü07", "nobody"):
                given = np.array(history, np.int32)
                np.testing.assert_array_equal(mapped.scores(given, user), baseline.scores(given, user))

    def test_it_reads_what_it_says_that_it_reads(self) -> None:
        baseline = self.fitted()
        several = [np.array(history, np.int32) for history in self.histories]
        if not baseline.reads_history:
            assert all(np.array_equal(baseline.scores(h, "ü07"), baseline.scores(several[0], "ü07")) for h in several)
        if not baseline.reads_user:
            assert all(np.array_equal(baseline.scores(h, "ü07"), baseline.scores(h, "nobody")) for h in several)

    def test_many_users_at_once_score_as_one_by_one(self) -> None:
        baseline = self.fitted()
        histories = [np.array(history, np.int32) for history in self.histories]
        for users in (["ü01", "ü02", "nobody", "ü02", "ü29"], ["ü05"] * 5, ["ü00", "ü01", "ü02", "ü03", "ü04"]):
            found = baseline.many(histories, users)
            expected = np.stack([baseline.scores(h, user) for h, user in zip(histories, users, strict=True)])
            np.testing.assert_allclose(found[:, 1:], expected[:, 1:], rtol=1e-5, atol=1e-6)

    def test_the_history_that_is_given_stays_as_it_is(self) -> None:
        history = np.array([7, 3, 0, 12], np.int32)
        history.setflags(write=False)
        self.fitted().scores(history, "ü07")


class TestPopularity(BaselineContract):
    name = "popularity"

    def test_it_is_the_order_of_the_rows(self) -> None:
        assert order(popularity_scores(6)) == [1, 2, 3, 4, 5]
        assert order(self.fitted().scores(np.zeros(0, int))) == list(range(1, ITEMS + 1))


class TestRecentPopularity(BaselineContract):
    name = "recent_popularity"

    @pytest.mark.parametrize(
        ("share", "expected"), [(1.0, [1, 3, 2, 4, 5]), (0.5, [3, 2, 4, 1, 5]), (0.1, [4, 1, 2, 3, 5])]
    )
    def test_the_latest_events_count(self, share: float, expected: list[int]) -> None:
        """Of ten events the last five are 2, 3, 3, 3, 4; unknown ones (0) are passed over."""
        log = log_of({"a": [1, 1, 1, 1, 2, 0, 2, 3, 3, 3, 4, 0]})
        config = config_from_dict({"baselines": {"recent_popularity": {"share": share}}})
        found = fit(config, self.name, Past(log, 5))
        assert found is not None
        assert order(found.scores(np.zeros(0, int))) == expected

    def test_events_at_the_time_of_the_cut_are_all_counted(self) -> None:
        log = Sequences.build(np.array(["a"], object), np.zeros(4, int), np.array([1, 2, 3, 3]), np.array([1, 2, 2, 2]))
        config = config_from_dict({"baselines": {"recent_popularity": {"share": 0.25}}})
        found = fit(config, self.name, Past(log, 3))
        assert found is not None
        assert order(found.scores(np.zeros(0, int))) == [3, 2, 1]

    def test_an_empty_past_is_popularity(self) -> None:
        found = fit(CONFIG, self.name, Past(log_of({"a": [0]}), 3))
        assert found is not None
        assert order(found.scores(np.zeros(0, int))) == [1, 2, 3]

    def test_a_share_outside_0_to_1_is_refused(self) -> None:
        for share in (0.0, 1.5):
            with pytest.raises(ConfigError, match="recent_popularity"):
                config_from_dict({"baselines": {"recent_popularity": {"share": share}}})


class TestRecent(BaselineContract):
    name = "recent"

    def test_latest_first_then_popular_and_the_unknown_are_passed_over(self) -> None:
        found = load_class("recent").fit(None, Past(log_of({"a": [1]}), 5))
        assert found is not None
        assert order(found.scores(np.array([4, 3, 0, 4, 5, 3]))) == [3, 5, 4, 1, 2]
        assert order(found.scores(np.array([], dtype=np.int32))) == [1, 2, 3, 4, 5]

    def test_no_ties(self) -> None:
        scores = self.fitted().scores(np.array([2, 2, 7]))
        targets = np.arange(1, ITEMS + 1)
        tiled = np.repeat(scores[None], len(targets), axis=0)
        assert np.array_equal(metrics.ranks(tiled, targets, "worst"), metrics.ranks(tiled, targets, "best"))


class TestAls(BaselineContract):
    name = "als"

    def test_inner_products_and_popularity_for_users_that_it_does_not_know(self) -> None:
        from pocketrec.cloud.candidates import AlsModel

        items = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=np.float32)
        users = np.array(["a", "b", "ß", "𝄞"], dtype=object)
        factors = np.array([[1, 2], [2, 1], [0, 1], [-1, 0]], np.float32)
        found = Als.of(AlsModel(users, factors, items))
        assert [found.scores(np.zeros(0), user)[1:].tolist() for user in users] == [
            [1, 2, 3], [2, 1, 3], [0, 1, 1], [-1, 0, -1]
        ]  # fmt: skip
        assert all(order(found.scores(np.zeros(0), stranger)) == [1, 2, 3] for stranger in ("", "aa", "c", "ä", "𝄞𝄞"))
        assert found.model().users.tolist() == users.tolist()


class TestItemKnn(BaselineContract):
    name = "item_knn"

    def test_no_neighbours_switch_it_off(self) -> None:
        config = RunConfig(baselines=BaselinesConfig(knn=KnnConfig(neighbours=0)))
        assert "item_knn" not in fit_all(config, past(), ["popularity", "item_knn"])


def test_every_baseline_has_a_contract_test_and_says_what_it_is() -> None:
    assert {cls.name for cls in BaselineContract.__subclasses__()} == set(BASELINES)
    for name, choice in BASELINES.choices().items():
        assert issubclass(choice.load(), Baseline)
        assert choice.says
        assert label_of(name) != name
        if choice.options:
            assert isinstance(options_of(CONFIG, name), choice.options_class())


def test_all_are_judged_unless_the_configuration_names_some() -> None:
    assert list(judged(CONFIG, personal=True)) == list(BASELINES)
    assert list(judged(CONFIG, personal=False)) == [name for name in BASELINES if name != "als"]
    some = config_from_dict({"baselines": {"judged": ["recent", "als", "popularity"]}})
    assert list(judged(some, personal=True)) == ["popularity", "als", "recent"], "in the order of the table"
    with pytest.raises(ConfigError, match=r"baselines.judged 'oracle' is not known: it is one of popularity"):
        BaselinesConfig(judged=["oracle"])
    with pytest.raises(ConfigError, match="twice"):
        BaselinesConfig(judged=["als", "als"])


def test_the_table_of_the_configuration_is_read_back() -> None:
    config = config_from_dict({"baselines": {"judged": ["recent"], "recent_popularity": {"share": 0.5}}})
    assert config_from_dict(config.to_dict()) == config
    assert config_from_dict(tomllib.loads(to_toml(config))) == config
    with pytest.raises(ConfigError, match="table of its own"):
        BaselinesConfig(options={"als": {}})
    with pytest.raises(ConfigError, match="is not known"):
        BaselinesConfig(options={"mine": {}})


def test_another_process_maps_the_files_and_scores_alike(tmp_path: Path) -> None:
    fitted = fit_all(CONFIG, past(), BASELINES)
    save_index(tmp_path, {name: save_baseline(tmp_path, name, one) for name, one in fitted.items()})
    context = multiprocessing.get_context("spawn")
    queue, history = context.Queue(), np.array([3, 7, 3])
    process = context.Process(target=_scores_elsewhere, args=(tmp_path, history, "ü07", queue))
    process.start()
    found = queue.get(timeout=60)
    process.join()
    assert list(found) == list(BASELINES), "in the order of the table, however they were saved"
    for name, scores in found.items():
        np.testing.assert_array_equal(scores, fitted[name].scores(history, "ü07"))


def test_what_is_fitted_for_candidates_alone_is_not_judged(tmp_path: Path) -> None:
    """On sessions, or where ``[baselines] judged`` leaves ALS out, its factors may be there all the same."""
    fitted = fit_all(CONFIG, past(), ("popularity", "als"))
    names = {name: save_baseline(tmp_path, name, one) for name, one in fitted.items()}
    save_index(tmp_path, names, ["popularity"])
    assert list(load_baselines(tmp_path)) == ["popularity"]
    assert isinstance(load_baseline(tmp_path, "als"), Als)


def test_damaged_and_missing_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `pocketrec baselines` first"):
        load_baselines(tmp_path)
    (tmp_path / "baselines.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="pocketrec baselines"):
        load_baselines(tmp_path)
    save_index(tmp_path, {"popularity": save_baseline(tmp_path, "popularity", TestPopularity().fitted())})
    with pytest.raises(DataError, match="has no baseline als"):
        load_baseline(tmp_path, "als")
    assert list(load_baselines(tmp_path)) == ["popularity"]
    (tmp_path / "popularity" / "rows.npy").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="pocketrec baselines"):
        load_baselines(tmp_path)
    save_index(tmp_path, {"popularity": ["columns"]})
    with pytest.raises(DataError, match="pocketrec baselines"):
        load_baselines(tmp_path)


def test_the_docs_have_the_table() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = "\n".join(f"| `{name}` | {choice.label} | {choice.says} |" for name, choice in BASELINES.own.items())
    assert rows in page, f"docs/metrics.md, Baselines:\n{rows}"
