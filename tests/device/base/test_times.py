# SPDX-License-Identifier: Apache-2.0
"""Times and events as applications give them: taken as they are meant, or refused by name."""

from __future__ import annotations

import datetime as dates
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pocketrec.cli import main
from pocketrec.device import Recommender
from pocketrec.device.base.errors import ConfigError, DataError
from pocketrec.device.base.times import seconds_of
from pocketrec.device.delivery.bundle import Bundle

NOON = 1_700_000_000.0  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        int(NOON),
        np.float64(NOON),
        np.int64(NOON),
        np.uint32(NOON),
        np.array(NOON),
        Decimal(int(NOON)),
        Fraction(int(NOON)),
        "1700000000",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13:20Z",
        "2023-11-15 00:13:20+02:00",
        dates.datetime(2023, 11, 14, 22, 13, 20),
        dates.datetime(2023, 11, 15, 0, 13, 20, tzinfo=dates.timezone(dates.timedelta(hours=2))),
        np.datetime64("2023-11-14T22:13:20"),
        np.datetime64("2023-11-14T22:13:20.000000000"),
    ],
)
def test_a_time_is_taken_as_it_is_meant(value: object) -> None:
    assert seconds_of(value) == NOON


def test_dates_without_a_time_of_day_and_no_time() -> None:
    assert seconds_of(dates.date(2023, 11, 14)) == NOON - (22 * 3600 + 13 * 60 + 20)
    assert seconds_of("2023-11-14") == NOON - (22 * 3600 + 13 * 60 + 20)
    assert seconds_of(None) is None


@pytest.mark.parametrize(
    "value",
    [10**400, float("nan"), float("inf"), True, "yesterday", "", b"1", [1], np.array([1.0]), np.datetime64("NaT"),
     np.timedelta64(1, "s"), dates.time(1), dates.timedelta(1), 1j, object()],
)  # fmt: skip
def test_what_is_no_time_is_one_line(value: object) -> None:
    with pytest.raises(DataError, match="is not a time: give a number") as caught:
        seconds_of(value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_events_keep_their_times_in_every_form(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    recommender.add(
        [
            {"item": "item 4", "time": 40},
            {"item": "item 3", "timestamp": "1970-01-01T00:00:30Z", "category": "c"},
            ["item 2", np.int64(20)],
            ("item 1", np.datetime64(10, "s")),
            {"item": "item 5"},
        ]
    )
    assert recommender.history == ["item 1", "item 2", "item 3", "item 4", "item 5"]
    recommender.add(np.array(["item 6", "item 7"]))
    assert recommender.history[-2:] == ["item 6", "item 7"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("item 3", r"'item 3' is one text and not a list of events: give \['item 3'\]"),
        (b"item 3", "is one text and not a list"),
        ({"item 3": 1000}, "a dict is not a list of events"),
        ([{"item": "item 3", "when": 1000}], "a dict has the keys item, time"),
        ([{"item": "item 3", "time": 1, "timestamp": 2}], "a dict has the keys item, time"),
        ([("item 3", 10**400)], "is not a time"),
        ([("item 3", "soon")], "'soon' is not a time"),
        ([""], "has an empty item id"),
        ([("", 1000)], "has an empty item id"),
        ([3], "3 is not an event"),
        (5, "5 is not a list of events"),
        ([("item 3", 1, 2, 3)], "is not an event"),
    ],
)
def test_what_is_no_event_is_refused_by_name(bundle: Bundle, tmp_path: Path, given: object, message: str) -> None:
    for store in (None, tmp_path / "e"):
        recommender = Recommender(bundle, store=store)
        with pytest.raises(DataError, match=message) as caught:
            recommender.add(given)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert len(recommender) == 0


def test_a_user_that_is_no_text(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="user is 5, which is not text"):
        Recommender(bundle, user=5)  # type: ignore[arg-type]


def test_now_is_taken_in_every_form(bundle: Bundle) -> None:
    recommender = Recommender(bundle)
    recommender.add([("item 3", NOON)])
    whole = recommender.recommend(5, now=NOON + 60)
    for now in (int(NOON) + 60, "2023-11-14T22:14:20Z", dates.datetime(2023, 11, 14, 22, 14, 20)):
        assert recommender.recommend(5, now=now) == whole
    with pytest.raises(DataError, match="is not a time"):
        recommender.recommend(5, now="soon")


def test_times_on_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = ["--bundle", str(folder), "--user", "u1", "--store", str(tmp_path / "e")]
    assert main(["record", *user, "--item", "item 3", "--time", "2023-11-14T22:13:20Z"]) == 0
    assert main(["store", "show", *user]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["first"] == NOON
    assert main(["recommend", *user, "--now", "2023-11-14"]) == 0
    capsys.readouterr()
    late = ["--item", "item 3", "--time", "soon"]
    for words in (["record", *user, *late], ["forget", *user, *late], ["recommend", *user, "--now", "1" + "0" * 400]):
        assert main(words) == 2
        said = capsys.readouterr()
        assert "is not a time" in said.err
        assert len(said.err.splitlines()) == 1
