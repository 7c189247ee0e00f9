# SPDX-License-Identifier: Apache-2.0
"""The split (feature D1), vocabulary and the files of stage prepare."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.cloud.audit.altered import altered_log
from pocketrec.cloud.audit.own import parts_of_run
from pocketrec.cloud.audit.replay import differing
from pocketrec.cloud.audit.table import audit
from pocketrec.cloud.audit.tables import USUAL
from pocketrec.cloud.base.runs import write_json
from pocketrec.cloud.config.data import DataConfig
from pocketrec.cloud.config.run import RunConfig
from pocketrec.cloud.config.split import SplitConfig
from pocketrec.cloud.data.cuts import quantile_time
from pocketrec.cloud.data.log import Labels, Log
from pocketrec.cloud.data.prepared import load_cloud, load_devices, load_summary, prepare
from pocketrec.cloud.data.sequences import Sequences
from pocketrec.cloud.data.split import Prepared, rehearsal_split, split_log
from pocketrec.cloud.data.vocabulary import Vocabulary
from pocketrec.device.base.errors import ConfigError, DataError, StorageError

DATA = DataConfig(set="synthetic")
Event = tuple[str, str, int]


def labels(values: list[str]) -> Labels:
    different = list(dict.fromkeys(values))
    ids = np.empty(len(different), dtype=object)
    ids[:] = different
    return Labels(ids, np.array([different.index(value) for value in values], np.int64))


def log_of(events: list[Event], split: list[str] | None = None) -> Log:
    users, items, times = zip(*events, strict=True)
    return Log(labels(list(users)), labels(list(items)), np.array(times), labels(split) if split else None)


def unpack(sequences: Sequences, vocabulary: Vocabulary) -> list[Event]:
    return [
        (user, vocabulary.ids[item - 1], int(time))
        for place, user in enumerate(sequences.users)
        for item, time in zip(*sequences.of(place), strict=True)
    ]


def sorted_by_user(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event[0], event[2]))  # stable, as the split must be


user_ids, item_ids = st.sampled_from(["u", "ü", "a1", "Z"]), st.sampled_from(["x", "y", "é", "10", "9"])
shares = st.floats(0.05, 0.95)
logs = st.lists(st.tuples(user_ids, item_ids, st.integers(0, 12)), min_size=2, max_size=60)


def split_or_none(log: Log, split: SplitConfig, data: DataConfig = DATA) -> Prepared | None:
    try:
        return split_log(log, split, data)
    except DataError:
        return None


@examples(150)
@given(events=logs, quantile=st.floats(0.05, 0.95), share=shares, kind=st.sampled_from(["quantile", "time"]))
def test_one_cut_off(events: list[Event], quantile: float, share: float, kind: str) -> None:
    split = SplitConfig(kind=kind, quantile=quantile, time="6", learn_share=share)
    prepared = split_or_none(log_of(events), split)
    if prepared is None:
        return
    cut_off = prepared.cut_off
    assert cut_off is not None
    past = [event for event in events if event[2] < cut_off]
    known = {item for _, item, _ in past}
    later = [event for event in events if event[2] >= cut_off]
    # the cloud has the events before the cut-off and no other; devices have the others, in order
    assert unpack(prepared.before, prepared.vocabulary) == sorted_by_user(past)
    assert unpack(prepared.after, prepared.vocabulary) == sorted_by_user([e for e in later if e[1] in known])
    assert set(prepared.vocabulary.ids) == known
    # counts and order of popularity
    counts = Counter(item for _, item, _ in past)
    assert [0, *(counts[item] for item in prepared.vocabulary.ids)] == prepared.counts.tolist()
    assert all(a >= b for a, b in zip(prepared.counts[1:-1], prepared.counts[2:], strict=True))
    # of each user's later events the first part is for learning
    assert prepared.learn.tolist() == [int(n * share + 1e-9) for n in prepared.after.lengths]
    assert (prepared.learn < prepared.after.lengths).all()
    # every event is counted in exactly one part
    assert prepared.summary["unknown_before"] == 0
    assert prepared.before.events + prepared.after.events + prepared.summary["unknown_after"] == len(events)


@examples(60)
@given(events=logs, quantile=st.floats(0.05, 0.95))
def test_per_user(events: list[Event], quantile: float) -> None:
    prepared = split_or_none(log_of(events), SplitConfig(kind="per_user", quantile=quantile))
    if prepared is None:
        return
    assert prepared.cut_off is None
    past: list[Event] = []
    later: list[Event] = []
    for user in {event[0] for event in events}:
        mine = sorted_by_user([event for event in events if event[0] == user])
        head = max(1, int(len(mine) * quantile + 1e-9))
        past, later = past + mine[:head], later + mine[head:]
    known = {item for _, item, _ in past}
    assert unpack(prepared.before, prepared.vocabulary) == sorted_by_user(past)
    assert unpack(prepared.after, prepared.vocabulary) == sorted_by_user([e for e in later if e[1] in known])


@examples(60)
@given(events=logs, minimum=st.integers(1, 4))
def test_rare_items_are_unknown(events: list[Event], minimum: int) -> None:
    prepared = split_or_none(log_of(events), SplitConfig(), replace(DATA, min_item_count=minimum))
    if prepared is None:
        return
    assert (prepared.counts[1:] >= minimum).all()
    unknown = prepared.summary["unknown_before"] + prepared.summary["unknown_after"]
    assert prepared.before.events + prepared.after.events + unknown == len(events)
    assert (prepared.before.items > 0).all()


def test_equal_counts_are_ordered_by_first_event_then_id() -> None:
    events = [("u", "late", 5), ("u", "b", 3), ("u", "a", 3), ("u", "often", 9), ("u", "often", 9), ("u", "a", 99)]
    prepared = split_log(log_of(events), SplitConfig(kind="time", time="50"), DATA)
    assert prepared.vocabulary.ids == ["often", "a", "b", "late"]


def test_equal_times_keep_the_order_of_the_source() -> None:
    events = [("u", item, 1) for item in "dacb"] + [("u", item, 2) for item in "badc"]
    prepared = split_log(log_of(events), SplitConfig(kind="time", time="2"), DATA)
    assert [item for _, item, _ in unpack(prepared.before, prepared.vocabulary)] == list("dacb")
    assert [item for _, item, _ in unpack(prepared.after, prepared.vocabulary)] == list("badc")


def test_column_judges_the_global_model_alone() -> None:
    events = [("s1", "a", 1), ("s1", "b", 2), ("s2", "a", 3), ("s2", "c", 4), ("s2", "b", 5)]
    log = log_of(events, ["train", "train", "test", "test", "test"])
    prepared = split_log(log, SplitConfig(kind="column"), DATA)
    assert (prepared.personal, prepared.cut_off, prepared.learn.tolist()) == (False, None, [0])
    assert unpack(prepared.after, prepared.vocabulary) == [("s2", "a", 3), ("s2", "b", 5)]
    assert prepared.summary["unknown_after"] == 1
    with pytest.raises(ConfigError, match="no split column: use"):
        split_log(log_of(events), SplitConfig(kind="column"), DATA)
    with pytest.raises(DataError, match=r"no event after the cut-off.*: change \[split\]"):
        split_log(log, SplitConfig(kind="column", test_values=["valid"]), DATA)


def test_old_new_and_one_event_users() -> None:
    events = [("old", "a", 1), ("old", "b", 2), ("gone", "a", 3), ("old", "a", 10), ("new", "a", 11), ("new", "b", 12)]
    summary = split_log(log_of(events), SplitConfig(kind="time", time="10"), DATA).summary
    expected = {"users_before": 2, "users_after": 2, "users_old": 1, "users_new": 1, "one_event_users_before": 1,
                "one_event_users_after": 1, "events_learn": 1, "events_test": 2}  # fmt: skip
    assert {key: summary[key] for key in expected} == expected


def test_time_as_a_date_in_the_unit_of_the_log() -> None:
    day = 1_577_836_800  # 2020-01-01
    for scale in (1, 1_000, 1_000_000, 1_000_000_000):
        log = log_of([("u", "a", (day - 1) * scale), ("u", "a", day * scale)])
        for text in ("2020-01-01", "2020-01-01T01:00:00+01:00"):
            assert split_log(log, SplitConfig(kind="time", time=text), DATA).cut_off == day * scale


@pytest.mark.parametrize(
    ("split", "kind", "message"),
    [
        (SplitConfig(kind="time", time="soon"), ConfigError, r"'soon' is neither .*: write it as 2020-09-13"),
        (SplitConfig(kind="time", time="0"), DataError, r"no event before the cut-off 0 \(the log runs from 1 to 9\)"),
        (SplitConfig(kind="time", time="99"), DataError, r"no event after the cut-off 99 .*: change \[split\]"),
    ],
)
def test_impossible_cut_offs(split: SplitConfig, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        split_log(log_of([("u", "a", 1), ("u", "b", 9)]), split, DATA)


def test_no_item_is_frequent_enough() -> None:
    with pytest.raises(DataError, match=r"no item has 5 events .*: lower data\.min_item_count"):
        split_log(log_of([("u", "a", 1), ("u", "b", 9)]), SplitConfig(), replace(DATA, min_item_count=5))


def test_one_time_for_all_events_cannot_be_split() -> None:
    with pytest.raises(DataError, match="no event before"):
        split_log(log_of([("u", "a", 1), ("u", "b", 1)]), SplitConfig(), DATA)


@examples(100)
@given(times=st.lists(st.integers(-50, 50), min_size=1, max_size=40), quantile=st.floats(0.01, 0.99))
def test_quantile_time(times: list[int], quantile: float) -> None:
    value = quantile_time(np.array(times), quantile)
    assert value == sorted(times)[int(len(times) * quantile + 1e-9)]


@examples(100)
@given(events=logs, quantile=st.floats(0.2, 0.9), share=st.floats(0.05, 0.95), per_user=st.booleans())
def test_rehearsal_repeats_the_split_on_the_past(
    events: list[Event], quantile: float, share: float, per_user: bool
) -> None:
    prepared = split_or_none(log_of(events), SplitConfig())
    if prepared is None:
        return
    before = prepared.before
    try:
        earliest, later, learn = rehearsal_split(before, quantile, per_user=per_user, learn_share=share)
    except DataError:
        return
    past, future = unpack(earliest, prepared.vocabulary), unpack(later, prepared.vocabulary)
    known = {item for _, item, _ in past}
    assert all(item in known for _, item, _ in future)
    dropped = [event for event in unpack(before, prepared.vocabulary) if event[1] not in known]
    assert Counter(past + future + dropped) == Counter(unpack(before, prepared.vocabulary))
    if not per_user:
        assert max(time for *_, time in past) < min(time for *_, time in future)
    assert learn.tolist() == [int(n * share + 1e-9) for n in later.lengths]


def test_a_past_too_short_to_be_cut_again() -> None:
    before = split_log(log_of([("u", "a", 1), ("u", "b", 9)]), SplitConfig(kind="time", time="5"), DATA).before
    for per_user in (False, True):
        with pytest.raises(DataError, match=r"cannot be cut again .*: set rehearse\.enabled=false"):
            rehearsal_split(before, 0.8, per_user=per_user)


@examples(60)
@given(ids=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1), unique=True))
def test_vocabulary_round_trip(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    path = tmp_path_factory.mktemp("vocabulary") / "items.txt"
    vocabulary = Vocabulary(ids)
    vocabulary.save(path)
    again = Vocabulary.load(path)
    assert again.ids == ids
    assert again.sha256 == vocabulary.sha256
    assert again.rows([*ids, "\n"]).tolist() == [*range(1, len(ids) + 1), 0]
    assert again.rows([]).dtype == np.int32


def test_damaged_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "items.txt"
    with pytest.raises(DataError, match="run `pocketrec prepare` first"):
        Vocabulary.load(path)
    for raw in (b"a\nb", b"a\na\n", b"\xff\n"):
        path.write_bytes(raw)
        with pytest.raises(DataError, match="run `pocketrec prepare` again"):
            Vocabulary.load(path)


# --- stage prepare ----------------------------------------------------------------------------------------------

PAST = [(f"user{i % 5}", f"item{i % 7}", i) for i in range(60)]
LATER = [(f"user{i % 6}", f"item{i % 7}", i) for i in range(60, 90)]


def run_prepare(folder: Path, events: list[Event], split: SplitConfig) -> Path:
    folder.mkdir(exist_ok=True)
    source = folder / "source.csv"
    source.write_text("user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in events), encoding="utf-8")
    prepare(RunConfig(data=DataConfig(path=str(source)), split=split), folder / "run")
    return folder / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_prepare_and_load(tmp_path: Path) -> None:
    run = run_prepare(tmp_path, PAST + LATER, SplitConfig(kind="time", time="60"))
    cloud, devices, summary = load_cloud(run), load_devices(run), load_summary(run)
    assert unpack(cloud.before, cloud.vocabulary) == sorted_by_user(PAST)
    assert unpack(devices.after, cloud.vocabulary) == sorted_by_user(LATER)
    assert (cloud.cut_off, cloud.personal, cloud.counts.sum()) == (60, True, 60)
    assert (summary["users_old"], summary["users_new"], summary["read"]["rows"]) == (5, 1, 90)


def test_planted_later_event_is_in_no_cloud_file(tmp_path: Path) -> None:
    """D1: nothing of an event at or after the cut-off reaches a file that cloud stages read."""
    planted = ("planted-user", "planted-item", 1_234_567_891)
    split = SplitConfig(kind="time", time="60")
    run = run_prepare(tmp_path / "planted", [*PAST, planted, *LATER, ("user1", "item1", planted[2])], split)
    files = contents(run / "data" / "cloud")
    assert set(files) == {"before.npz", "counts.npy", "items.txt", "summary.json"}
    numbers = [kind(planted[2]).tobytes() for kind in (np.int32, np.int64, np.float64)]
    for needle in (b"planted", b"1234567891", *numbers):
        assert not any(needle in content for content in files.values()), needle
    after = contents(run / "data" / "devices")["after.npz"]
    assert np.int64(planted[2]).tobytes() in after  # so the search above would find it


def test_cloud_files_do_not_depend_on_what_comes_later(tmp_path: Path) -> None:
    """D1, the strong way: with any other future, the cloud's files are the same, byte for byte."""
    split = SplitConfig(kind="time", time="60")
    one = run_prepare(tmp_path / "one", PAST + LATER, split)
    other = run_prepare(tmp_path / "other", [("x", "y", 10_000 + i) for i in range(9)] + PAST + LATER[:9], split)
    assert contents(one / "data" / "cloud") == contents(other / "data" / "cloud")
    assert contents(one / "data" / "devices") != contents(other / "data" / "devices")


def test_replay_finds_no_file_of_the_cloud_that_depends_on_the_future(tmp_path: Path) -> None:
    """D1 and N4: the audit's own altered log and comparison."""
    log = tmp_path / "log.csv"
    log.write_text("user,item,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in PAST + LATER), encoding="utf-8")
    made = altered_log(log, "60", USUAL, (), tmp_path / "logs")
    for path in (made.same, made.other):
        config = RunConfig(data=DataConfig(path=str(path), format="csv"), split=SplitConfig(kind="time", time="60"))
        prepare(config, tmp_path / path.name)
        write_json(tmp_path / path.name / "config.json", config.to_dict())
        assert audit(parts_of_run(tmp_path / path.name)).status == 0
    one, other = tmp_path / "same" / "data", tmp_path / "other" / "data"
    names = sorted(path.name for path in (one / "cloud").iterdir())
    assert differing(one / "cloud", other / "cloud", names) == []
    assert differing(one / "devices", other / "devices", ["after.npz"]) == ["after.npz"]


def test_prepare_again_gives_the_same_bytes(tmp_path: Path) -> None:
    run = run_prepare(tmp_path, PAST + LATER, SplitConfig())
    first = contents(run)
    run_prepare(tmp_path, PAST + LATER, SplitConfig())
    assert contents(run) == first


@pytest.mark.parametrize("name", ["before.npz", "counts.npy", "items.txt", "summary.json"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    run = run_prepare(tmp_path, PAST + LATER, SplitConfig())
    path = run / "data" / "cloud" / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="run `pocketrec prepare` again"):
        load_cloud(run)
    path.unlink()
    with pytest.raises(DataError, match="run `pocketrec prepare` first"):
        load_cloud(run)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file, where a folder should be")
    with pytest.raises(StorageError, match="cannot write"):
        run_prepare(tmp_path, PAST + LATER, SplitConfig())
