# SPDX-License-Identifier: Apache-2.0
"""Titles of items: an optional file of a bundle, shown beside ids, and refused where it does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from neighbouring import with_file

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.base.errors import BundleError
from pocketrec.device.contract.titles import TITLES_FILE, titles_file
from pocketrec.device.delivery.bundle import open_bundle

TITLES = [f"Title {row}" if row % 2 else "" for row in range(1, 61)]


def test_what_would_break_a_line_is_a_space() -> None:
    assert titles_file(["One\nand\r\nmore", "", "  Zwölf \t Äpfel "]).decode() == "One and more\n\nZwölf Äpfel\n"


def test_titles_are_those_of_the_rows(folder: Path) -> None:
    assert open_bundle(folder).titles([1, 2]) == ["", ""]
    with_file(folder, titles_file(TITLES), TITLES_FILE)
    bundle = open_bundle(folder)
    assert bundle.titles([3, 1, 2, 0, 61]) == ["Title 3", "Title 1", "", "", ""]


def test_a_file_of_another_catalogue_is_one_line(folder: Path) -> None:
    with_file(folder, titles_file(TITLES[:-1]), TITLES_FILE)
    with pytest.raises(BundleError, match="has 59 lines and not 60"):
        open_bundle(folder).titles([1])


@pytest.mark.runtime
def test_they_stand_beside_what_is_recommended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recommend", "--bundle", str(folder), "--user", "u1", "-k", "4"]
    assert main(words) == 0
    before = capsys.readouterr().out
    assert "title" not in before
    with_file(folder, titles_file(TITLES), TITLES_FILE)
    with Recommender(folder, user="u1") as recommender:
        items = [item for item, _ in recommender.recommend(k=4)]
        titles = recommender.titles([*items, "no such item"])
    assert titles[-1] == ""
    assert titles[:-1] == open_bundle(folder).titles(open_bundle(folder).vocabulary.rows(items).tolist())
    assert main(words) == 0
    shown = capsys.readouterr().out
    found = json.loads(shown.splitlines()[-1])
    assert found.pop("titles") == titles[:-1]
    assert found == json.loads(before.splitlines()[-1])
    assert all(title in shown for title in titles)
