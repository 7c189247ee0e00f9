# SPDX-License-Identifier: Apache-2.0
"""Quality on the device: each new event is ranked once, before it is learned, and a long loss leads back to global."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal
from traces import traces

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.cli.options import default_state
from pocketrec.device.contract.repeats import Repeats
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.personal.guard import PERSONAL
from pocketrec.device.personal.item_rows import ItemRows
from pocketrec.device.personal.watch import Watch
from pocketrec.device.state import watching
from pocketrec.device.state.file import quality_of
from pocketrec.device.state.quality import DEEPEST, KEPT, Mark, Quality, load_quality
from pocketrec.device.store.sealing import Seal

pytestmark = pytest.mark.runtime

OLD, NEW = (5, 9, 13), (31, 37, 44, 2)


def events(rows: np.ndarray, start: float) -> list[tuple[str, float]]:
    return [(f"item {row}", start + place) for place, row in enumerate(rows.tolist())]


def ranks_of(recommender: Recommender, given: Sequence[tuple[str, float]]) -> list[int]:
    """Rank of each event in what `recommend` offers right before it; 0 = a miss. The events are added."""
    found = []
    for item, time in given:
        offered = [name for name, _ in recommender.recommend(DEEPEST, now=time)]
        found.append(offered.index(item) + 1 if item in offered else 0)
        recommender.add([(item, time)])
    return found


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_events_are_ranked_as_recommend_ranks_right_before_them(
    bundle: Bundle, tmp_path: Path, strength: float
) -> None:
    bundle.recipe = dataclasses.replace(bundle.recipe, repeats=Repeats(strength))
    new = events(np.concatenate([loyal(20, 1, OLD), loyal(10, 2, NEW)]), 2000)
    first, plain = Recommender(bundle, user="u3", state=tmp_path / "s"), Recommender(bundle, user="u3")
    first.personalise(events(loyal(60, 0, OLD), 1000))
    assert first.report["choice"] != "global"
    first.save()
    plain.add(events(loyal(60, 0, OLD), 1000))  # the global weights
    expected = np.array([ranks_of(plain, new), ranks_of(first, new)]).T
    other = Recommender(bundle, user="u3", state=tmp_path / "s")
    other.add(new)
    quality = other.quality(k=5, last=30)
    np.testing.assert_array_equal(other._watching.quality.ranks[-30:], expected)
    found = np.where((expected > 0) & (expected <= 5), 1 / np.maximum(expected, 1), 0)
    assert quality.mrr == pytest.approx({"global": found[:, 0].mean(), "personal": found[:, 1].mean()})
    assert quality.recall == pytest.approx({"global": (found[:, 0] > 0).mean(), "personal": (found[:, 1] > 0).mean()})
    assert (quality.better, quality.worse) == ((found[:, 1] > found[:, 0]).sum(), (found[:, 1] < found[:, 0]).sum())
    assert first.quality(5, 30) == dataclasses.replace(quality, decisions=first.quality().decisions)


def test_item_rows_beside_the_global_weights_are_ranked_as_recommended(bundle: Bundle) -> None:
    """The guard may take the global weights, and rows of the person's own still raise what is recommended."""
    plain, first, other = (Recommender(bundle, user="u3") for _ in range(3))
    for each in (plain, first, other):
        each.add(events(loyal(20, 0, OLD), 1000))
    rows = ItemRows(np.array([9], np.int32), (20 * plain.embed()[None]).astype(np.float16))
    for each in (first, other):
        each._session.state = dataclasses.replace(each.state, item_rows=rows)
    new = events(loyal(6, 1, OLD), 2000)
    expected = np.array([ranks_of(plain, new), ranks_of(first, new)]).T
    assert (expected[:, 0] != expected[:, 1]).any()
    other.add(new)
    other.quality()
    np.testing.assert_array_equal(other._watching.quality.ranks[-6:], expected)


@pytest.mark.parametrize("kind", ["retrieve", "ranked", "lean", "cloze"])
def test_other_bundles_rank_as_they_recommend(made: Path, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(made.with_name(f"{made.name}.{kind}"), tmp_path / "bundle")
    new = events(loyal(12, 1, OLD), 2000)
    own, other = Recommender(folder, user="u3"), Recommender(folder, user="u3")
    for each in (own, other):
        each.personalise(events(loyal(40, 0, OLD), 1000))
    expected = ranks_of(other, new)
    own.add(new)
    own.quality()
    assert own._watching.quality.ranks[-12:, 1].tolist() == expected


@pytest.mark.parametrize("kind", ["state", "store"])
def test_each_event_is_ranked_once_and_none_that_was_learned(bundle: Bundle, tmp_path: Path, kind: str) -> None:
    store = None if kind == "state" else tmp_path / "events"

    def opened() -> Recommender:
        return Recommender(bundle, user="u3", state=tmp_path / "s", store=store)

    with opened() as one:
        one.personalise(events(loyal(40), 1000))  # ranked by the global weights, then learned
        assert one.quality().ranked == 39  # the first event has nothing before it
        one.add(events(loyal(10, 1), 2000))
        assert one.quality().ranked == one.quality().ranked == 49
        one.save()
    with opened() as two:
        assert two.quality().ranked == 49
        two.add([("item 5", 1500.0)])  # late: it lies before what was ranked
        assert two.quality().ranked == 49
        two.personalise(events(loyal(5, 2), 3000))
        assert two.quality().ranked == 54
        two.save()
    quality_of(tmp_path / "s").unlink()  # without its file only what was learned is known
    with opened() as three:
        assert three.report["choice"] == PERSONAL
        assert three.quality().ranked == 0
        three.add(events(loyal(3, 3), 4000))
        assert three.quality().ranked == 3


def test_a_history_that_is_given_whole_each_time_is_ranked_once(bundle: Bundle, tmp_path: Path) -> None:
    """As `pocketrec personalise --events FILE` does without a store: the file is the user's whole history."""
    whole = events(loyal(70), 1000)
    for known, expected in ((40, 39), (55, 54), (70, 69)):
        recommender = Recommender(bundle, user="u3", state=tmp_path / "s")
        recommender.clear_history()
        recommender.personalise(whole[:known])
        recommender.save()
        assert recommender.quality().ranked == expected


def test_a_new_model_keeps_the_ranks_and_begins_the_watch_again(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    recommender = Recommender(bundle, user="u3", state=tmp_path / "s", store=tmp_path / "e")
    recommender.personalise(events(loyal(60), 1000))
    recommender.add(events(loyal(60, 2, NEW), 2000))
    assert recommender.quality().evidence > 1
    recommender.save()
    other = open_bundle(shutil.copytree(folder, tmp_path / "other"))
    other.manifest = dataclasses.replace(other.manifest, model_id="0" * 64)
    after = Recommender(other, user="u3", state=tmp_path / "s", store=tmp_path / "e")
    assert after.outdated
    quality = after.quality()
    assert (quality.ranked, quality.evidence) == (119, 1.0)
    after.add(events(loyal(5, 3), 3000))
    assert after.quality().ranked == 124


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_a_user_who_changes_taste_goes_back_to_global_and_gains_again(
    bundle: Bundle, tmp_path: Path, seed: int
) -> None:
    """Personal weights that were worse for 200 events are left within 50 more; training makes them gain again."""

    def taste(count: int, number: int, items: tuple[int, ...]) -> np.ndarray:
        return loyal(count, 10 * seed + number, items)

    recommender = Recommender(bundle, user="u3", state=tmp_path / "s")
    recommender.personalise(events(taste(300, 0, OLD), 1000))
    recommender.add(events(taste(100, 1, OLD), 2000))
    quality = recommender.quality(last=100)
    assert quality.mrr["personal"] > 2 * quality.mrr["global"]
    assert quality.evidence < 2
    changed = events(taste(250, 2, NEW), 3000)
    recommender.add(changed[:200])
    quality = recommender.quality(last=200)
    assert quality.mrr["personal"] < quality.mrr["global"]
    recommender.add(changed[200:])
    recommender.quality()
    assert recommender.report["choice"] == "global"
    assert recommender.quality().most == 0.5
    assert recommender.quality().decisions[-1]["reason"] == recommender.report["reason"]
    plain = Recommender(bundle, user="u3")
    plain.add((item, time) for item, time in zip(recommender.history, recommender.state.times.tolist(), strict=True))
    assert recommender.recommend(20) == plain.recommend(20)  # by the global weights
    recommender.save()

    again = Recommender(bundle, user="u3", state=tmp_path / "s")
    assert again.report["choice"] == "global"
    report = again.personalise(events(taste(100, 3, NEW), 4000))
    assert report.choice in ("blend", "quarter")  # the guard may not choose more yet
    again.add(events(taste(100, 4, NEW), 5000))
    quality = again.quality(last=100)
    assert quality.mrr["personal"] > 1.3 * quality.mrr["global"]
    again.personalise(events(taste(100, 5, NEW), 6000))
    assert again.quality().most == 1.0
    assert again.personalise(events(taste(5, 6, NEW), 7000)).choice == PERSONAL
    assert again.quality().decisions[-1]["choice"] == PERSONAL


def test_a_device_that_may_choose_global_alone_gets_out_of_it(bundle: Bundle, tmp_path: Path) -> None:
    """Without a share in use nothing was counted, and the lowest cap stayed for ever."""
    recommender = Recommender(bundle, user="u3", state=tmp_path / "s")
    own = recommender._watching
    own._quality = dataclasses.replace(own.quality, watch=Watch(most=0.0))
    recommender.add(events(loyal(150), 1000))
    assert recommender.quality().most == 0.0
    recommender.add(events(loyal(100, 1), 2000))
    assert recommender.quality().most == 0.25
    recommender.add(events(loyal(230, 2), 3000))
    assert recommender.quality().most == 0.25  # the guard may try a quarter now


def test_what_is_kept_is_bounded(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "AT_ONCE", 30)
    recommender = Recommender(bundle, user="u3", state=tmp_path / "s")
    recommender.add(events(loyal(100), 1000))
    quality = recommender.quality()
    assert (quality.ranked, quality.passed) == (30, 69)
    full = Quality(ranks=np.ones((KEPT, 2), np.uint8), ranked=5000)
    for place in range(50):
        full = full.with_ranks(np.zeros((10, 2), np.uint8)).with_decision({"history": place})
    assert full.ranks.shape == (KEPT, 2)
    assert full.report(10, KEPT).recall["global"] == 0.5
    assert (full.ranked, len(full.decisions), full.decisions[-1]["history"]) == (5500, 20, 49)
    assert len(full.to_bytes()) < 5000


def test_the_file_holds_neither_items_nor_user_and_goes_with_the_rest(bundle: Bundle, tmp_path: Path) -> None:
    recommender = Recommender(bundle, user="somebody-3", state=tmp_path / "s")
    recommender.personalise(events(loyal(40), 1000))
    recommender.save()
    file = quality_of(tmp_path / "s")
    content = file.read_bytes()
    assert traces(content, "item ", "somebody-3") == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    recommender.forget(["item 9"])
    left = load_quality(tmp_path / "s", None)
    assert left is None or left.ranked == 0
    assert recommender.quality().ranked == 0  # what is left was there before
    recommender.add(events(loyal(4), 2000))
    assert recommender.quality().ranked == 4
    recommender.save()
    assert file.exists()
    assert file in recommender.wipe()
    assert os.listdir(tmp_path) == ["bundle"]
    assert recommender.quality().ranked == 0


def test_sealed_with_the_state(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = bytes(range(32))
    recommender = Recommender(bundle, user="u3", state=tmp_path / "s", key=key)
    recommender.personalise(events(loyal(40), 1000))
    recommender.save()
    assert b"decisions" not in quality_of(tmp_path / "s").read_bytes()
    assert load_quality(tmp_path / "s", None) is None
    assert load_quality(tmp_path / "s", Seal(bytes(32))) is None
    assert Recommender(bundle, user="u3", state=tmp_path / "s", key=key).quality().ranked == 39


@pytest.mark.parametrize("content", [b"", b"x" * 300, b"altered"])
def test_a_damaged_file_is_begun_again(bundle: Bundle, tmp_path: Path, content: bytes) -> None:
    recommender = Recommender(bundle, user="u3", state=tmp_path / "s")
    recommender.personalise(events(loyal(40), 1000))
    recommender.save()
    file = quality_of(tmp_path / "s")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if content == b"altered" else content)
    again = Recommender(bundle, user="u3", state=tmp_path / "s")
    assert again.report["choice"] == PERSONAL
    assert again.quality().ranked == 0
    again.add(events(loyal(4), 2000))
    again.save()
    assert again.quality().ranked == 4


def test_a_crash_between_state_and_quality_ranks_nothing_that_was_learned(bundle: Bundle, tmp_path: Path) -> None:
    recommender = Recommender(bundle, user="u3", state=tmp_path / "s")
    recommender.personalise(events(loyal(40), 1000))
    recommender.save()
    before = quality_of(tmp_path / "s").read_bytes()
    recommender.personalise(events(loyal(40, 1), 2000))
    recommender.save()
    quality_of(tmp_path / "s").write_bytes(before)  # as the crash would have left it
    again = Recommender(bundle, user="u3", state=tmp_path / "s")
    again.add(events(loyal(2, 2), 3000))
    assert again.quality().ranked == 41


def test_what_a_killed_writer_left_goes(bundle: Bundle, tmp_path: Path) -> None:
    recommender = Recommender(bundle, user="u3", state=tmp_path / "s")
    recommender.personalise(events(loyal(40), 1000))
    left = tmp_path / ".s.quality.0123456789abcdef.tmp"
    left.write_bytes(b"half")
    recommender.save()
    assert left.exists()  # somebody may be writing it
    os.utime(left, (0, 0))
    recommender.save()
    assert not left.exists()
    left.write_bytes(b"half")
    recommender.wipe()
    assert os.listdir(tmp_path) == ["bundle"]


def test_two_holders_of_one_state(bundle: Bundle, tmp_path: Path) -> None:
    """Who saves last does not take events that the other has ranked for new ones."""
    first = Recommender(bundle, user="u3", state=tmp_path / "s", store=tmp_path / "e")
    first.personalise(events(loyal(40), 1000))
    first.save()
    second = Recommender(bundle, user="u3", state=tmp_path / "s", store=tmp_path / "e")
    second.add(events(loyal(10, 1), 2000))
    assert second.quality().ranked == 49
    second.save()
    first.save()  # has looked at less
    third = Recommender(bundle, user="u3", state=tmp_path / "s", store=tmp_path / "e")
    assert third.quality().ranked == 49


def test_what_a_state_that_is_gone_has_left_is_begun_again(bundle: Bundle, tmp_path: Path) -> None:
    """At the next save it came back, for it had looked at later events than the new state."""
    first = Recommender(bundle, user="u3", state=tmp_path / "s")
    first.add(events(loyal(20), 1000))
    assert first.quality().ranked == 19
    for _ in range(3):
        first.save()
    for name in ("s", "s.previous"):
        (tmp_path / name).unlink()
    again = Recommender(bundle, user="u3", state=tmp_path / "s")
    again.add(events(loyal(10), 1000))
    assert again.quality().ranked == 9
    again.save()
    assert again.quality().ranked == 9
    left = load_quality(tmp_path / "s", None)
    assert left is not None
    assert left.ranked == 9
    again.reset()
    again.save()
    assert not quality_of(tmp_path / "s").exists()
    other = Recommender(bundle, user="u3", state=tmp_path / "t")  # nor does what lies at another path come into it
    other.add(events(loyal(5), 1000))
    other.quality()
    first.save()
    other.save(tmp_path / "s")
    assert other.quality().ranked == 4


def test_a_mark_in_a_log_without_times() -> None:
    """All events are of one time: they are told by their number, and those that the store removed are counted."""
    mark = Mark.after(np.zeros(100), 100, 0)
    assert mark is not None
    assert mark.index(np.zeros(130), 0) == 100
    assert mark.index(np.zeros(110), 20) == 80
    assert Mark.after(np.zeros(0), 0, 0) is None
    timed = Mark.after(np.array([1.0, 2.0, 2.0, 3.0]), 3, 0)
    assert timed == Mark(2.0, 2)
    assert timed.index(np.array([0.5, 1.0, 2.0, 2.0, 2.0]), 0) == 4
    assert timed.index(np.array([2.0, 3.0]), 2) == 0
    assert timed.index(np.array([3.0, 4.0]), 5) == 0


def test_the_command_shows_and_watches(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--bundle", str(folder), "--user", "u3", "--state", str(tmp_path / "s"), "--store", str(tmp_path / "e")]
    with Recommender(folder, user="u3", state=tmp_path / "s", store=tmp_path / "e") as recommender:
        recommender.personalise(events(loyal(300, 0, OLD), 1000))
        recommender.save()
        recommender.add(events(loyal(300, 2, NEW), 2000))
    assert main(["state", "show", *common]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])["quality"]
    assert shown["ranked"] == 299
    assert main(["state", "watch", *common, "-k", "5", "--last", "300"]) == 0
    text = capsys.readouterr().out
    told = json.loads(text.splitlines()[-1])
    assert (told["before"], told["weights"]) == (PERSONAL, "global")
    assert told["quality"]["ranked"] == 599
    assert told["quality"]["mrr"]["personal"] < told["quality"]["mrr"]["global"]
    assert "worse than the global ones for long" in text
    assert main(["state", "show", *common]) == 0
    text = capsys.readouterr().out
    assert json.loads(text.splitlines()[-1])["quality"]["ranked"] == 599
    assert "mrr@10" in text
    assert main(["state", "show", *common, "-k", "101"]) == 2
    nobody = ["--bundle", str(folder), "--user", "nobody"]
    assert main(["state", "watch", *nobody]) == 2
    assert not default_state(folder, "nobody").parent.exists()
    assert main(["state", "watch", "--state", str(tmp_path / "s")]) == 2  # whose model?
    assert main(["state", "reset", *common]) == 0
    assert not quality_of(tmp_path / "s").exists()
