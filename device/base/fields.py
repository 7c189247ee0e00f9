# SPDX-License-Identifier: Apache-2.0
"""The one checker of values: what a dataclass promises of its fields, in their annotations, is checked here.

JSON and TOML of strangers have anything anywhere. A field says what it takes, once:

    learning_rate: Annotated[float, Above(0)] = 0.02
    targets: Literal["later", "all"] = "later"

`build` makes the dataclass of a plain table and refuses unknown and missing keys; `check` looks at one that was made in
Python. Both know bool, int, float, str, Literal, ``X | None``, list, tuple, dict and Mapping of such, dataclasses in
dataclasses, and any other class by isinstance. Numbers are finite and at most 2^53, beyond which JSON readers round,
unless `Finite` stands with them. Every failure is a `FieldError` that begins with the path of the field.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, Union

_LARGEST: Final = 2.0**53
_Made = TypeVar("_Made")

#: Called with a field's plain type and its value before they are compared; gives the value, or another form of it.
Coerce = Callable[[Any, Any], Any]


class FieldError(ValueError):
    """A value is not what its field takes. One line: the path of the field, what it takes, and what was found."""


class Rule:
    """A bound of a number, with the limit that it names. (Plain classes: making a dataclass takes a device 0.5 ms.)"""

    words: ClassVar[str]
    """Words before the limit."""
    compare: ClassVar[Callable[[Any, Any], bool]]
    """Called with a value and the limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def holds(self, value: Any) -> bool:
        """Whether a value keeps to it."""
        return type(self).compare(value, self.limit)

    def __str__(self) -> str:
        """Words that follow "must be"."""
        return f"{self.words} {self.limit:g}"


class Above(Rule):
    """value > limit."""

    words = "above"
    compare = operator.gt


class AtLeast(Rule):
    """value >= limit."""

    words = "at least"
    compare = operator.ge


class Below(Rule):
    """value < limit."""

    words = "below"
    compare = operator.lt


class AtMost(Rule):
    """value <= limit."""

    words = "at most"
    compare = operator.le


class Finite:
    """Lets a number be larger than 2^53, such as a time in nanoseconds."""


class Matches:
    """A text that a regular expression matches from its beginning to its end.

    Args:
        pattern: the expression.
        says: what such a text is, in words that follow "must be".
    """

    def __init__(self, pattern: str, says: str) -> None:
        self.pattern, self.says = pattern, says

    def holds(self, value: Any) -> bool:
        """Whether a text is one."""
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return self.says


_hints: Final[dict[Any, dict[str, Any]]] = {}


def hints_of(cls: Any) -> dict[str, Any]:
    """The annotations of a dataclass's fields by name, evaluated once, with what `Annotated` adds to them."""
    if cls not in _hints:
        hints = typing.get_type_hints(cls, include_extras=True)
        _hints[cls] = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    return _hints[cls]


def build(cls: type[_Made], table: Any, path: str = "", coerce: Coerce | None = None) -> _Made:
    """The dataclass `cls` made of a plain table.

    Args:
        cls: a dataclass.
        table: keys and values, as JSON or TOML give them.
        path: where the table stands, such as ``guard.prior``; "" = at the top.
        coerce: brings a value into the form that a field takes; None = values are taken as they are.

    Raises:
        FieldError: no table; a key is unknown or missing; a value is not what its field takes.
    """
    if not isinstance(table, Mapping):
        raise FieldError(f"{path or 'it'} must be a table, not {_shown(table)}")
    hints = hints_of(cls)
    for key in table:
        if key not in hints:
            raise FieldError(f"unknown key {_join(path, key)}: the keys here are {', '.join(sorted(hints))}")
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in table:
            raise FieldError(f"{_join(path, field.name)} is missing")
    return cls(**{name: _taken(hints[name], table[name], _join(path, name), coerce) for name in hints if name in table})


def build_known(cls: type[_Made], table: Mapping[str, Any]) -> _Made:
    """`build` without the keys that `cls` does not have: they are reserved for later versions.

    Raises:
        FieldError: a key is missing, or a value is not what its field takes.
    """
    return build(cls, {name: value for name, value in table.items() if name in hints_of(cls)})


def check(value: Any, path: str = "") -> None:
    """Check every field of a dataclass that was made in Python, and the dataclasses inside it.

    Raises:
        FieldError: one is not what its field takes.
    """
    for name, hint in hints_of(type(value)).items():
        _taken(hint, getattr(value, name), _join(path, name), None)


def take(hint: Any, value: Any, path: str, coerce: Coerce | None = None) -> Any:
    """A single value, checked as a field with that annotation is.

    Raises:
        FieldError: it is not what the annotation takes.
    """
    return _taken(hint, value, path, coerce)


def _taken(hint: Any, value: Any, path: str, coerce: Coerce | None, largest: float = _LARGEST) -> Any:
    if hint is Any or (coerce is None and type(value) is hint and hint in (str, bool)):
        return value
    origin, inside = _parts(hint)
    if origin is Annotated:
        plain, rules, finite = _annotated(hint)
        value = _taken(plain, value, path, coerce, math.inf if finite else largest)
        for rule in rules:
            if value is not None and not rule.holds(value):
                raise FieldError(f"{path} must be {' and '.join(map(str, rules))}, not {_shown(value)}")
        return value
    if origin in (Union, types.UnionType):
        return _one_of(hint, inside, value, path, coerce, largest)
    if origin is Literal:
        if not any(value == known and type(value) is type(known) for known in inside):
            raise FieldError(f"{path} must be {' or '.join(map(str, inside))}, not {_shown(value)}")
        return value
    if coerce is not None:
        value = coerce(hint, value)
    if hint in (int, float):
        return _number(hint, value, path, largest)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, hint):  # type: ignore[arg-type]
            return build(hint, value, path, coerce)  # type: ignore[arg-type]
        check(value, path)
        return value
    if origin is tuple and isinstance(value, list):  # JSON has no other form of one
        value = tuple(value)
    if not isinstance(value, origin or hint):
        raise FieldError(f"{path} must be {words_of(hint)}, not {_shown(value)}")
    if origin in (list, tuple) and inside:
        return origin(_taken(inside[0], entry, f"{path}[{place}]", coerce) for place, entry in enumerate(value))
    if isinstance(value, Mapping) and len(inside) == 2:
        for key in value:
            _taken(inside[0], key, f"a key of {path}", None)
        return {key: _taken(inside[1], entry, _join(path, key), coerce) for key, entry in value.items()}
    return value


@functools.cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """What an annotation is made of, such as list and (int,)."""
    return typing.get_origin(hint), typing.get_args(hint)


@functools.cache
def _annotated(hint: Any) -> tuple[Any, tuple[Rule | Matches, ...], bool]:
    """The plain annotation, its rules, and whether it is `Finite`."""
    plain, *more = typing.get_args(hint)
    rules = tuple(rule for rule in more if isinstance(rule, Rule | Matches))
    return plain, rules, any(isinstance(rule, Finite) for rule in more)


def _one_of(hint: Any, inside: tuple[Any, ...], value: Any, path: str, coerce: Coerce | None, largest: float) -> Any:
    """The value as the first of several types that takes it."""
    if value is None and types.NoneType in inside:
        return None
    others = [part for part in inside if part is not types.NoneType]
    for part in others:
        try:
            return _taken(part, value, path, coerce, largest)
        except FieldError:
            if len(others) == 1:  # its message tells more than "not one of these"
                raise
    raise FieldError(f"{path} must be {words_of(hint)}, not {_shown(value)}")


def _number(hint: Any, value: Any, path: str, largest: float) -> Any:
    wanted = int if hint is int else int | float
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise FieldError(f"{path} must be {words_of(hint)}, not {_shown(value)}")
    if not abs(value) <= largest or value in (math.inf, -math.inf):
        raise FieldError(f"{path} is out of range")
    return value


def words_of(hint: Any) -> str:
    """What a field with this annotation takes, in words that follow "must be"."""
    known = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", types.NoneType: "null"}
    if hint in known:
        return known[hint]
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        plain, rules, _ = _annotated(hint)
        return " ".join([words_of(plain), " and ".join(map(str, rules))]).strip()
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(words_of(part) for part in inside))
    if origin is Literal:
        return " or ".join(map(str, inside))
    if origin in (list, tuple):
        return "a list"
    if dataclasses.is_dataclass(hint) or hint is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return "a table"
    return str(getattr(origin or hint, "__name__", hint))


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
