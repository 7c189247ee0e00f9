# SPDX-License-Identifier: Apache-2.0
"""The one checker of values: each type, each rule, the path of the field in every message."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketrec.device.base.fields import (
    Above,
    AtLeast,
    AtMost,
    Below,
    FieldError,
    Finite,
    Matches,
    build,
    check,
    hints_of,
    take,
    words_of,
)


@dataclass(frozen=True)
class Inner:
    rate: Annotated[float, Above(0), AtMost(1)] = 0.5
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    count: Annotated[int, AtLeast(1)]
    kind: Literal["later", "all"] = "later"
    inner: Inner = field(default_factory=Inner)
    named: dict[str, Inner] = field(default_factory=dict)
    share: Annotated[float | None, Below(1)] = None
    when: Annotated[float | int | None, Finite()] = None
    digits: Annotated[str, Matches("[0-9a-f]{2}", "two hexadecimal digits")] = "00"
    sizes: list[int] = field(default_factory=list)
    on: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)


WHOLE = {
    "count": 3, "kind": "all", "inner": {"rate": 1, "names": ["a", "b"]}, "named": {"x": {"rate": 0.25}}, "share": 0.5,
    "when": 1.6e18, "digits": "0f", "sizes": [1, 2], "on": False, "more": {"any": [None]},
}  # fmt: skip


def test_a_whole_table() -> None:
    made = build(Outer, WHOLE)
    assert made.inner == Inner(1, ("a", "b"))
    assert made.named == {"x": Inner(0.25)}
    assert type(made.inner.rate) is int  # taken as it is: what was digested of it stays equal
    assert build(Outer, asdict(made)) == made
    assert build(Outer, {"count": 1}) == Outer(1)
    check(made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": None}, "count must be a whole number, not None"),
        ({"count": True}, "count must be a whole number, not True"),
        ({"count": 1.0}, "count must be a whole number, not 1.0"),
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"count": 2**53 + 1}, "count is out of range"),
        ({"kind": "some"}, "kind must be later or all, not 'some'"),
        ({"inner": 3}, "inner must be a table, not 3"),
        ({"inner": {"rate": 0}}, "inner.rate must be above 0 and at most 1, not 0"),
        ({"inner": {"rate": math.nan}}, "inner.rate is out of range"),
        ({"inner": {"rate": "1"}}, "inner.rate must be a number, not '1'"),
        ({"inner": {"names": "ab"}}, "inner.names must be a list, not 'ab'"),
        ({"inner": {"names": [1]}}, "inner.names[0] must be a text, not 1"),
        ({"inner": {"nam": []}}, "unknown key inner.nam: the keys here are names, rate"),
        ({"named": {"x": {"rate": 2}}}, "named.x.rate must be above 0 and at most 1, not 2"),
        ({"named": {"x": []}}, "named.x must be a table, not []"),
        ({"share": 1}, "share must be below 1, not 1"),
        ({"share": "x"}, "share must be a number, not 'x'"),
        ({"when": math.inf}, "when must be a number or a whole number or null, not inf"),
        ({"digits": "0g"}, "digits must be two hexadecimal digits, not '0g'"),
        ({"digits": "0f\n"}, "digits must be two hexadecimal digits, not '0f\\n'"),
        ({"sizes": [1, 2.5]}, "sizes[1] must be a whole number, not 2.5"),
        ({"on": 1}, "on must be true or false, not 1"),
        ({"more": []}, "more must be a table, not []"),
        ({"extra": 1}, "unknown key extra: the keys here are count"),
    ],
)
def test_every_failure_names_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError) as caught:
        build(Outer, {**WHOLE, **change})
    assert str(caught.value).startswith(message)


def test_missing_keys_and_no_tables() -> None:
    with pytest.raises(FieldError, match=r"^a\.b\.count is missing$"):
        build(Outer, {}, "a.b")
    for value in (None, [], "x", 3):
        with pytest.raises(FieldError, match="must be a table"):
            build(Outer, value)


def test_what_python_made_is_checked_too() -> None:
    check(Outer(1, inner=Inner(names=("x",))))
    with pytest.raises(FieldError, match=r"^here\.inner\.rate must be above 0"):
        check(Outer(1, inner=Inner(rate=-1.0)), "here")


def test_values_may_be_brought_into_form() -> None:
    """As a configuration does, where TOML has a whole number for a float."""

    def coerce(hint: Any, value: Any) -> Any:
        return float(value) if hint is float and type(value) is int else value

    made = build(Inner, {"rate": 1}, coerce=coerce)
    assert type(made.rate) is float
    with pytest.raises(FieldError, match="rate must be above 0"):
        build(Inner, {"rate": 0}, coerce=coerce)


def test_other_classes_are_looked_at_by_their_type() -> None:
    assert take(np.ndarray, np.zeros(2), "rows").shape == (2,)
    with pytest.raises(FieldError, match=r"^rows must be ndarray, not"):
        take(np.ndarray, [0.0], "rows")


def test_words_for_tables_of_documentation() -> None:
    hints = hints_of(Outer)
    assert words_of(hints["count"]) == "a whole number at least 1"
    assert words_of(hints["kind"]) == "later or all"
    assert words_of(hints["named"]) == "a table"
    assert words_of(hints_of(Inner)["rate"]) == "a number above 0 and at most 1"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "x"]), _JSON, max_size=4))
def test_anything_is_taken_or_refused_in_one_line(change: dict[str, Any]) -> None:
    text = ""
    try:
        check(build(Outer, {**WHOLE, **change}))
    except FieldError as error:
        text = str(error)
    assert "\n" not in text
