# SPDX-License-Identifier: Apache-2.0
"""Recommendations from the whole catalogue: no candidates anywhere, filters, and what the command line says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loyal import loyal

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.base.errors import DataError
from pocketrec.device.contract.lists import LISTS_FILE, Lists
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.personal.ranking import infer_all
from pocketrec.device.personal.windows import context

pytestmark = pytest.mark.runtime


@pytest.fixture
def whole(made: Path, tmp_path: Path) -> Bundle:
    """The bundle without candidates: its file finds 25 of the 60 items."""
    source = made.with_name(made.name + ".retrieve")
    return open_bundle(shutil.copytree(source, tmp_path / "whole", ignore=shutil.ignore_patterns(".verified")))


@pytest.fixture
def table(searched: np.ndarray) -> np.ndarray:
    """The item embeddings of that bundle."""
    return searched


@pytest.fixture
def served(whole: Bundle) -> Recommender:
    recommender = Recommender(whole, user="u3")
    recommender.personalise([(f"item {row}", 1000.0 + place) for place, row in enumerate(loyal(30))])
    assert recommender.report["choice"] == "personal"
    return recommender


def ids(recommender: Recommender, **options: object) -> list[str]:
    return [item for item, _ in recommender.recommend(**options)]  # type: ignore[arg-type]


def order(recommender: Recommender, table: np.ndarray, rows: np.ndarray) -> list[str]:
    """Ids of these rows, best first, in numpy."""
    scores = table[rows] @ recommender.embed()
    return recommender.bundle.vocabulary.ids(rows[np.lexsort((rows, -scores))].tolist())


def test_the_catalogue_is_searched_by_the_personal_embedding(served: Recommender, table: np.ndarray) -> None:
    everything = np.arange(1, 61)
    best = served.recommend(20)
    assert [item for item, _ in best] == order(served, table, everything)[:20]
    assert not (served.bundle.folder / "candidates").exists()
    candidates = served.bundle.vocabulary.ids(range(1, 61))
    assert best == served.recommend(20, candidates), "the scores are those of infer"
    own = {f"item {row}" for row in loyal(30)}
    assert own <= set(ids(served, k=60)), "the own items are ranked, found or not"
    assert len(ids(served, k=60)) == 60, "more than the signature gives: the search goes on"


def test_seen_items_are_left_out_and_others_are_found_for_them(served: Recommender, table: np.ndarray) -> None:
    own = np.unique(loyal(30))
    left = np.setdiff1d(np.arange(1, 61), own)
    for k in (5, 50):
        assert ids(served, k=k, mask_seen=True) == order(served, table, left)[:k]


@pytest.mark.parametrize("masked", [False, True])
def test_a_filter_never_empties_what_the_catalogue_can_fill(
    served: Recommender, table: np.ndarray, masked: bool
) -> None:
    """An allow-list, the same as a function, and as a set: each gives the best of what passes."""
    last = np.array([int(item.split()[-1]) for item in order(served, table, np.arange(1, 60))[-12:]])  # none of the 25
    allowed = [f"item {row}" for row in last]
    passing = np.setdiff1d(last, loyal(30)) if masked else last
    expected = order(served, table, passing)[:5]
    for given in ([*allowed, "no such item", allowed[0]], set(allowed), lambda item: item in allowed):
        assert ids(served, k=5, filter=given, mask_seen=masked) == expected
    assert ids(served, k=5, filter=[]) == []
    assert ids(served, k=60, filter=allowed, mask_seen=masked) == order(served, table, passing)
    assert ids(served, k=2, filter=lambda item: item.startswith("item 1")) == order(
        served, table, np.array([1, *range(10, 20)])
    )[:2]


def test_a_filter_of_candidates_leaves_out_and_keeps_the_order(bundle: Bundle) -> None:
    recommender = Recommender(bundle, user="u3")
    recommender.add(["item 5", "item 9"])
    full = ids(recommender, k=60)
    allowed = full[1::2]
    assert ids(recommender, k=60, filter=allowed) == allowed
    assert ids(recommender, k=60, filter=lambda item: item in allowed) == allowed
    assert ids(recommender, candidates=full[:4], filter=allowed) == allowed[:2]


def test_without_events_the_popular_items_that_pass_come_in_their_order(whole: Bundle) -> None:
    recommender = Recommender(whole)
    assert ids(recommender, k=3) == ["item 1", "item 2", "item 3"]
    assert ids(recommender, k=3, filter=["item 58", "item 2", "item 40"]) == ["item 2", "item 40", "item 58"]
    assert len(ids(recommender, k=30)) == 30


def test_what_cannot_be_is_one_line(bundle: Bundle, served: Recommender) -> None:
    with pytest.raises(DataError, match=r"export it with export\.retrieve above 0"):
        Recommender(bundle).recommend(retrieve=True)
    for wrong, told in (("item 1", "a list of item ids, or a function"), (7, "a list of"), ([1, 2], "not a string")):
        with pytest.raises(DataError, match=told):
            served.recommend(filter=wrong)  # type: ignore[arg-type]
    assert ids(served, k=60, retrieve=False) != ids(served, k=60), "popular items, for there are no candidates"


def test_the_command_line_filters_and_searches(
    whole: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, stock = tmp_path / "events.csv", tmp_path / "stock.txt"
    events.write_text("item,timestamp\nitem 4,1000\nitem 7,1001\n", encoding="utf-8")
    stock.write_text("\ufeffitem 44\r\nitem 45\r\n\r\nitem 46", encoding="utf-8")
    words = ["recommend", "--bundle", str(whole.folder), "--user", "u3", "--events", str(events), "-k", "2"]
    assert main([*words, "--filter", str(stock)]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["items"]
    assert len(found) == 2
    assert set(found) < {"item 44", "item 45", "item 46"}
    assert main([*words, "--no-retrieve"]) == 0
    capsys.readouterr()
    assert main([*words, "--filter", str(tmp_path / "none.txt")]) == 2
    assert "name a file with one item id a line" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
def test_no_candidate_file_is_opened_and_nothing_is_sent(made: Path, whole: Bundle, tmp_path: Path) -> None:
    """Also where the bundle has candidates: a device that searches the catalogue does not look at them."""
    both = tmp_path / "both"
    shutil.copytree(whole.folder, both, ignore=shutil.ignore_patterns(".verified"))
    shutil.copytree(made / "candidates", both / "candidates")
    table = json.loads((both / "manifest.json").read_bytes())
    shipped = json.loads((made / "manifest.json").read_bytes())
    table["candidates"] = shipped["candidates"]
    table["files"] |= {name: entry for name, entry in shipped["files"].items() if name.startswith("candidates/")}
    (both / "manifest.json").write_text(json.dumps(table), encoding="utf-8")
    code = ("import sys; from pocketrec.device import Recommender; r = Recommender(sys.argv[1], user='u3'); "
            "r.personalise([('item 4', 1000), ('item 9', 1001), ('item 4', 1002)]); print(len(r.recommend(30)))")
    for folder in (whole.folder, both):
        open_bundle(folder)  # verified: the first opening hashes every file
        trace = tmp_path / "trace"
        done = subprocess.run(
            ["strace", "-f", "-qq", "-e", "trace=network,openat,open", "-o", str(trace), sys.executable, "-c", code,
             str(folder)], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONSAFEPATH": "1"},
        )  # fmt: skip
        assert done.stdout.strip() == "30", done.stderr
        text = trace.read_text(encoding="utf-8", errors="replace")
        assert "model.tflite" in text, "opened files are seen"
        assert "candidates/" not in text
        assert "AF_INET" not in text


def test_what_is_found_is_ordered_by_the_ranker_which_the_device_trains(made: Path, tmp_path: Path) -> None:
    """Way ranker: embeddings, and so what is found, stay bit for bit; scores and the order follow the training."""
    bundle = open_bundle(shutil.copytree(made.with_name(made.name + ".ranked"), tmp_path / "ranked"))
    recommender = Recommender(bundle, user="u3")
    recommender.add([(f"item {row}", 1000.0 + place) for place, row in enumerate(loyal(30))])
    first, user = recommender.recommend(60), recommender.embed()
    rows = bundle.vocabulary.rows([item for item, _ in first])
    window = context(loyal(30), recommender.model.window)
    scores = recommender.model.rank(window, rows)
    # The last bit of a score may depend on its place among those that one call ranks.
    np.testing.assert_allclose([score for _, score in first], scores, rtol=1e-5, atol=1e-6)
    assert np.abs(scores - infer_all(recommender.model, window, rows)).max() > 0.01, "not the inner product"
    report = recommender.personalise()
    assert report.choice == "personal"
    assert report.losses[-1] < report.losses[0]
    np.testing.assert_array_equal(recommender.embed(), user)
    again = dict(recommender.recommend(60))
    assert max(abs(again[item] - score) for item, score in first) > 0.01
    state = recommender.save(tmp_path / "state")
    other = Recommender(bundle, user="u3", state=state)
    assert other.recommend(60) == recommender.recommend(60)


def with_lists(whole: Bundle, folder: Path, content: bytes, probes: int) -> Bundle:
    """The bundle with an index, whose hash fits."""
    shutil.copytree(whole.folder, folder, ignore=shutil.ignore_patterns(".verified"))
    table = json.loads((folder / "manifest.json").read_bytes())
    (folder / "index").mkdir()
    (folder / LISTS_FILE).write_bytes(content)
    table["files"][LISTS_FILE] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    table["retrieval"] |= {"kind": "lists", "probes": probes, "recall": {"100": 1.0}}
    (folder / "manifest.json").write_text(json.dumps(table), encoding="utf-8")
    return open_bundle(folder)


def test_an_index_is_looked_into_and_a_damaged_one_is_left_aside_with_a_line(
    whole: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lists, of the items up to 30 and of the others; the second is that of every user. With both it is the same
    as without an index."""
    numbers, scales = whole.item_scan().stored()
    rows = np.arange(1, 61)
    centroids = np.zeros((2, numbers.shape[1]), np.float16)
    lists = Lists(centroids, np.array([0, 30, 60], np.uint32), rows.astype(np.uint32), np.full(2, 100, np.float16),
                  scales[rows], numbers[rows])  # fmt: skip
    events = [(f"item {row}", 1000.0 + place) for place, row in enumerate(loyal(9))]
    plain = Recommender(whole)
    plain.add(events)
    both, one, damaged = (
        with_lists(whole, tmp_path / name, content, probes)
        for name, content, probes in (("both", lists.dump(), 2), ("one", lists.dump(), 1), ("bad", b"PRLI" * 9, 1))
    )
    found = {}
    for name, bundle in (("both", both), ("one", one), ("damaged", damaged)):
        recommender = Recommender(bundle)
        recommender.add(events)
        found[name] = ids(recommender, k=20)
    assert found["both"] == ids(plain, k=20) == found["damaged"]
    outside = set(found["one"]) - {"item 5", "item 9", "item 13"}
    assert len({int(item.split()[-1]) <= 30 for item in outside if item.startswith("item")}) == 1, "of one list"
    assert both.lists_problem == ""
    assert "the whole catalogue is searched instead of its index: index/lists.bin" in damaged.lists_problem
    path = tmp_path / "events.csv"
    path.write_text("item\nitem 4\n", encoding="utf-8")
    words = ["recommend", "--bundle", str(damaged.folder), "--user", "u3", "--events", str(path)]
    assert main(words) == 0
    assert capsys.readouterr().err.count("warning: the whole catalogue is searched") == 1
