# SPDX-License-Identifier: Apache-2.0
"""Weekly releases to a fleet of devices: nobody is ever without recommendations, and no event is lost."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pocketrec.cloud.data.synthetic import BEGIN

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
pytest.importorskip("tensorflow")
sys.path.insert(0, str(BENCHMARKS))
from half_year import LINES, live, plot, summary  # noqa: E402
from half_year_cloud import WEEK, Market, Plan  # noqa: E402
from half_year_devices import outages  # noqa: E402


@pytest.mark.slow
def test_four_releases(tmp_path: Path) -> None:
    lived = live(Plan(weeks=4, stored=6, plain=4, opted=24, epochs=1), tmp_path, compare=False)
    assert (lived.empty, lived.lost) == (0, 0)
    assert lived.events > 200
    assert len(lived.weeks) == 4
    assert any(week["away"] for week in lived.weeks)
    assert lived.weeks[-1]["choices"].keys() - {"global"}  # somebody was made personal
    assert len(list((tmp_path / "www" / "releases").iterdir())) == 3  # of four, as many as are kept
    ElementTree.fromstring(plot(lived.weeks))


@pytest.mark.long
def test_half_a_year(tmp_path: Path) -> None:
    """26 releases, 100 devices with stores and 50 without, one in ten away for weeks."""
    plan = Plan()
    assert (plan.weeks, plan.stored, plan.plain) == (26, 100, 50)
    lived = live(plan, tmp_path)
    assert (lived.empty, lived.lost) == (0, 0)
    assert lived.filled
    found = summary(lived.weeks)
    assert found["served"] > found["never personal"]
    assert found["served, last 8 weeks"] > found["never updated, last 8 weeks"]
    assert max(week["away"] for week in lived.weeks) > 1
    assert {name for name, _ in LINES} <= lived.weeks[0].keys()


def test_the_market_changes_its_shelf() -> None:
    plan = Plan(weeks=10, stored=5, plain=5, opted=20)
    market = Market.open(plan)
    assert (market.times[:-1] <= market.times[1:]).all()
    assert market.begin == BEGIN + plan.before * WEEK
    first = set(market.items[market.between(BEGIN, BEGIN + 4 * WEEK)])
    last = set(market.items[market.between(market.begin + 6 * WEEK, market.begin + 10 * WEEK)])
    assert first - last
    assert last - first
    for item, when in market.withdrawn.items():
        times = market.times[market.items == item]
        assert not len(times) or times.max() < when


def test_one_device_in_ten_is_away_for_weeks() -> None:
    away = outages(150, 26, 1)
    lengths = [len(weeks) for weeks in away if weeks]
    assert len(lengths) == 15
    assert min(lengths) >= 3
    assert all(0 not in weeks and max(weeks) < 26 for weeks in away if weeks)
