# SPDX-License-Identifier: Apache-2.0
"""P11, P12: what a task's rows are, that a user is in one part only, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketrec.cloud.config.load import build_config
from pocketrec.cloud.config.transfer import SplitShares, TransferRun, load_transfer
from pocketrec.cloud.transfer.baselines import baseline_scores, joint_rows
from pocketrec.cloud.transfer.rows import Rows, assert_disjoint, load_task, load_test, save_task
from pocketrec.cloud.transfer.tasks import make_task, read_source, split_users
from pocketrec.device.base.errors import ConfigError, DataError

USERS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log and a file of users: user u views v(u), v(u + 1), .. and buys what it has just viewed."""
    folder = tmp_path_factory.mktemp("log")
    rows = ["user,item,timestamp,behavior"]
    for user in range(USERS):
        rows.append(f"u{user},x,0,buy")  # before any view: no source
        for step in range(6):
            rows.append(f"u{user},v{(user + step) % 9},{10 * step + 1},pv")
            if step % 2:
                rows.append(f"u{user},v{(user + step) % 9},{10 * step + 1},buy")  # that view is not seen
                rows.append(f"u{user},b{user % 4},{10 * step + 2},buy")
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    users = ["user,gender,age", *(f"u{user},{'MF'[user % 3 == 0]},{user % 2}" for user in range(USERS)), "stranger,M,1"]
    (folder / "users.csv").write_text("\n".join(users) + "\n")
    return folder


def config_of(folder: Path, tasks: dict[str, Any], **more: Any) -> TransferRun:
    tables = {
        "data": {"path": str(folder / "log.csv")}, "model": {"window": 4},
        "transfer": {"source": {"keep": {"behavior": ["pv"]}}, "task": tasks, **more},
    }  # fmt: skip
    return build_config(TransferRun, tables)


BUYS = {"buys": {"keep": {"behavior": ["buy"]}}}


def test_a_row_is_a_target_and_the_views_strictly_before_it(folder: Path, tmp_path: Path) -> None:
    config = config_of(folder, BUYS)
    source = read_source(config)
    assert source.sequences.events == 6 * USERS
    task, test = make_task(config, "buys", source)
    assert task.left_out == {"no source event before the target": USERS}
    assert len(task.train) + len(task.validation) + len(test) == 6 * USERS
    mine = np.flatnonzero(task.train.users == task.order[0])
    user = int(task.order[0][1:])
    seen = [[source.vocabulary.ids[row - 1] for row in window[window > 0]] for window in task.train.windows[mine]]
    told = [task.ids[target - 1] for target in task.train.targets[mine]]
    views = [f"v{(user + step) % 9}" for step in range(6)]
    assert list(zip(told, seen, strict=True)) == [
        (views[1], views[:1]), (f"b{user % 4}", views[:2]), (views[3], views[:3]), (f"b{user % 4}", views[:4]),
        (views[5], views[1:5]), (f"b{user % 4}", views[2:6]),
    ]  # fmt: skip
    counts = np.bincount(task.train.targets, minlength=len(task.ids) + 1)[1:]
    assert (np.diff(counts) <= 0).all(), "rows are in the order of popularity among training users"
    save_task(tmp_path, task, test)
    again, opened = load_task(tmp_path, "buys"), load_test(tmp_path, "buys")
    for one, other in ((task.train, again.train), (task.validation, again.validation), (test, opened)):
        assert (one.users == other.users).all()
        assert (one.windows == other.windows).all()
        assert (one.targets == other.targets).all()
    assert (again.ids, again.order, again.left_out, again.kind) == (task.ids, task.order, task.left_out, "items")


def test_users_are_wholly_in_one_part_and_in_the_same_one_of_every_task(folder: Path) -> None:
    config = config_of(folder, BUYS | {"gender": {"kind": "profile", "path": "users.csv", "column": "gender"}})
    source, where = read_source(config), {}
    for name in config.transfer.task:
        task, test = make_task(config, name, source)
        for part, rows in (("train", task.train), ("validation", task.validation), ("test", test)):
            for user in rows.users:
                assert where.setdefault(user, part) == part
    assert sorted(np.unique(list(where.values()), return_counts=True)[1].tolist()) == [4, 8, 28]
    assert split_users(reversed(list(where)), SplitShares(), config.seed) == where
    assert split_users(where, SplitShares(), 2) != where


def test_a_shared_user_is_refused_by_name() -> None:
    rows = [Rows(np.array(users, object), np.zeros((2, 1), np.int32), np.ones(2, np.int32))
            for users in (["a", "b"], ["c", "b"])]  # fmt: skip
    assert_disjoint({"train": rows[0], "test": rows[0].take(np.zeros(2, bool))})
    with pytest.raises(DataError, match="user 'b' is in train and in test"):
        assert_disjoint({"train": rows[0], "test": rows[1]})


def test_classes_are_a_column_and_training_users_may_give_several_windows(folder: Path) -> None:
    profile = {"gender": {"kind": "profile", "path": "users.csv", "column": "gender"}}
    config = config_of(folder, profile, windows=2)
    source = read_source(config)
    task, test = make_task(config, "gender", source)
    assert task.ids == ["M", "F"], "the majority first"
    assert [len(task.train), len(task.validation), len(test)] == [56, 4, 8]
    for user, target in zip(test.users, test.targets, strict=True):
        assert task.ids[target - 1] == "MF"[int(user[1:]) % 3 == 0]
    both = task.train.windows[task.train.users == task.order[0]]
    assert (both > 0).sum(1).tolist() == [4, 2], "the latest four of six events, and the two before them"
    scores = baseline_scores(config, task, source.sequences, source.vocabulary, test)
    assert list(scores) == ["majority"]
    assert (scores["majority"][:, 1:].argmax(1) == 0).all()


def test_few_users_are_the_first_of_one_order(folder: Path) -> None:
    task, _ = make_task(config_of(folder, BUYS), "buys", read_source(config_of(folder, BUYS)))
    few, more = (set(task.train.of_first_users(task.order, count).users) for count in (3, 9))
    assert (len(few), len(more)) == (3, 9)
    assert few < more
    assert task.train.of_first_users(task.order, 0) is task.train


def test_baselines_know_source_events_and_training_targets_alone(folder: Path) -> None:
    config = config_of(folder, BUYS)
    source = read_source(config)
    task, test = make_task(config, "buys", source)
    joint = joint_rows(source.vocabulary, task.ids)
    for row, item in enumerate(source.vocabulary.ids, 1):
        assert task.ids[joint[row] - 1] == item, "here every viewed item is also bought"
    scores = baseline_scores(config, task, source.sequences, source.vocabulary, test)
    latest = [joint[window[window > 0][-1]] for window in test.windows]
    assert (scores["recent"][:, 1:].argmax(1) + 1 == latest).all()
    other = Rows(test.users, test.windows, np.roll(test.targets, 1))
    again = baseline_scores(config, task, source.sequences, source.vocabulary, other)
    assert all((scores[name] == again[name]).all() for name in ("popularity", "recent", "item_knn"))


def test_files_of_lists_make_a_task_without_a_log(tmp_path: Path) -> None:
    (tmp_path / "pretrain.csv").write_text("".join(f"{i},{i + 1},{i + 2}\n" for i in range(20)))
    lines = [*(f"{i},odd,{i + 1},,t{i % 3},t{i % 2}" for i in range(20)), "odd,,t1"]
    (tmp_path / "tune.csv").write_text("\n".join(lines))
    tables = {"model": {"window": 3}, "transfer": {
        "source": {"path": str(tmp_path / "pretrain.csv")}, "task": {"lists": {"path": str(tmp_path / "tune.csv")}},
    }}  # fmt: skip
    config = build_config(TransferRun, tables)
    task, test = make_task(config, "lists", read_source(config))
    assert (len(task.train), len(task.validation), len(test)) == (28, 4, 8)
    assert task.left_out == {"no source item that the backbone knows": 1}
    assert sorted(task.ids) == ["t0", "t1", "t2"]
    assert set((task.train.windows > 0).sum(1).tolist()) == {2}, "items that the backbone does not know are passed over"
    (tmp_path / "tune.csv").write_text("odd,,t1\nodd,,t2\n")
    with pytest.raises(DataError, match="the backbone knows no source item of the task's file"):
        make_task(config, "lists", read_source(config))


@pytest.mark.parametrize(
    ("tasks", "more", "message"),
    [
        ({"t": {"kind": "profile", "path": "users.csv", "column": "name"}}, {}, "has no column 'name': it has user"),
        ({"t": {"kind": "profile", "path": "none.csv", "column": "age"}}, {}, "cannot read .*none.csv"),
        ({"t": {"keep": {"behavior": ["cart"]}}}, {}, "no event|no row|keep"),
        (BUYS, {"split": {"test": 0.2, "validation": 0.001}}, "has no validation users, of 40 in all"),
    ],
)
def test_what_cannot_be_a_task_is_one_line(folder: Path, tasks: Any, more: Any, message: str) -> None:
    config = config_of(folder, tasks, **more)
    with pytest.raises(DataError, match=message) as caught:
        make_task(config, next(iter(tasks)), read_source(config))
    assert "\n" not in str(caught.value)


def test_one_class_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user,gender\n" + "".join(f"u{user},M\n" for user in range(USERS)))
    task = {"kind": "profile", "path": str(tmp_path / "users.csv"), "column": "gender"}
    config = config_of(folder, {"gender": task})
    with pytest.raises(DataError, match=r"\[transfer.task.gender\] has one class, 'M'"):
        make_task(config, "gender", read_source(config))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no task"),
        ("[split]\nkind = 'time'", "unknown key split: the keys of a transfer run are"),
        ("[transfer.task.a]\nkind = 'items'", "names either rows of the log"),
        ("[transfer.task.a]\nkind = 'profile'\npath = 'users.csv'", "a profile names the file of users"),
        ("[transfer.task.a]\nkind = 'other'", "kind 'other' is not one of items, profile"),
        ("[transfer]\nmethods = ['fine_some']", "methods 'fine_some' is not one of fine_all, fine_last"),
        ("[transfer]\nloss = 'hinge'", "loss 'hinge' is not one of full_softmax"),
        ("[transfer]\nsampler = 'odd'", "sampler 'odd' is not one of uniform, lambda_fm"),
        ("[transfer]\nmethods = ['untuned']", "patches must be among the methods"),
        ("[transfer]\npatches = ['fine_all']\n[transfer.task.a]\nkeep = {b = ['c']}", "'fine_all' puts nothing beside"),
        ("[transfer.split]\nvalidation = 0.0", "without validation users nothing chooses"),
        ("[transfer]\nrates = []", "rates must be above 0"),
        ("[transfer]\nepoch = 3", "unknown key transfer.epoch"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_transfer(tmp_path / "run.toml")
    assert "\n" not in str(caught.value)
