# SPDX-License-Identifier: Apache-2.0
"""Times and tables of pandas, which an application may hand to the device; device environments have no pandas."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas
import pytest

from pocketrec.device import Recommender
from pocketrec.device.base.errors import DataError
from pocketrec.device.base.times import seconds_of

NOON = 1_700_000_000.0  # 2023-11-14T22:13:20Z
GOLDEN = Path(__file__).parents[1] / "golden" / "bundle"


def test_times_of_pandas() -> None:
    assert seconds_of(pandas.Timestamp("2023-11-14T22:13:20")) == NOON
    assert seconds_of(pandas.Timestamp("2023-11-15 00:13:20", tz="Europe/Helsinki")) == NOON
    with pytest.raises(DataError, match="NaT is not a time"):
        seconds_of(pandas.NaT)
    with pytest.raises(DataError, match="is not a time"):
        seconds_of(pandas.Timedelta("1s"))


def test_a_table_is_refused_by_name(tmp_path: Path) -> None:
    table = pandas.DataFrame({"item": ["item 3"], "timestamp": [1000]})
    recommender = Recommender(shutil.copytree(GOLDEN, tmp_path / "bundle"))
    with pytest.raises(DataError, match="a DataFrame is not a list of events"):
        recommender.add(table)
    recommender.add(table.itertuples(index=False, name=None))
    assert recommender.history == ["item 3"]
