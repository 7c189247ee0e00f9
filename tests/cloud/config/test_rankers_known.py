# SPDX-License-Identifier: Apache-2.0
"""A ranker that could be trained and not be exported, or not be used on a device, is refused with the configuration."""

from __future__ import annotations

import dataclasses

import pytest

from pocketrec.cloud.config.load import config_from_dict
from pocketrec.cloud.config.ranker import RANKERS, RankerChoice
from pocketrec.device.base.choices import Choice
from pocketrec.device.base.errors import ConfigError
from pocketrec.device.contract.rankers import RANKERS as DEVICE_RANKERS

WHOLE = RANKERS.own["inner_product"]
TABLES = {"ranker": {"kind": "theirs"}}


def test_our_own_have_all_sides() -> None:
    """Those of a second stage may be without a graph: then they never ship."""
    first = {name: choice for name, choice in RANKERS.own.items() if not getattr(choice, "second", False)}
    assert set(first) <= set(DEVICE_RANKERS.own) <= set(RANKERS.own)
    assert all(isinstance(choice, RankerChoice) and choice.training and choice.graph for choice in first.values())
    for name, choice in RANKERS.own.items():
        assert not (isinstance(choice, RankerChoice) and choice.graph) or name in DEVICE_RANKERS.own


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (dataclasses.replace(WHOLE, graph=""), r"\[ranker\] kind 'theirs' has no side 'graph'"),
        (dataclasses.replace(WHOLE, training=""), r"\[ranker\] kind 'theirs' has no side 'training'"),
        (Choice(WHOLE.target, "no sides"), r"\[ranker\] kind 'theirs' has no side 'training'"),
        (WHOLE, r"'theirs' has no function for devices: .* of the group pocketrec.device_rankers"),
    ],
)
def test_a_side_is_missing(choice: Choice, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RANKERS.own, "theirs", choice)
    with pytest.raises(ConfigError, match=message) as caught:
        config_from_dict(TABLES)
    assert "\n" not in str(caught.value)
    untied = config_from_dict({**TABLES, "model": {"tied": False}})
    assert untied.ranker.kind == "theirs", "there is no export"


def test_with_all_sides_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RANKERS.own, "theirs", WHOLE)
    monkeypatch.setitem(DEVICE_RANKERS.own, "theirs", DEVICE_RANKERS.own["inner_product"])
    assert config_from_dict(TABLES).ranker.kind == "theirs"
