"""Values read from JSON: of the type that their field promises, and finite. JSON of strangers has anything anywhere."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

#: By a field's annotation, the types that JSON may give.
_TYPES: Final[dict[str, tuple[type, ...]]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}


def check_plain(value: Any) -> None:
    """Check the fields of a dataclass that are annotated as bool, int, float or str, and dictionaries of dataclasses.

    Raises:
        ValueError: one is of another type, not finite, or beyond 2^53.
    """
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        if wanted := _TYPES.get(str(field.type)):
            if not isinstance(held, wanted) or (isinstance(held, bool) and bool not in wanted):
                raise ValueError(f"{field.name} must be {field.type}, not {str(held)[:40]!r}")
            if isinstance(held, int | float) and not abs(held) <= 2**53:
                raise ValueError(f"{field.name} is out of range")
        elif dataclasses.is_dataclass(held):
            check_plain(held)
        elif isinstance(held, dict):
            for entry in filter(dataclasses.is_dataclass, held.values()):
                check_plain(entry)


def whole(value: Any, least: int = 0, most: float = math.inf) -> int:
    """`value` where it is an int in least..most.

    Raises:
        ValueError: it is not.
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{str(value)[:40]!r} is not a whole number from {least}")
    return value
